"""Ctrl-C, and the other signals that ask a program to stop, as one exception at places that bear it."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from XRayTo3DLib.progress import STOPPING

#: Seconds after which a signal that came at a bad moment is tried again.
_AGAIN = 0.05


@contextmanager
def stoppable() -> Iterator[None]:
    """During the block every signal of ``STOPPING`` raises KeyboardInterrupt, so that what is half written is removed."""
    stopping, hook = _Stopping(), sys.unraisablehook
    with handled_by(stopping.interrupt):
        sys.unraisablehook = lambda lost: stopping.lost(lost) or hook(lost)
        try:
            yield
        finally:
            sys.unraisablehook = hook
            stopping.forget()


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """``handler`` gets the signals of ``STOPPING`` during the block, but for those that the caller's shell has silenced."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: old for number in STOPPING if (old := signal.getsignal(number)) not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Stopping:
    """Raises KeyboardInterrupt, and does so again where the first one is lost or would do harm."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None
        self._raised = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        # An import broken off in the middle ends in other errors; in compiled packages it ends the process in a crash.
        if _importing(frame):
            self.again(number)
        else:
            self._raised = True
            raise KeyboardInterrupt

    def lost(self, dropped: sys.UnraisableHookArgs) -> bool:
        """Whether an exception that compiled code or a destructor has dropped is dealt with: callbacks of compilers drop ours.

        Others come from what was broken off before it was whole; nobody can do anything about them.
        """
        if dropped.exc_type is KeyboardInterrupt:
            self.again()
        return self._raised

    def again(self, number: int = signal.SIGINT) -> None:
        self.forget()
        self._timer = threading.Timer(_AGAIN, _send, [number])
        self._timer.daemon = True
        self._timer.start()

    def forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _send(number: int) -> None:
    """A signal to the main thread, which wakes it up where the system can do that."""
    thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and thread is not None:
        signal.pthread_kill(thread, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
