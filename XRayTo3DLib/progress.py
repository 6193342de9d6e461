"""Progress and cancelling, the same for the command line and the panel."""

from __future__ import annotations

from collections.abc import Callable

#: Called with a fraction from 0 to 1 and a short text. It may raise :class:`Cancelled` to stop the work.
Progress = Callable[[float, str], None]


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The user stopped the work; nothing was changed."""


def silent(fraction: float, text: str) -> None:
    """The progress of work that nobody watches."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """A progress that fills the share from ``begin`` to ``end`` of another one."""
    return lambda fraction, text: progress(begin + (end - begin) * fraction, text)
