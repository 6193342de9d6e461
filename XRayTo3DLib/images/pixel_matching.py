"""Radiographs at the resolution that a grid can hold: finer pixels cost time and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph

if TYPE_CHECKING:
    pass


def matched(radiograph: Radiograph, voxel_mm: float, centre: np.ndarray) -> Radiograph:
    """Means over blocks of pixels at most one voxel wide at ``centre`` (LPS mm); the last blocks repeat the edge."""
    projection = radiograph.projection
    magnification = 1.0
    if projection.source is not None:
        depth = float(abs(projection.normal @ (centre - projection.source)))
        magnification = float(projection.source_to_detector or depth) / max(depth, 1e-6)
    rows, columns = (max(1, int(voxel_mm * magnification / s + 1e-6)) for s in projection.spacing)
    if rows == columns == 1:
        return radiograph
    values = radiograph.line_integrals
    values = np.pad(values, ((0, -values.shape[0] % rows), (0, -values.shape[1] % columns)), mode="edge")
    blocks = values.reshape(values.shape[0] // rows, rows, values.shape[1] // columns, columns).mean(axis=(1, 3))
    first = projection.pixel_positions(np.array([[(rows - 1) / 2, (columns - 1) / 2]]))[0]
    spacing = projection.spacing[0] * rows, projection.spacing[1] * columns
    moved = replace(projection, origin=first, spacing=spacing, size=blocks.shape)
    return replace(radiograph, line_integrals=blocks.astype(np.float32), projection=moved)


def voxel(grid: Grid) -> float:
    return min(grid.spacing)


def coarse(radiographs: Sequence[Radiograph], grid: Grid) -> list[Radiograph]:
    """All radiographs matched to ``grid``."""
    return [matched(r, voxel(grid), grid.centre) for r in radiographs]
