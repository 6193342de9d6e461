"""Radiographs at the resolution that a grid can hold: finer pixels cost time and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph


def matched(radiograph: Radiograph, voxel_mm: float, centre: np.ndarray) -> Radiograph:
    """Means over blocks of pixels at most one voxel (``voxel_mm``) wide at ``centre`` (LPS mm), float32.

    Every block is whole, so that each mean was measured: rows and columns that fill no block are left off, half of them on
    either side. A picture narrower than a block is one block.
    """
    projection = radiograph.projection
    rows, columns = (
        min(pixels, max(1, int(voxel_mm * magnification / spacing + 1e-6)))
        for pixels, spacing, magnification in zip(
            projection.size, projection.spacing, projection.magnification(centre), strict=True
        )
    )
    if rows == columns == 1:
        return radiograph
    window = tuple(
        slice(pixels % block // 2, pixels % block // 2 + pixels // block * block)
        for pixels, block in zip(projection.size, (rows, columns), strict=True)
    )
    moved = projection.cropped(window).coarsened((rows, columns))
    blocks = radiograph.line_integrals[window].reshape(moved.size[0], rows, moved.size[1], columns)
    means = blocks.mean(axis=(1, 3), dtype=np.float64)
    return replace(radiograph, line_integrals=means.astype(np.float32), projection=moved)


def voxel(grid: Grid) -> float:
    """The shortest side of a voxel in mm."""
    return min(grid.spacing)


def coarse(radiographs: Sequence[Radiograph], grid: Grid) -> list[Radiograph]:
    """All radiographs matched to ``grid``."""
    return [matched(r, voxel(grid), grid.centre) for r in radiographs]
