"""Whether, where and how far a beam passes through the box of a grid: analytic, in float64, without a projection.

The box reaches to the outer faces of the outermost voxels.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

#: Pixels whose rays are held at once; bounds the memory of a call, not its result.
_CHUNK_PIXELS = 200_000


def check_overlap(grid: Grid, projection: Projection, name: str) -> None:
    """Raise :class:`InputError` when the projection cannot be one of a volume on ``grid``.

    That is when its source stands inside the grid (or travels through it), or none of its rays crosses the grid, because the grid
    lies beside the beam or behind the source.
    """
    if projection.source is not None:
        ends = projection.source_positions(np.array([[0.0, 0.0], [projection.size[0] - 1.0, projection.size[1] - 1.0]]))
        if _enters(grid, *ends):
            raise InputError(f"The source of {name} stands inside the volume: use a larger source-to-isocentre distance.")
    corners = projection.project(grid.corners)
    if np.isnan(corners).all():
        raise InputError(f"The volume lies behind the source of {name}: turn the beam or move the isocentre into the volume.")
    if crosses(grid, projection):
        return
    if np.isnan(corners).any():
        raise InputError(
            f"The beam of {name} misses the volume, which stands beside its source and partly behind it: turn the beam or "
            "move the isocentre into the volume."
        )
    low, high = corners.min(axis=0), corners.max(axis=0)
    rows, columns = projection.size
    raise InputError(
        f"The beam of {name} misses the volume (its shadow falls on columns {low[0]:.0f} to {high[0]:.0f}, rows "
        f"{low[1]:.0f} to {high[1]:.0f} of a detector of {columns} x {rows}): move the isocentre into the volume."
    )


def _enters(grid: Grid, start: np.ndarray, end: np.ndarray) -> bool:
    """Whether a point, or the line between two (LPS mm), lies inside the box of the grid somewhere."""
    first, last = (grid.to_index[:3, :3] @ point + grid.to_index[:3, 3] for point in (start, end))
    move = last - first
    still = np.abs(move) < 1e-9
    low, high = np.full(3, -0.5), np.array(grid.size) - 0.5
    if (still & ((first <= low) | (first >= high))).any():
        return False
    shares = np.sort(np.stack([low - first, high - first])[:, ~still] / move[~still], axis=0)
    return bool(np.max(shares[0], initial=0.0) < np.min(shares[1], initial=1.0))


def crosses(grid: Grid, projection: Projection) -> bool:
    """Whether the beam that ends on the detector and the box of the grid have a point in common.

    Both are convex and bounded by planes, so that is a linear program over voxel indices: 0 <= column and row < size, each
    times its homogeneous w, and w > 0.
    """
    from scipy.optimize import linprog  # takes as long to load as all the rest

    rows, columns = projection.size
    middle = projection.project(grid.centre[np.newaxis])[0]
    if (middle > -0.5).all() and (middle < np.array([columns, rows]) - 0.5).all():
        return True  # the usual case, and false for NaN
    column, row, w, v = projection.forms @ grid.affine
    planes = np.stack([column + 0.5 * w, (columns - 0.5) * w - column, row + 0.5 * v, (rows - 0.5) * v - row, w, v])
    steep = np.linalg.norm(planes[:, :3], axis=1)
    planes = planes[steep > 1e-12 * steep.max()]  # w and v are 1 where rays are parallel
    planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
    bounds = [(-0.5, size - 0.5) for size in grid.size]
    return bool(linprog(np.zeros(3), -planes[:, :3], planes[:, 3], bounds=bounds).status == 0)


def chord_lengths(grid: Grid, projection: Projection, margin: float = 0.0) -> np.ndarray:
    """How far each pixel's ray runs inside the box of the grid, in mm: float64 (rows, columns), 0 where it misses.

    The ray of a cone or scanned beam starts at its source. ``margin`` (in voxels) makes the box larger on every side; with
    0.5 it is the region in which linear interpolation between voxel centres and zeros outside them is not 0.
    """
    rows = max(1, _CHUNK_PIXELS // projection.size[1])
    parts = [
        projection.cropped((slice(first, min(first + rows, projection.size[0])), slice(None)))
        for first in range(0, projection.size[0], rows)
    ]
    return np.concatenate([_chords(grid, part, margin) for part in parts])


def _chords(grid: Grid, projection: Projection, margin: float) -> np.ndarray:
    points, directions = projection.rays()
    start = (points[:1] if projection.is_cone else points) @ grid.to_index[:3, :3].T + grid.to_index[:3, 3]
    step = directions @ grid.to_index[:3, :3].T
    low, high = -0.5 - margin, np.array(grid.size) - 0.5 + margin
    enter = np.full(len(step), -np.inf if projection.source is None else 0.0)
    leave = np.full(len(step), np.inf)
    for axis in range(3):
        along = step[:, axis] != 0
        safe = np.where(along, step[:, axis], 1.0)
        ends = np.stack([low - start[:, axis], high[axis] - start[:, axis]]) / safe
        # A ray along the faces of a slab is inside it everywhere or nowhere.
        inside = (start[:, axis] > low) & (start[:, axis] < high[axis])
        enter = np.maximum(enter, np.where(along, ends.min(axis=0), np.where(inside, -np.inf, np.inf)))
        leave = np.minimum(leave, np.where(along, ends.max(axis=0), np.where(inside, np.inf, -np.inf)))
    missed = ~(leave > enter)
    return (np.where(missed, 0.0, leave) - np.where(missed, 0.0, enter)).reshape(projection.size)


def shadow(grid: Grid, projection: Projection) -> tuple[slice, slice] | None:
    """The rows and columns of the detector on which a grid can fall; ``None`` when it falls beside it."""
    corners = projection.project(grid.corners)
    if np.isnan(corners).all():
        return None
    if np.isnan(corners).any():  # partly behind the source
        return slice(0, projection.size[0]), slice(0, projection.size[1])
    low = np.maximum(np.floor(corners.min(axis=0)), 0)[::-1].astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, projection.size[::-1])[::-1].astype(int)
    return None if (low >= high).any() else (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))


def boxes_meet(one: Grid, other: Grid) -> bool:
    """Whether the boxes of two grids can have a point in common: they are not apart along an axis of either.

    Boxes askew that pass each other by edges alone may be called meeting.
    """
    for grid, box in ((one, other), (other, one)):
        index = grid.to_index @ np.column_stack([box.corners, np.ones(8)]).T
        if (index[:3].max(axis=1) < -0.5).any() or (index[:3].min(axis=1) > np.array(grid.size) - 0.5).any():
            return False
    return True
