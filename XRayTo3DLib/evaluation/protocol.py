"""The evaluation protocol's grid: stable from the first release on, so that figures stay comparable."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume

BODY_HU = -300.0
TOP_MM = 180.0


def body_centre(volume: Volume) -> tuple[float, float]:
    """LPS x and y in mm of the middle of the body's bounding box over the top 180 mm of an axis-aligned CT."""
    spacing = volume.grid.spacing
    slices = max(1, round(TOP_MM / spacing[2]))
    inside = volume.array[-slices:] > BODY_HU
    # The couch is thin: it vanishes under an opening of 10 mm, and the body is the largest piece of what stays.
    radius = [max(1, round(5 / s)) for s in spacing[::-1]]
    opened = ndimage.binary_opening(inside, np.ones([2 * r + 1 for r in radius]))
    pieces, count = ndimage.label(opened if opened.any() else inside)
    if count == 0:
        raise InputError("No body was found in the top 180 mm of the CT (nothing above -300 HU): is it in HU?")
    body = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    y, x = (np.flatnonzero(body.any(axis=(0, axis))) for axis in (2, 1))
    middle = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    return tuple(volume.grid.origin[i] + middle[i] * spacing[i] for i in (0, 1))  # type: ignore[return-value]


def protocol_grid(volume: Volume, size: int = 64, spacing: float = 4.0) -> Grid:
    """64^3 voxels of 4 mm: top slice at the scan's top slice, centred on the body in x and y."""
    x, y = body_centre(volume)
    top = volume.grid.origin[2] + (volume.grid.size[2] - 1) * volume.grid.spacing[2]
    return Grid.centred((x, y, top - (size - 1) / 2 * spacing), size, spacing)
