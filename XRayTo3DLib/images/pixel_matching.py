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
    either side. A picture narrower than a block is one block. Only valid pixels count; a block of which less than half is valid is
    not valid itself.
    """
    projection = radiograph.projection
    rows, columns = (
        min(pixels, max(1, int(voxel_mm * magnification / spacing + 1e-6)))
        for pixels, spacing, magnification in zip(
            projection.size, projection.spacing, projection.magnification(centre), strict=True
        )
    )
    if rows == columns == 1:
        return radiograph if radiograph.valid is None else replace(radiograph, line_integrals=_measured(radiograph))
    window = tuple(
        slice(pixels % block // 2, pixels % block // 2 + pixels // block * block)
        for pixels, block in zip(projection.size, (rows, columns), strict=True)
    )
    moved = projection.cropped(window).coarsened((rows, columns))
    shape = moved.size[0], rows, moved.size[1], columns
    blocks = _measured(radiograph)[window].reshape(shape)
    means, valid = blocks.mean(axis=(1, 3), dtype=np.float64), None
    if radiograph.valid is not None:
        share = radiograph.valid[window].reshape(shape).mean(axis=(1, 3))
        means, valid = means / np.maximum(share, 1e-12), share >= 0.5
    return replace(radiograph, line_integrals=means.astype(np.float32), projection=moved, valid=valid)


def _measured(radiograph: Radiograph) -> np.ndarray:
    """The line integrals, 0 where they are no measurements."""
    return radiograph.line_integrals if radiograph.valid is None else np.where(radiograph.valid, radiograph.line_integrals, 0)


def voxel(grid: Grid) -> float:
    """The shortest side of a voxel in mm."""
    return min(grid.spacing)


def coarse(radiographs: Sequence[Radiograph], grid: Grid) -> list[Radiograph]:
    """All radiographs matched to ``grid``."""
    return [matched(r, voxel(grid), grid.centre) for r in radiographs]
