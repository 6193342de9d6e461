"""The template of an organ: a closed mesh without handles of a given number of vertices, and the same mesh on every patient.

Vertices correspond because the template is carried to each patient's organ by a smooth registration of signed distance maps
(diffeomorphic demons; Vercauteren et al., NeuroImage 45, 2009) and then moved along the surface's normal onto it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkPolyDataConnectivityFilter, vtkQuadricDecimation

from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.shapes.methods.organ_frame import SHAPE_SIZE, cube_at

#: Signed distances are registered on voxels of twice the cube's, and within this many mm of the surface.
_COARSE, _BAND_MM = 2, 15.0
_ITERATIONS, _SMOOTHING = 60, 1.2
#: Rounds of moving vertices onto the surface, at most this far each, in mm.
_SNAPS, _SNAP_MM = 10, 2.0


def mean_cube(cubes: Sequence[np.ndarray]) -> np.ndarray:
    """The voxels that most of the organs fill, as many as a mean organ has."""
    mean = np.mean(cubes, axis=0, dtype=np.float32)
    count = round(float(np.mean([np.count_nonzero(cube) for cube in cubes])))
    return mean > np.sort(mean, axis=None)[-count - 1]


def template_mesh(cube: np.ndarray, spacing: float, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (vertices, 3) in mm from the cube's middle and triangles (2 * vertices - 4, 3) of a mask [z, y, x].

    The mask is closed until its surface has no handle. Raises :class:`InputError` when that is impossible, or when the surface is
    too simple for so many vertices.
    """
    for radius in range(6):
        mask = ndimage.binary_closing(np.pad(cube, 8), iterations=radius)[8:-8, 8:-8, 8:-8] if radius else cube
        pieces, _ = ndimage.label(ndimage.binary_fill_holes(mask))
        mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        surface = extract_surface(mask, cube_at(np.zeros(3), spacing)).polydata
        if surface.GetNumberOfPoints() - surface.GetNumberOfPolys() // 2 == 2:
            break
    else:
        raise InputError("The mean shape of the organ has a handle that does not close: choose a larger spacing or another organ.")
    decimate = vtkQuadricDecimation()
    decimate.SetTargetReduction(max(0.0, 1 - 0.97 * vertices / surface.GetNumberOfPoints()))
    points, triangles = _largest(surface, decimate)
    if len(points) - len(triangles) // 2 != 2 or len(points) > vertices:
        raise InputError(f"The mean shape of the organ does not become a mesh of {vertices} vertices: ask for more of them.")
    while len(points) < vertices:
        points, triangles = _split_longest(points, triangles)
    return points, triangles


def _largest(surface: Any, decimate: Any) -> tuple[np.ndarray, np.ndarray]:
    decimate.SetInputData(surface)
    pieces = vtkPolyDataConnectivityFilter()
    pieces.SetExtractionModeToLargestRegion()
    pieces.SetInputConnection(decimate.GetOutputPort())
    pieces.Update()
    found = pieces.GetOutput()
    triangles = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    used, triangles = np.unique(triangles, return_inverse=True)
    return vtk_to_numpy(found.GetPoints().GetData()).astype(np.float64)[used], triangles.reshape(-1, 3)


def _split_longest(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One more vertex, in the middle of the longest edge."""
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    a, b = edges[np.argmax(np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1))]
    both = (triangles == a).any(axis=1) & (triangles == b).any(axis=1)
    halves = []
    for triangle in triangles[both]:
        halves += [np.where(triangle == a, len(points), triangle), np.where(triangle == b, len(points), triangle)]
    return np.vstack([points, 0.5 * (points[a] + points[b])]), np.vstack([triangles[~both], halves])


def edges_of(triangles: np.ndarray) -> np.ndarray:
    """The edges of a closed mesh in both directions: (6 * vertices - 12, 2) for a mesh without handles."""
    return np.unique(np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]), axis=0)


def signed_distance(cube: np.ndarray, spacing: float) -> np.ndarray:
    """Signed distance in mm, negative inside, within :data:`_BAND_MM`: float32 [z, y, x]."""
    distance = ndimage.distance_transform_edt(~cube) - ndimage.distance_transform_edt(cube)
    return np.clip(distance * spacing, -_BAND_MM, _BAND_MM).astype(np.float32)


def enclosed_mm3(points: np.ndarray, triangles: np.ndarray) -> float:
    """Volume inside a closed mesh with outward triangles, by the divergence theorem."""
    a, b, c = (points[triangles[:, k]] - points[0] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def carried(points: np.ndarray, triangles: np.ndarray, template: np.ndarray, target: np.ndarray, spacing: float) -> np.ndarray:
    """The template's points on another organ: on its surface, spread as on the template, and enclosing its volume.

    ``template`` and ``target``: both organs' cubes [z, y, x] of ``spacing`` mm.
    """
    fine = signed_distance(target, spacing)
    images = [sitk.GetImageFromArray(_coarse(part)) for part in (signed_distance(template, spacing), fine)]
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(_ITERATIONS)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(_SMOOTHING)
    demons.SetNumberOfThreads(1)
    field = sitk.GetArrayFromImage(demons.Execute(*images)) * (spacing * _COARSE)
    edges = edges_of(triangles)
    away = np.stack([_at(field[..., axis], points, spacing * _COARSE) for axis in range(3)], axis=1)
    fine = ndimage.gaussian_filter(fine, 1.0)
    slopes = np.gradient(fine, spacing)[::-1]
    volume, level = np.count_nonzero(target) * spacing**3, 0.0
    for snap in range(_SNAPS):
        away = 0.5 * (away + _neighbours(away, edges))
        moved = points + away
        slope = np.stack([_at(part, moved, spacing) for part in slopes], axis=1)
        length = np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 0.3)
        step = np.clip(_at(fine, moved, spacing) - level, -_SNAP_MM, _SNAP_MM)[:, None] * slope / length**2
        away = away - 0.5 * (step + _neighbours(step, edges))
        if snap >= _SNAPS // 2:  # a coarse mesh cuts corners: it is drawn a little outside
            corners = (points + away)[triangles]
            area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
            level += np.clip((volume - enclosed_mm3(points + away, triangles)) / area, -0.5, 0.5)
    return points + away


def _coarse(distance: np.ndarray) -> np.ndarray:
    size = SHAPE_SIZE // _COARSE
    return distance.reshape(size, _COARSE, size, _COARSE, size, _COARSE).mean(axis=(1, 3, 5), dtype=np.float32)


def _at(values: np.ndarray, points: np.ndarray, spacing: float) -> np.ndarray:
    index = points[:, ::-1] / spacing + (np.array(values.shape) - 1) / 2
    return ndimage.map_coordinates(values, index.T, order=1, mode="nearest")


def _neighbours(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The mean of each vertex's neighbours."""
    total = np.zeros_like(values)
    np.add.at(total, edges[:, 0], values[edges[:, 1]])
    return total / np.bincount(edges[:, 0], minlength=len(values))[:, None]
