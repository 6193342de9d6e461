"""3D from one or two X-rays: geometry, DRRs, reconstruction, fusion, surfaces and figures. Never imports Slicer.

The names below are the public API, with ``reconstruct`` in ``XRayTo3DLib.reconstruct``. They are loaded when first used, because
some need torch, which Slicer installs later.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "errors": ["InputError"],
    "geometry": ["Grid", "Projection"],
    "views": ["view_projection", "carm_direction", "parse_view"],
    "images": ["MU_WATER", "Labelmap", "Volume", "read_volume", "resample", "to_attenuation", "to_hu", "write_volume"],
    "radiographs": ["Radiograph", "read_radiograph", "write_radiograph"],
    "projector": ["Preview", "backproject", "project"],
    "drr": ["fit_projection", "render_drr"],
    "inserts": ["Insert"],
    "looks": ["to_display", "write_picture"],
    "structures": ["StructureRadiograph", "project_structures", "read_labelmap"],
    "transforms": ["read_transform"],
    "rtimage": ["write_rtimage"],
    "fusion": ["distribute", "fuse", "fuse_slabs", "reproject"],
    "modelzoo": ["find_models", "load_model", "trust_model", "verify_model"],
    "reconstruct": ["Reconstruction", "default_grid", "refine"],
    "segmentation": ["segment_ct"],
    "surfaces": ["Surface", "extract_surface", "extract_surfaces", "write_surface"],
    "phantom": ["Phantom", "thorax_phantom"],
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'XRayTo3DLib' has no attribute {name!r}")
    module = import_module(f"XRayTo3DLib.{_HOME[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
