"""A reconstruction on finer voxels: interpolated, and fused again with more of the radiographs' detail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.fusion.iterative import check_room, fuse
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.pixel_matching import matched, voxel
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.result import Reconstruction


def refine(
    reconstruction: Reconstruction,
    radiographs: Sequence[Radiograph],
    spacing: float,
    beta: float = BETA,
    progress: Progress = silent,
) -> Reconstruction:
    """The reconstruction on a finer grid (``spacing`` mm): interpolated, then fused again with more of the radiographs' detail.

    ``radiographs`` are those that were reconstructed, at their own resolution and in the same order. All figures of the result
    are those of the finer grid; ``seconds`` is the time of both steps. Raises :class:`InputError` for other radiographs, and for
    voxels that are no positive number of mm.
    """
    started = time.monotonic()
    if not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"Voxels of {spacing} mm cannot be refined to: give a positive number of mm.")
    if len(radiographs) != len(reconstruction.radiographs):
        raise InputError(
            f"{len(reconstruction.radiographs)} radiographs were reconstructed, but {len(radiographs)} are given to refine with: "
            "give the same ones in the same order."
        )
    whole = reconstruction.volume.grid
    ratio = np.array(whole.spacing) / spacing
    size = tuple(max(1, round(n * r)) for n, r in zip(whole.size, ratio, strict=True))
    grid = whole.resized(size)
    check_room(grid, len(radiographs))
    reconstruction = with_detail(reconstruction, radiographs, spacing)
    used, before = reconstruction.radiographs, _spread(reconstruction.before_fusion, grid)
    fused = fuse(_spread(reconstruction.volume, grid), used, beta, iterations=20, progress=progress)
    pictures = reproject(fused.volume, used)
    return replace(
        reconstruction,
        volume=fused.volume,
        before_fusion=before,
        deviation=None if reconstruction.deviation is None else _spread(reconstruction.deviation, grid),
        reprojections=pictures,
        errors=errors_of(used, pictures),
        errors_before=errors_of(used, reproject(before, used)),
        seconds=reconstruction.seconds + time.monotonic() - started,
    )


def _spread(volume: Volume, grid: Grid) -> Volume:
    """Linear interpolation onto a finer grid of the same extent, constant in the outermost half voxel."""
    padded = Volume(np.pad(volume.array, 1, mode="edge"), volume.grid.padded(1), volume.unit)
    return resample(padded, grid)


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
