"""The .ui files of the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

#: Beside the module's file, in the repository as in an installed extension.
UI_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "UI"


def loadUI(name: str) -> Any:
    """The widget of a .ui file of this module."""
    return slicer.util.loadUI(str(UI_FOLDER / f"{name}.ui"))
