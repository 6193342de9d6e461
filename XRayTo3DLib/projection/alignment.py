"""Detectors that stand along the voxel axes, as those of an AP or lateral view of a CT do: where their pixels meet each plane."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

#: Rows and columns of rays that stand for a view when it is asked how oblique it is.
SPARSE_SIDE = 17


@dataclass(frozen=True, eq=False)
class AlignedDetector:
    """A beam whose columns (U) and rows (V) of pixels run along two voxel axes; its rays cross the planes of the third.

    - ``axis``: the third axis (0 x, 1 y, 2 z); u is the minor axis that comes first, v the other;
    - ``u``, ``v``: (2, U) and (2, V): plane k is met at ``u[0] + u[1] * k``, in voxels;
    - ``planes``: the planes that count lie strictly between these two numbers (a source ends them);
    - ``length``: mm of ray from one plane to the next, (V, U), or (1, 1) where all are alike;
    - ``swapped``: the picture's columns run along v and its rows along u.
    """

    axis: int
    u: np.ndarray
    v: np.ndarray
    planes: tuple[float, float]
    length: np.ndarray
    swapped: bool = False

    @property
    def slope(self) -> float:
        """Root mean square slope of the rays against the planes' normal, over some that are evenly spread."""
        ends = ((side[1, 0], side[1, -1], min(side.shape[1], SPARSE_SIDE)) for side in (self.u, self.v))
        return float(np.sqrt(sum(np.mean(np.linspace(*end) ** 2) for end in ends)))

    @property
    def is_straight(self) -> bool:
        """Whether all rays meet every plane at the same place, but for rounding."""
        return max(float(np.abs(side[1]).max()) for side in (self.u, self.v)) < 1e-12

    def merged(self, count: int) -> AlignedDetector:
        """The same beam in a volume of which ``count`` neighbouring planes are merged into one."""
        shift = (count - 1) / 2
        u, v = (np.stack([side[0] + side[1] * shift, side[1] * count]) for side in (self.u, self.v))
        low, high = ((end - shift) / count for end in self.planes)
        return replace(self, u=u, v=v, planes=(low, high), length=self.length * count)


def aligned_detector(grid: Grid, projection: Projection, to_index: np.ndarray, tolerance: float = 1e-5) -> AlignedDetector | None:
    """A detector along the voxel axes, in voxel indices (``to_index`` 4x4, from LPS mm); ``None`` for any other projection.

    No ray may leave its row or column by more than ``tolerance`` voxels.
    """
    rows, columns = projection.size
    if min(rows, columns) < 2:
        return None
    turn = to_index[:3, :3]
    down, right = projection.column_direction * projection.spacing[0], projection.row_direction * projection.spacing[1]
    if projection.source is None:
        ray = np.asarray(projection.ray_direction)
        point, toward = turn @ projection.origin + to_index[:3, 3], turn @ ray
    else:
        ray = projection.origin - projection.source
        if projection.scan_axis is not None:
            ray = ray - (ray @ projection.scan_direction) * projection.scan_direction
        point, toward = turn @ projection.source + to_index[:3, 3], turn @ ray
    axis = int(np.abs(turn @ projection.beam_direction).argmax())
    minor = [a for a in (0, 1, 2) if a != axis]
    steps = [turn @ right, turn @ down]
    sizes = columns, rows
    # Whether the rays lean from pixel to pixel along a row, and down a column: not along a scan, where their source moves too.
    fans = projection.scan_axis != "row", projection.scan_axis != "column"
    reach = grid.size[axis] + abs(point[axis])
    if projection.source is None:
        # Pixels are moved along the rays into plane 0; there they must lie on a grid along the axes.
        steps = [step - toward * step[axis] / toward[axis] for step in steps]
        reach, depth = 1.0, 1.0
    else:
        depth = toward[axis]
        if any(abs(step[axis]) * n * reach > tolerance * abs(depth) for step, n in zip(steps, sizes, strict=True)):
            return None
    for swapped in (False, True):
        along_u, along_v = (1, 0) if swapped else (0, 1)
        stray = abs(steps[along_u][minor[1]]) * sizes[along_u], abs(steps[along_v][minor[0]]) * sizes[along_v]
        if max(stray) * (reach if projection.scan_axis is None else max(reach, abs(depth))) > tolerance * abs(depth):
            continue
        sides = []
        for a, along in ((minor[0], along_u), (minor[1], along_v)):
            move = np.arange(sizes[along]) * steps[along][a]
            if projection.source is None:
                slope = np.full(sizes[along], toward[a] / toward[axis])
                sides.append(np.stack([point[a] - slope * point[axis] + move, slope]))
            elif not fans[along]:
                slope = np.full(sizes[along], toward[a] / depth)
                start = point[a] + move - move[-1] / 2  # the source stands half way
                sides.append(np.stack([start - slope * point[axis], slope]))
            else:
                slope = (toward[a] + move) / depth
                sides.append(np.stack([point[a] - slope * point[axis], slope]))
        if max(np.abs(side[1]).max() for side in sides) >= 1:
            return None  # some rays follow another axis more
        if projection.source is None:
            return AlignedDetector(axis, sides[0], sides[1], (-np.inf, np.inf), np.full((1, 1), 1 / abs(toward[axis])), swapped)
        planes = (point[axis], np.inf) if depth > 0 else (-np.inf, point[axis])
        # The square of the distance from the source to a pixel; its two directions are at right angles.
        squares = [
            2 * (ray @ step) * np.arange(n) + (step @ step) * np.arange(n) ** 2.0 if fan else np.zeros(n)
            for step, n, fan in ((right, columns, fans[0]), (down, rows, fans[1]))
        ]
        length = (np.sqrt(ray @ ray + squares[1][:, None] + squares[0]) / abs(depth)).astype(np.float32)
        return AlignedDetector(axis, sides[0], sides[1], planes, length.T if swapped else length, swapped)
    return None
