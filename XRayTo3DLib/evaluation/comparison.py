"""A volume beside the CT it should be: one comparison for the protocol, the shell, the console and the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.protocol import TOLERANCE_VOXELS, body_centre, scan_top
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.methods.baselines import closest_mean

#: What every table of figures says about itself.
RANGE = (
    "PSNR and SSIM are taken on HU + 1024 clipped to [0, 2500] over the whole reconstruction grid, air included; PSNR with the "
    "peak 2500 (psnr_x2ct: the same error with the peak 4095), SSIM in 3D with data range 2500; psnr_slices and ssim_slices are "
    "means over 2D slices in X2CT's convention (peak 4095; range 2500); the HU error is the mean absolute one where the CT is "
    f"above -300 HU; hd95_mm is the 95 % Hausdorff distance, nsd the share of both surfaces within {TOLERANCE_VOXELS:g} voxels of "
    "the other"
)
#: What a volume alone is measured by, in the order of a table.
IMAGE_FIGURES = ("psnr", "psnr_x2ct", "psnr_slices", "ssim", "ssim_slices", "hu_mae_body")
STRUCTURE_FIGURES = ("dice", "hd95_mm", "nsd")


@dataclass(frozen=True, eq=False)
class Comparison:
    """``truth``: the CT (HU) on the volumes' grid, and its ``labels``; ``figures``: as :func:`compare` gives them, by name.

    ``mean``: the mean volume (HU) on the same grid, where one was asked for and there is one; its figures stand under ``"mean"``,
    with the ``region`` it is the mean of.
    """

    truth: Volume
    labels: Labelmap
    figures: dict[str, dict[str, Any]]
    mean: Volume | None = None


def compare_with_ct(
    ct: Volume,
    volumes: Mapping[str, Volume],
    found: Mapping[str, Labelmap | None] | None = None,
    radiographs: Sequence[Radiograph] = (),
    progress: Progress = silent,
) -> Comparison:
    """Reconstructions on one grid (HU or 1/mm, by name) against the CT, and the mean volume beside them.

    ``found``: the reconstructions' structures by name; those of a name that is not there are found here. With the ``radiographs``
    that were reconstructed, the mean of the training CTs that fits them best is compared too. Raises :class:`InputError` when the
    CT's body is not on the reconstructions' grid.
    """
    progress(0.0, "the CT on the grid")
    truth = truth_on(ct, next(iter(volumes.values())))
    labels = segment_ct(truth)
    figures: dict[str, dict[str, Any]] = {}
    for number, (name, volume) in enumerate(volumes.items()):
        progress(0.2 + 0.6 * number / len(volumes), name)
        own = found[name] if found is not None and name in found else structures(volume)
        figures[name] = compare(truth, volume, labels, own)
    progress(0.8, "mean volume")
    mean = mean_beside(ct, truth, radiographs) if radiographs else None
    if mean is not None:
        figures["mean"] = {"region": mean[0], **compare(truth, mean[1], labels, structures(mean[1]))}
    return Comparison(truth, labels, figures, None if mean is None else mean[1])


def truth_on(ct: Volume, volume: Volume) -> Volume:
    """The CT on the grid of ``volume``, smoothed to its spacing; :class:`InputError` when the body is not there."""
    truth = resample(ct, volume.grid, smooth=True)
    if not (truth.array > metrics.BODY_HU).any():
        raise InputError(
            "The CT to compare with does not overlap the reconstruction in space: compare with the CT that the X-rays were made "
            "from, or bring both into the same coordinates first (the isocentre of the X-rays, or the centre of the grid)."
        )
    return truth


def structures(volume: Volume) -> Labelmap | None:
    """:func:`~XRayTo3DLib.anatomy.segmentation.segment_ct`, or ``None`` where there is no body in the volume."""
    try:
        return segment_ct(volume)
    except InputError:
        return None


def compare(truth: Volume, estimate: Volume, labels: Labelmap | None = None, found: Labelmap | None = None) -> dict[str, Any]:
    """Figures of ``estimate`` against ``truth`` (same grid; HU or 1/mm), and of each structure that both labelmaps name."""
    wanted, given = to_hu(truth).array, to_hu(estimate).array
    ranges = metrics.hu_range(wanted), metrics.hu_range(given)
    thick = min(wanted.shape) >= 7
    figures: dict[str, Any] = {
        "psnr": metrics.psnr(*ranges),
        "psnr_x2ct": metrics.psnr_x2ct(*ranges),
        "psnr_slices": metrics.psnr_slices(*ranges),
        "ssim": metrics.ssim(*ranges) if thick else float("nan"),
        "ssim_slices": metrics.ssim_slices(*ranges) if thick else float("nan"),
        "hu_mae_body": metrics.hu_mae_body(wanted, given),
    }
    if labels is not None and found is not None:
        tolerance = TOLERANCE_VOXELS * max(truth.grid.spacing)
        figures["structures"] = {
            name: _structure(_mask(labels, name), _mask(found, name), truth, tolerance) for name in labels.names.values()
        }
    return figures


def mean_beside(ct: Volume, truth: Volume, radiographs: Sequence[Radiograph]) -> tuple[str, Volume] | None:
    """The region whose mean training CT fits the radiographs best, and that mean (HU) on the grid of ``truth``.

    It is placed on the CT as the evaluation protocol places it. ``truth`` is ``ct`` on an LPS-aligned grid. ``None`` where this
    installation has no mean volumes.
    """
    grid = truth.grid
    own_top = (grid.affine @ np.array([0, 0, grid.size[2] - 1, 1.0]))[2]
    x, y = body_centre(truth)
    shift = np.array([x - grid.centre[0], y - grid.centre[1], scan_top(ct, x, y) - own_top])
    placed = replace(grid, origin=tuple(np.array(grid.origin) + shift))
    try:
        region, mean = closest_mean(radiographs, placed)
    except InputError:
        return None
    return region, resample(mean, grid)


def _mask(labelmap: Labelmap, name: str) -> np.ndarray:
    """One structure; the body is everything inside the skin, lungs and bone too."""
    return labelmap.array > 0 if name == "body" else labelmap.mask(name)


def _structure(truth: np.ndarray, found: np.ndarray, volume: Volume, tolerance: float) -> dict[str, float]:
    distances = metrics.surface_distances(truth, found, volume.grid)
    neither = not truth.any() and not found.any()
    return {
        "dice": metrics.dice(truth, found),
        "hd95_mm": metrics.hd95_of(distances),
        "nsd": float("nan") if neither else metrics.surface_dice_of(distances, tolerance),
        "volume_ml": metrics.volume_ml(found, volume.grid),
        "volume_ml_ct": metrics.volume_ml(truth, volume.grid),
    }
