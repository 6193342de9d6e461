"""Progress and cancelling, the same for the command line and the panel."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with a fraction from 0 to 1 and a short text. It may raise :class:`Cancelled` to stop the work.
Progress = Callable[[float, str], None]


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The user stopped the work; nothing was changed."""


def silent(fraction: float, text: str) -> None:
    """The progress of work that nobody watches."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """A progress that fills the share from ``begin`` to ``end`` of another one."""
    return lambda fraction, text: progress(begin + (end - begin) * fraction, text)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C during the block takes effect at its end.

    For code of others that cannot be interrupted: there an exception of Python is lost, or ends the process in a crash.
    In other threads than the main one, which Ctrl-C does not reach, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            signal.raise_signal(signal.SIGINT)
