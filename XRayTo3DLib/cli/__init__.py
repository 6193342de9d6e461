"""The command ``xrayto3d``: a file a subcommand, on top of the library."""

# Little is imported here: what a signal meets before :func:`start` has taken it is shown as a traceback.
from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from XRayTo3DLib.cli.codes import STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is the command line by default.

    Until the work begins a signal ends the process at once, as nothing is written yet.
    """
    from XRayTo3DLib.cli.stopping import handled_by

    with handled_by(_end):
        from XRayTo3DLib.cli.command import run_command

        return run_command(argv)


def start() -> int:
    """:func:`main` for a process of its own, which ends with the very code that is returned."""
    code: list[int] = []
    heeded = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if heeded:
        signal.signal(signal.SIGINT, _end)
    # Registered first, run last: Python itself dies of a Ctrl-C that was met, and answered, inside compiled code.
    atexit.register(lambda: os._exit(STOPPED) if code == [STOPPED] else None)
    code.append(main())
    if code == [STOPPED]:  # what was broken off before it was whole cannot be cleaned up without complaints
        sys.unraisablehook = lambda lost: None
    if heeded:  # all is done: Ctrl-C while Python cleans up changes nothing
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code[0]


def _end(number: int, frame: Any) -> None:
    try:
        os.write(2, b"xrayto3d: Stopped.\n")
    finally:
        os._exit(STOPPED)
