"""3D from one or two X-rays: geometry, DRRs, reconstruction, fusion, surfaces and figures. Never imports Slicer.

The names below are the public API and the only promised import path. They are loaded when first used, because some need torch,
which Slicer installs later.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "errors": ["InputError"],
    "geometry.grid": ["Grid"],
    "geometry.projection": ["Projection"],
    "geometry.views": ["ViewSpec", "view_projection", "fit_projection", "carm_direction", "parse_view"],
    "images.volume": ["MU_WATER", "Volume", "to_attenuation", "to_hu"],
    "images.labelmap": ["Labelmap"],
    "images.radiograph": ["Radiograph"],
    "images.artefacts": ["without_artefacts"],
    "images.marker": ["find_disc", "scaled_by_marker"],
    "images.identity": ["PatientStudy"],
    "images.resampling": ["resample"],
    "images.display": ["to_display"],
    "io.volumes": ["read_volume", "write_volume"],
    "io.radiographs": ["read_radiograph", "write_radiograph"],
    "io.pictures": ["write_picture"],
    "io.projections": ["read_projection", "write_projection", "write_projections"],
    "io.segmentations": ["read_labelmap"],
    "io.surfaces": ["write_surface"],
    "io.transforms": ["read_transform"],
    "io.identity": ["read_patient_study"],
    "io.rtimage": ["write_rtimage"],
    "projection.projector": ["Preview", "backproject", "project"],
    "simulation.drr": ["render_drr"],
    "simulation.exposure": ["Exposure"],
    "simulation.display_processing": ["DisplayProcessing"],
    "simulation.inserts": ["Insert"],
    "simulation.structures": ["StructureRadiograph", "project_structures"],
    "simulation.phantom": ["Phantom", "thorax_phantom"],
    "fusion.closed_form": ["distribute", "fuse_slabs"],
    "fusion.iterative": ["fuse"],
    "fusion.reprojection": ["reproject", "reprojection_error"],
    "models.zoo": ["find_models", "load_model", "save_model", "trust_model", "verify_model"],
    "reconstruction.result": ["Reconstruction"],
    "reconstruction.grids": ["default_grid"],
    "reconstruction.methods.base": ["Estimate", "Method"],
    "reconstruction.methods.registry": ["find_method"],
    "reconstruction.pipeline": ["reconstruct"],
    "reconstruction.refine": ["refine"],
    "shapes.base": ["OrganShape", "ShapeEstimate", "ShapeSystem"],
    "shapes.answer": ["organ_shape"],
    "parametrized.answer": ["parametrized_xray"],
    "shapes.labels": ["read_labels"],
    "anatomy.segmentation": ["segment_ct"],
    "anatomy.surfaces": ["Surface", "extract_surface", "extract_surfaces"],
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
