"""Progress and cancelling, the same for the command line and the panel."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Signals that ask a program to stop: Ctrl-C, the system's request, and a terminal that was closed.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
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
    """Ctrl-C during the block takes effect at its end; so does every other signal of ``STOPPING`` that is handled in Python.

    For what must not be left in the middle: a set of files that moves together, and code of others, where an exception of Python
    is lost, or ends the process in a crash. In other threads than the main one, which no signal reaches, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: handler for number in STOPPING if callable(handler := signal.getsignal(number))}
    held: list[int] = []
    for number in before:
        signal.signal(number, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
