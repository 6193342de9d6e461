"""Landmarks of an organ's surface that two shapes can be compared by: where it reaches farthest in a direction.

A direction that a shape ends flat in has no sharp farthest point, so a landmark is the middle of all surface voxels within
:data:`_DEPTH_MM` of it. The mandible has the points that anatomists name; other organs their six ends.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from XRayTo3DLib.geometry.grid import Grid

_DEPTH_MM = 3.0
_HALF = float(np.sqrt(0.5))
#: Share of the organ's width (0 its right, 1 its left end) in which a landmark is looked for, and the direction (LPS).
_Landmark = tuple[tuple[float, float], tuple[float, float, float]]
_ENDS: dict[str, _Landmark] = {
    "left": ((0, 1), (1, 0, 0)),
    "right": ((0, 1), (-1, 0, 0)),
    "anterior": ((0, 1), (0, -1, 0)),
    "posterior": ((0, 1), (0, 1, 0)),
    "superior": ((0, 1), (0, 0, 1)),
    "inferior": ((0, 1), (0, 0, -1)),
}
_NAMED: dict[str, dict[str, _Landmark]] = {
    "mandible": {
        "menton": ((1 / 3, 2 / 3), (0, -_HALF, -_HALF)),
        "condyle_right": ((0, 0.5), (0, _HALF, _HALF)),
        "condyle_left": ((0.5, 1), (0, _HALF, _HALF)),
        "gonion_right": ((0, 0.5), (0, _HALF, -_HALF)),
        "gonion_left": ((0.5, 1), (0, _HALF, -_HALF)),
    }
}


def surface_landmarks(mask: np.ndarray, grid: Grid, organ: str = "") -> dict[str, np.ndarray]:
    """The landmarks of a boolean mask [z, y, x], LPS mm, by name; none of an empty mask."""
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        return {}
    index = np.argwhere(mask & ~ndimage.binary_erosion(mask))[:, ::-1]
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    first, last = points[:, 0].min(), points[:, 0].max()
    found = {}
    for name, ((low, high), direction) in _NAMED.get(organ, _ENDS).items():
        across = points[:, 0]
        part = points[(across >= first + low * (last - first) - 1e-6) & (across <= first + high * (last - first) + 1e-6)]
        if not len(part):
            continue  # a shape in pieces may have nothing there
        reach = part @ np.array(direction)
        found[name] = part[reach >= reach.max() - _DEPTH_MM].mean(axis=0)
    return found


def landmark_error_mm(truth: np.ndarray, found: np.ndarray, grid: Grid, organ: str = "") -> float:
    """Mean distance in mm between the landmarks of two masks on one grid; NaN when one of them has none."""
    wanted, given = surface_landmarks(truth, grid, organ), surface_landmarks(found, grid, organ)
    both = [float(np.linalg.norm(wanted[name] - given[name])) for name in wanted if name in given]
    return float(np.mean(both)) if both else float("nan")
