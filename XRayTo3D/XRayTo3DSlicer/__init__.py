"""The bridge between XRayTo3DLib and a 3D Slicer scene; runs in Slicer and, headless, on the package slicer-core.

The modules of ``nodes`` can be named from here, as scripts do: ``from XRayTo3DSlicer import volume_nodes``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_NODES = ("model_nodes", "mrml", "radiograph_nodes", "segmentation_nodes", "volume_nodes")


def __getattr__(name: str) -> ModuleType:
    if name not in _NODES:
        raise AttributeError(f"module 'XRayTo3DSlicer' has no attribute {name!r}")
    return import_module(f"XRayTo3DSlicer.nodes.{name}")
