"""The command ``xrayto3d``: a file a subcommand, on top of the library."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is the command line by default.

    Until all is imported Ctrl-C ends the process at once, as nothing is written yet: an import that is broken off in the middle
    shows a traceback, or worse.
    """
    if threading.current_thread() is not threading.main_thread() or "XRayTo3DLib.cli.command" in sys.modules:
        from XRayTo3DLib.cli.command import run_command

        return run_command(argv)
    before = signal.signal(signal.SIGINT, _stop)
    try:
        from XRayTo3DLib.cli.command import run_command
    finally:
        signal.signal(signal.SIGINT, before)
    return run_command(argv)


def _stop(number: int, frame: Any) -> None:
    try:
        os.write(2, b"xrayto3d: Stopped.\n")
    finally:
        os._exit(130)
