"""The evaluation protocol's grid: stable from the first release on, so that figures stay comparable."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.orientation import is_upright, oriented, upright
from XRayTo3DLib.images.volume import Volume

BODY_HU = -300.0
TOP_MM = 180.0


def scan_top(volume: Volume, x: float, y: float) -> float:
    """LPS z in mm of the scan's top slice, any direction: where the vertical line at ``x``, ``y`` leaves the voxel centres.

    In an upright scan that is the centre of the top slice wherever the line stands. A line beside an oblique scan takes the
    scan's own middle.
    """
    grid = oriented(volume).grid
    if is_upright(grid):
        return float(grid.origin[2] + (grid.size[2] - 1) * grid.spacing[2])
    for place in (np.array([x, y, 0.0, 1.0]), np.array([*grid.centre, 1.0])):
        start, step = (grid.to_index @ place)[:3], grid.to_index[:3, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = np.sort(np.stack([-start / step, (np.array(grid.size) - 1 - start) / step]), axis=0)
        low, high = np.nanmax(limits[0]), np.nanmin(limits[1])
        if low <= high:
            break
    return float(place[2] + high)


def body_centre(volume: Volume) -> tuple[float, float]:
    """LPS x and y in mm of the middle of the body's bounding box over the top 180 mm of a CT of any direction."""
    standing = upright(volume)
    grid, array = standing.grid, standing.array
    if not is_upright(oriented(volume).grid):
        # An oblique scan has corners above its top, where the box around it holds air.
        top = scan_top(volume, float(volume.grid.centre[0]), float(volume.grid.centre[1]))
        array = array[: max(1, round((top - grid.origin[2]) / grid.spacing[2]) + 1)]
    slices = max(1, round(TOP_MM / grid.spacing[2]))
    inside = array[-slices:] > BODY_HU
    # The couch is thin: it vanishes under an opening of 10 mm, and the body is the largest piece of what stays.
    radius = [max(1, round(5 / s)) for s in grid.spacing[::-1]]
    opened = ndimage.binary_opening(inside, np.ones([2 * r + 1 for r in radius]))
    pieces, count = ndimage.label(opened if opened.any() else inside)
    if count == 0:
        raise InputError("No body was found in the top 180 mm of the CT (nothing above -300 HU): is it in HU?")
    body = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    y, x = (np.flatnonzero(body.any(axis=(0, axis))) for axis in (2, 1))
    middle = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    return tuple(grid.origin[i] + middle[i] * grid.spacing[i] for i in (0, 1))  # type: ignore[return-value]


def protocol_grid(volume: Volume, size: int = 64, spacing: float = 4.0) -> Grid:
    """64^3 voxels of 4 mm, LPS: top slice at the scan's top slice, centred on the body in x and y; any CT direction."""
    x, y = body_centre(volume)
    return Grid.centred((x, y, scan_top(volume, x, y) - (size - 1) / 2 * spacing), size, spacing)
