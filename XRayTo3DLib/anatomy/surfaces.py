"""Closed triangle surfaces of structures, in LPS millimetres, with their volume.

Flying edges on the mask with a border of empty voxels, a windowed-sinc filter against the voxel steps (Taubin et al.,
ECCV 1996), then the points are moved along their normals, by a fraction of a voxel, until the surface encloses what the
voxels add up to: smoothing and the cut corners of the voxels would otherwise shrink small structures by several per
cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import (
    vtkFeatureEdges,
    vtkFlyingEdges3D,
    vtkMassProperties,
    vtkPolyDataNormals,
    vtkReverseSense,
    vtkWindowedSincPolyDataFilter,
)

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of one structure.

    - ``polydata``: triangles in LPS mm with outward point normals;
    - ``volume_ml``: the volume it encloses, in mL (vtkMassProperties);
    - ``closed``: whether it was found to have no open and no non-manifold edge, so that "enclosed" means something;
    - ``cut``: whether the structure reaches the border of its grid. Such a surface is closed by a flat face there, and
      the volume is only that of the part inside the image.
    """

    polydata: vtkPolyData
    name: str
    volume_ml: float
    closed: bool
    cut: bool = False


def extract_surface(mask: np.ndarray, grid: Grid, name: str = "") -> Surface:
    """The surface of a boolean ``mask`` [z, y, x] on ``grid``; any spacing, oblique and left-handed directions too.

    Raises :class:`InputError` when the mask is empty or does not fit the grid.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != grid.shape:
        raise InputError(f"The mask {name!r} has the shape {mask.shape}, its grid has {grid.shape}: pass both alike.")
    if not mask.any():
        raise InputError(f"The structure {name!r} is empty: it has no surface; leave it out.")
    ends = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in range(3)]
    cut = any(first == 0 or last == n - 1 for (first, last), n in zip(ends, mask.shape, strict=True))
    surface = _smooth_surface(mask, ends, grid.spacing)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    # The filters worked in mm along the index axes; now to LPS.
    points = points @ grid.direction.T + np.asarray(grid.origin)
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    if _signed_volume(points, triangles) < 0:  # the orientation of the triangles turns with a left-handed direction
        surface = _run(vtkReverseSense(), surface)
        triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    points = _inflate(points, triangles, np.count_nonzero(mask) * grid.voxel_volume, 0.5 * min(grid.spacing))
    surface.GetPoints().SetData(numpy_to_vtk(points.astype(np.float32), deep=True))
    normals = vtkPolyDataNormals()
    normals.SplittingOff()
    normals.ConsistencyOff()
    surface = _run(normals, surface)
    mass = vtkMassProperties()
    mass.SetInputData(surface)
    mass.Update()
    return Surface(surface, name, float(mass.GetVolume()) / 1000, _is_closed(surface), cut)


def extract_surfaces(labelmap: Labelmap) -> list[Surface]:
    """One surface a structure, in the order of ``labelmap.names``; empty structures are left out."""
    masks = ((name, labelmap.mask(number)) for number, name in labelmap.names.items())
    return [extract_surface(mask, labelmap.grid, name) for name, mask in masks if mask.any()]


def _run(algorithm: Any, polydata: vtkPolyData) -> vtkPolyData:
    algorithm.SetInputData(polydata)
    algorithm.Update()
    return algorithm.GetOutput()


def _smooth_surface(mask: np.ndarray, ends: list[np.ndarray], spacing: tuple[float, float, float]) -> vtkPolyData:
    """Smoothed triangles of a mask, in mm along the index axes; ``ends`` are its first and last slices."""
    padded = np.pad(mask[tuple(slice(first, last + 1) for first, last in ends)], 1).astype(np.uint8)
    image = vtkImageData()
    image.SetDimensions(padded.shape[::-1])
    image.SetSpacing(spacing)
    image.SetOrigin(*[(int(first) - 1) * step for (first, _), step in zip(ends[::-1], spacing, strict=True)])
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(), deep=True))
    edges = vtkFlyingEdges3D()
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.SetValue(0, 0.5)
    edges.SetInputData(image)
    sinc = vtkWindowedSincPolyDataFilter()
    sinc.SetInputConnection(edges.GetOutputPort())
    sinc.SetNumberOfIterations(20)
    sinc.SetPassBand(0.1)
    sinc.NormalizeCoordinatesOn()
    sinc.Update()
    return sinc.GetOutput()


def _signed_volume(points: np.ndarray, triangles: np.ndarray) -> float:
    """Volume in mm^3 by the divergence theorem, positive for outward triangles."""
    a, b, c = (points[triangles[:, k]] - points[0] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def _inflate(points: np.ndarray, triangles: np.ndarray, volume: float, limit: float) -> np.ndarray:
    """Points moved along their normals until the surface encloses ``volume`` mm^3; at most ``limit`` mm a step."""
    for _ in range(2):
        a, b, c = (points[triangles[:, k]] for k in range(3))
        areas = np.cross(b - a, c - a) / 2
        normals = np.stack([np.bincount(triangles.ravel(), np.repeat(areas[:, k], 3), len(points)) for k in range(3)], axis=1)
        # Moving every point by one unit normal grows the volume by a third of the area of the triangles around it.
        lengths = np.linalg.norm(normals, axis=1)
        offset = (volume - _signed_volume(points, triangles)) / max(lengths.sum() / 3, 1e-12)
        points = points + np.clip(offset, -limit, limit) * normals / np.maximum(lengths, 1e-12)[:, None]
    return points


def _is_closed(surface: vtkPolyData) -> bool:
    edges = vtkFeatureEdges()
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    return _run(edges, surface).GetNumberOfCells() == 0
