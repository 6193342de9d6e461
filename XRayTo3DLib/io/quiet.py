"""Silence for what C libraries say on their own: warnings of ITK, and codecs that write to the process's standard error."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk

_LOCK = threading.Lock()
#: How many readers are at work, and the standard error that is kept for the time after.
_state: dict[str, int] = {"readers": 0, "kept": -1}


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of ITK, GDCM, libtiff, libpng or OpenJPEG in the terminal, while what they warn of is checked here.

    ITK asks whether to warn; codecs write to file descriptor 2, which points to nothing meanwhile. Readers in several
    threads share that.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    _enter()
    try:
        yield
    finally:
        _leave()
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _enter() -> None:
    with _LOCK:
        _state["readers"] += 1
        if _state["readers"] > 1:
            return
        try:
            kept = os.dup(2)
        except OSError:  # a program with windows has none
            return
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        _state["kept"] = kept


def _leave() -> None:
    with _LOCK:
        _state["readers"] -= 1
        if _state["readers"] or _state["kept"] < 0:
            return
        os.dup2(_state["kept"], 2)
        os.close(_state["kept"])
        _state["kept"] = -1
