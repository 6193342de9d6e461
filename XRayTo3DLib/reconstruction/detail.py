"""Radiographs at the resolution that a grid can hold: finer pixels cost time and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph

if TYPE_CHECKING:
    from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.images.pixel_matching import matched, voxel


def with_detail(found: Reconstruction, radiographs: Sequence[Radiograph], grid_spacing: float) -> Reconstruction:
    """The reconstruction with its radiographs matched to a finer grid instead, with the same gain and offset.

    ``radiographs`` are the originals in the same order. An uncalibrated one keeps the fit of the coarse reconstruction.
    """
    grid = found.volume.grid
    finer = []
    for used, original in zip(found.radiographs, radiographs, strict=True):
        fine = matched(original, grid_spacing, grid.centre)
        if not original.calibrated:
            gain, offset = _fit(matched(original, voxel(grid), grid.centre).line_integrals, used.line_integrals)
            values = np.maximum(gain * fine.line_integrals + offset, 0).astype(np.float32)
            fine = replace(fine, line_integrals=values)
        finer.append(fine)
    return replace(found, radiographs=finer)


def _fit(raw: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Gain and offset that made ``used`` of ``raw``, from the pixels that were not clipped at 0."""
    seen = used > 0
    if np.ptp(raw[seen]) <= 0:
        return 1.0, 0.0
    gain, offset = np.polyfit(raw[seen].astype(np.float64), used[seen], 1)
    return float(gain), float(offset)
