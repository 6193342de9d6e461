"""The calls of the Python console, a file a task; ``console`` holds them all."""

from __future__ import annotations

from XRayTo3DSlicer.logic.console import Logic

__all__ = ["Logic"]
