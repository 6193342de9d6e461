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
from XRayTo3DLib.images.pixel_matching import matched
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.calibration.scale import fusion_targets
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
    volume = _spread(reconstruction.volume, grid)
    targets, rounds = fusion_targets(used, reconstruction.scales, reproject(volume, used))
    fused = fuse(volume, targets, beta, iterations=min(rounds, 20), progress=progress)
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
    """The reconstruction with its radiographs matched to a finer grid instead, with the same scale.

    ``radiographs`` are the originals in the same order. An uncalibrated one keeps the fit of the coarse reconstruction.
    """
    fine = [matched(original, grid_spacing, found.volume.grid.centre) for original in radiographs]
    scales = found.scales or (None,) * len(fine)
    return replace(found, radiographs=[r if scale is None else scale.of(r) for r, scale in zip(fine, scales, strict=True)])
