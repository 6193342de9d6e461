"""The beam of a radiograph and its picture as shapes in 3D: vtkPolyData in LPS mm."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph

#: A picture in 3D has at most this many points a side; the radiograph itself keeps all its pixels.
PICTURE_SIDE = 256
#: Name of the picture's point values.
PICTURE_VALUES = "line integral"


def detector_corners(projection: Projection) -> np.ndarray:
    """LPS mm of the detector's four outer corners, in order around it, shape (4, 3)."""
    return projection.pixel_positions(_outer_corners(projection))


def _outer_corners(projection: Projection) -> np.ndarray:
    bottom, right = projection.size[0] - 0.5, projection.size[1] - 0.5
    return np.array([[-0.5, -0.5], [-0.5, right], [bottom, right], [bottom, -0.5]])


def beam(projection: Projection) -> vtk.vtkPolyData:
    """The detector's outline with the edges of the beam, as lines.

    Cone beam: from the source (point 0) to the four corners (points 1 to 4). Parallel beam: a box of rays through the
    detector, as far before it (points 0 to 3) as behind it (points 8 to 11), with the detector in points 4 to 7. Scanned beam:
    from where the source stands (points 0 to 3) when it sees each corner (points 4 to 7), and the way that it travels.
    """
    corners = detector_corners(projection)
    if projection.is_scanned:
        points = np.vstack([projection.source_positions(_outer_corners(projection)), corners])
        lines = [[i, i + 4] for i in range(4)] + [[4, 5, 6, 7, 4], [0, 2]]
    elif projection.source is not None:
        points = np.vstack([projection.source, corners])
        lines = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2, 3, 4, 1]]
    else:
        reach = max(np.array(projection.size) * projection.spacing) * projection.ray_direction
        points = np.vstack([corners - reach, corners, corners + reach])
        lines = [[i, i + 4, i + 8] for i in range(4)] + [[i, i + 1, i + 2, i + 3, i] for i in (0, 4, 8)]
    shape = vtk.vtkPolyData()
    shape.SetPoints(_points(points))
    cells = vtk.vtkCellArray()
    for line in lines:
        cells.InsertNextCell(len(line), line)
    shape.SetLines(cells)
    return shape


def picture(radiograph: Radiograph) -> vtk.vtkPolyData:
    """The radiograph as a surface through its pixel centres, whose points carry the line integrals."""
    rows, columns = _shown(radiograph.projection.size)
    index = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    shape = vtk.vtkPolyData()
    shape.SetPoints(_points(radiograph.projection.pixel_positions(index)))
    number = np.arange(len(index)).reshape(len(rows), len(columns))
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=-1).reshape(-1, 4)
    cells = vtk.vtkCellArray()
    cells.SetData(4, numpy_to_vtk(quads.astype(np.int64).ravel(), deep=True, array_type=vtk.VTK_ID_TYPE))
    shape.SetPolys(cells)
    values = numpy_to_vtk(picture_values(radiograph.line_integrals), deep=True)
    values.SetName(PICTURE_VALUES)
    shape.GetPointData().SetScalars(values)
    return shape


def picture_values(line_integrals: np.ndarray) -> np.ndarray:
    """What the points of :func:`picture` carry for these pixels, float32 [point]."""
    return line_integrals[np.ix_(*_shown(line_integrals.shape))].astype(np.float32).ravel()


def _shown(size: tuple[int, ...]) -> list[np.ndarray]:
    """The rows and the columns of a picture of so many that have points."""
    return [np.unique(np.linspace(0, n - 1, min(n, PICTURE_SIDE)).round().astype(int)) for n in size]


def _points(positions: np.ndarray) -> vtk.vtkPoints:
    points = vtk.vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(positions, dtype=np.float64), deep=True))
    return points
