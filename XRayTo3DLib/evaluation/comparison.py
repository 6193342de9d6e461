"""A reconstruction beside the CT it should be: figures with their range and extent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.protocol import body_centre
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.reconstruction.methods.baselines import closest_mean

#: What every table of figures says about itself.
RANGE = (
    "PSNR and SSIM are taken on HU + 1024 clipped to [0, 2500] over the whole reconstruction grid, air included; "
    "PSNR with the "
    "peak 2500 (psnr_x2ct: the same error with the peak 4095), SSIM in 3D with data range 2500; the HU error is "
    "the mean absolute "
    "one where the CT is above -300 HU"
)


def truth_on(ct: Volume, volume: Volume) -> Volume:
    """The CT on the grid of ``volume``, smoothed to its spacing; :class:`InputError` when the body is not there."""
    truth = resample(ct, volume.grid, smooth=True)
    if not (truth.array > metrics.BODY_HU).any():
        raise InputError(
            "The CT to compare with does not overlap the reconstruction in space: bring both into the same coordinates "
            "(--isocentre of the X-rays, or --grid-centre)."
        )
    return truth


def compare(truth: Volume, estimate: Volume, labels: Labelmap | None = None, found: Labelmap | None = None) -> dict[str, Any]:
    """Figures of ``estimate`` against ``truth`` (same grid), and of each structure that both labelmaps name."""
    wanted, given = to_hu(truth).array, to_hu(estimate).array
    ranges = metrics.hu_range(wanted), metrics.hu_range(given)
    figures: dict[str, Any] = {
        "psnr": metrics.psnr(*ranges),
        "psnr_x2ct": metrics.psnr_x2ct(*ranges),
        "ssim": metrics.ssim(*ranges) if min(wanted.shape) >= 7 else float("nan"),
        "hu_mae_body": metrics.hu_mae_body(wanted, given),
    }
    if labels is not None and found is not None:
        figures["structures"] = {name: _structure(_mask(labels, name), _mask(found, name), truth) for name in labels.names.values()}
    return figures


def mean_beside(ct: Volume, truth: Volume, radiographs: Sequence[Radiograph]) -> tuple[str, Volume] | None:
    """The region whose mean training CT fits the radiographs best, and that mean (HU) on the grid of ``truth``.

    It is placed on the CT as the evaluation protocol places it. ``truth`` is ``ct`` on an LPS-aligned grid. ``None`` where this
    installation has no mean volumes.
    """
    grid = truth.grid
    top = float(ct.grid.corners[:, 2].max()) - abs(ct.grid.direction[2]) @ ct.grid.spacing / 2
    own_top = (grid.affine @ np.array([0, 0, grid.size[2] - 1, 1.0]))[2]
    x, y = body_centre(truth)
    shift = np.array([x - grid.centre[0], y - grid.centre[1], top - own_top])
    placed = replace(grid, origin=tuple(np.array(grid.origin) + shift))
    try:
        region, mean = closest_mean(radiographs, placed)
    except InputError:
        return None
    return region, resample(mean, grid)


def _mask(labelmap: Labelmap, name: str) -> np.ndarray:
    """One structure; the body is everything inside the skin, lungs and bone too."""
    return labelmap.array > 0 if name == "body" else labelmap.mask(name)


def _structure(truth: np.ndarray, found: np.ndarray, volume: Volume) -> dict[str, float]:
    return {
        "dice": metrics.dice(truth, found),
        "hd95_mm": metrics.hd95_mm(truth, found, volume.grid),
        "volume_ml": metrics.volume_ml(found, volume.grid),
        "volume_ml_ct": metrics.volume_ml(truth, volume.grid),
    }
