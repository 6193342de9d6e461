"""How much of each voxel lies inside a closed surface, on a small grid made to fit that surface.

The grid is a box around the surface, along LPS or along the surface's own long axes, whichever is smaller: a long screw in
any direction fills it. Each voxel is tested at 3 x 3 x 3 points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkFeatureEdges, vtkTriangleFilter
from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid

#: Voxels along the shortest side of the box, unless that takes too many voxels in all, and at least.
_ACROSS, _LEAST_ACROSS = 96, 8
_MOST_VOXELS = 2_000_000
_TESTS = 3
#: Planes of voxels tested at once; bounds the memory of a call, not its result.
_SLAB = 8
#: The voxels and the triangles must enclose the same volume to this share; overlapping parts do not.
_VOLUME_TOLERANCE = 0.05
#: Shortest side and farthest point in mm of what is voxelised. VTK's stencil counts its lines in whole numbers and has
#: tolerances of its own: it is given nothing that is far from them.
_LEAST_SIDE, _FARTHEST = 1e-4, 1e6


def surface_fraction(polydata: vtkPolyData, name: str) -> tuple[np.ndarray, Grid]:
    """The share of each voxel inside a closed surface (LPS mm): float32 [z, y, x] from 0 to 1, and its grid.

    The outermost voxels of the grid are empty. Raises :class:`InputError` for a surface that is empty, flat or open, or whose
    parts overlap.
    """
    surface = _triangles(polydata, name)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    axes, low, high = _box(points)
    sides = high - low
    if sides.min() <= 1e-6 * sides.max():
        raise InputError(f"The surface {name} is flat, it encloses nothing: give a closed surface in mm.")
    if sides.min() < _LEAST_SIDE:
        raise InputError(
            f"The surface {name} is only {sides.min():.3g} mm wide, below the least of {_LEAST_SIDE:g} mm: give its points in mm."
        )
    step = max(sides.min() / _ACROSS, float(np.prod(sides) / _MOST_VOXELS) ** (1 / 3))
    inner = np.maximum(np.ceil(sides / step).astype(int), _LEAST_ACROSS)
    spacing = sides / inner
    low, size = low - spacing, inner + 2
    points = points @ axes
    surface.GetPoints().SetData(numpy_to_vtk(points, deep=True))
    fraction = _test(surface, low, spacing, size)
    grid = Grid(tuple(size), tuple(spacing), tuple(axes @ (low + spacing / 2)), axes)
    _check_volume(surface, points, float(fraction.sum(dtype=np.float64)) * grid.voxel_volume, name)
    return fraction, grid


def _triangles(polydata: vtkPolyData, name: str) -> vtkPolyData:
    """The surface's triangles with shared corners, checked to be closed and finite."""
    points = polydata.GetPoints()
    if points is not None and not np.isfinite(vtk_to_numpy(points.GetData())).all():
        raise InputError(f"The surface {name} holds NaN or infinite points: export it again.")
    if points is not None and points.GetNumberOfPoints() and np.abs(vtk_to_numpy(points.GetData())).max() > _FARTHEST:
        raise InputError(f"The surface {name} reaches farther than {_FARTHEST:g} mm from the origin: give its points in mm.")
    surface = polydata
    # Cleaning joins the corners of neighbours; triangles that vanish by it become lines, which the last filter drops.
    for make in (_triangulator, vtkCleanPolyData, _triangulator):
        algorithm = make()
        algorithm.SetInputData(surface)
        algorithm.Update()
        surface = algorithm.GetOutput()
    if surface.GetNumberOfPolys() == 0:
        raise InputError(f"The surface {name} has no triangles: give a closed surface.")
    edges = vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.FeatureEdgesOff()
    edges.NonManifoldEdgesOff()
    edges.Update()
    count = edges.GetOutput().GetNumberOfCells()
    if count:
        raise InputError(f"The surface {name} is open ({count} edges have one triangle): close its holes, then try again.")
    return surface


def _triangulator() -> Any:
    triangulator = vtkTriangleFilter()
    triangulator.PassLinesOff()
    triangulator.PassVertsOff()
    return triangulator


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smaller of two boxes around the points: axes as columns, and the lowest and highest coordinate along each.

    The longest side comes first: the surface is cut once for every plane of tests along the last.
    """
    _, own = np.linalg.eigh(np.cov(points.T))
    axes = min((np.eye(3), own), key=lambda box: float(np.ptp(points @ box, axis=0).prod()))
    axes = axes[:, np.argsort(-np.ptp(points @ axes, axis=0))]
    along = points @ axes
    return axes, along.min(axis=0), along.max(axis=0)


def _test(surface: vtkPolyData, low: np.ndarray, spacing: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Coverage of the ``size`` voxels of a grid along the axes that starts at ``low``."""
    fine = spacing / _TESTS
    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(surface)
    stencil.SetOutputSpacing(*fine)
    stencil.SetOutputOrigin(*(low + fine / 2))
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    nx, ny, nz = (int(n) for n in size)
    fraction = np.empty((nz, ny, nx), dtype=np.float32)
    for first in range(0, nz, _SLAB):
        count = min(_SLAB, nz - first)
        stencil.SetOutputWholeExtent(0, nx * _TESTS - 1, 0, ny * _TESTS - 1, first * _TESTS, (first + count) * _TESTS - 1)
        image.Update()
        inside = vtk_to_numpy(image.GetOutput().GetPointData().GetScalars())
        blocks = inside.reshape(count, _TESTS, ny, _TESTS, nx, _TESTS)
        fraction[first : first + count] = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return fraction


def _check_volume(surface: vtkPolyData, points: np.ndarray, found: float, name: str) -> None:
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    a, b, c = (points[triangles[:, corner]] - points[0] for corner in range(3))
    enclosed = abs(float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum())) / 6
    if abs(found - enclosed) > _VOLUME_TOLERANCE * max(found, enclosed):
        raise InputError(
            f"The surface {name} contradicts itself: its triangles enclose {enclosed:.4g} mm^3 but {found:.4g} mm^3 lie inside, "
            "so its parts overlap or face different ways; give each part as an insert of its own, or mend the surface."
        )
