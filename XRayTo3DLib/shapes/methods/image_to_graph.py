"""Runs models of the interface ``image-to-graph/1``: one X-ray to a closed mesh, which is then filled.

The model says where the organ is, as a shape VAE does, and is shown the picture about that place until the place stays. What
passes through itself is smoothed until it does not, and what is left is counted in a note.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

from XRayTo3DLib.anatomy.self_intersections import self_intersections
from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.shapes.base import Masks, ShapeEstimate, check_limits
from XRayTo3DLib.shapes.methods.organ_frame import ACROSS_AXIS, check_view, cube_at, find_place

#: A voxel's share is tested at this many points along each side.
_TESTS = 2
#: Rounds in which a mesh that passes through itself is smoothed.
_ROUNDS = 10


class ImageToGraphSystem:
    """Networks that move the vertices of a template mesh."""

    name = "image to graph"
    interface = "image-to-graph/1"

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        """Raise :class:`InputError` for an organ or a view that the model's card does not allow."""
        model = _needed(model)
        check_limits(model, radiographs, organ)
        check_view(model.file.card, radiographs[0])

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks, progress: Progress
    ) -> ShapeEstimate:
        """The organ as a mesh and, filled, in a cube of 64^3 voxels around it."""
        model = _needed(model)

        def look(picture: torch.Tensor, drawn: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
            vertices, offset = model(picture)
            return vertices[0].double().numpy(), offset[0].double().numpy()

        place = find_place(radiographs[0], look, None, 0.0, progress)
        # The vertices' own word on where they are within the last picture; along the beam they are about the organ's middle.
        points = place.answer + place.centre
        across = [ACROSS_AXIS[place.view], 2]
        points[:, across] = place.answer[:, across] + place.seen_about[across]
        triangles = model.module.triangles.numpy()
        points, count = untangled(points, triangles)
        spacing = float(model.file.card["outputs"]["grid"]["spacing_mm"][0])
        grid = cube_at(0.5 * (points.min(axis=0) + points.max(axis=0)), spacing)
        polydata = mesh(points, triangles)
        corners = points[triangles] - points[0]
        volume = abs(float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum())) / 6000
        surface = Surface(polydata, organ, volume, True)
        notes = [f"The mesh passes through itself at {count} pairs of triangles."] if count else []
        if masks[0] is not None:
            notes.append(f"The model {model.file.name} takes no outline: it was not used.")
        return ShapeEstimate(Volume(filled(polydata, grid), grid, "1"), volume_ml=volume, surface=surface, notes=tuple(notes))


def untangled(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, int]:
    """Points moved as little as needed so that the mesh does not pass through itself, and how many pairs of triangles still do.

    The vertices of the pairs that intersect, and their neighbours, are moved to the mean of their neighbours, over and over.
    """
    edges = np.unique(np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]), axis=0)
    degree = np.bincount(edges[:, 0], minlength=len(points))[:, None]
    pairs = self_intersections(points, triangles)
    best, least = points, len(pairs)
    for _ in range(_ROUNDS):
        if not len(pairs):
            break
        near = np.zeros(len(points), dtype=bool)
        near[triangles[pairs].ravel()] = True
        near[edges[near[edges[:, 0]], 1]] = True
        total = np.zeros_like(points)
        np.add.at(total, edges[:, 0], points[edges[:, 1]])
        points = np.where(near[:, None], total / degree, points)
        pairs = self_intersections(points, triangles)
        if len(pairs) < least:
            best, least = points, len(pairs)
    return best, least


def mesh(points: np.ndarray, triangles: np.ndarray) -> vtkPolyData:
    """Triangles in LPS mm with point normals."""
    polydata, places, cells = vtkPolyData(), vtkPoints(), vtkCellArray()
    places.SetData(numpy_to_vtk(points.astype(np.float32), deep=True))
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(triangles, dtype=np.int64).ravel(), deep=True))
    polydata.SetPoints(places)
    polydata.SetPolys(cells)
    normals = vtkPolyDataNormals()
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.SetInputData(polydata)
    normals.Update()
    return normals.GetOutput()


def filled(polydata: vtkPolyData, grid: Grid) -> np.ndarray:
    """The share of each voxel of an upright grid inside a closed mesh: float32 [z, y, x]."""
    size = [n * _TESTS for n in grid.size]
    spacing = [s / _TESTS for s in grid.spacing]
    origin = np.array(grid.origin) - 0.5 * np.array(grid.spacing) + 0.5 * np.array(spacing)
    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(polydata)
    stencil.SetOutputOrigin(origin)
    stencil.SetOutputSpacing(spacing)
    stencil.SetOutputWholeExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    inside = vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(size[::-1])
    z, y, x = grid.shape
    return inside.reshape(z, _TESTS, y, _TESTS, x, _TESTS).mean(axis=(1, 3, 5), dtype=np.float32)


def _needed(model: LoadedModel | None) -> LoadedModel:
    if model is None:
        raise InputError("An image-to-graph network needs a model: name one, or choose a system that needs none.")
    return model
