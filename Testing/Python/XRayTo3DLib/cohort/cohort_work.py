"""What the processes of a cohort's tests do; they import it by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError


def write_square(argument: dict[str, Any], folder: Path) -> None:
    """Writes the square of a number. ``behaviour``: fail, or die by a signal, once (``marker`` remembers it) or always."""
    behaviour, marker = argument.get("behaviour"), Path(argument["marker"])
    with marker.with_name("begun").open("a") as log:
        log.write(f"{argument['number']}\n")
    if behaviour == "fail":
        raise InputError("The number is not liked: take another one.")
    (folder / f"square_{argument['number']}.txt").write_text(str(argument["number"] ** 2))
    if behaviour == "die" or (behaviour == "die once" and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
