"""The scale of pictures whose scale is unknown: gain and offset with which the method's own volume re-projects to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.methods.base import Estimate, Method

#: Rounds of fitting gain and offset.
_ROUNDS = 3
#: Voxels of water that the bright end of a picture is taken for at first.
_BRIGHT_VOXELS = 16


def calibrate(
    method: Method, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress = silent
) -> tuple[list[Radiograph], Estimate]:
    """The radiographs, uncalibrated ones fitted by gain and offset, and the estimate from them, whose notes say what was fitted.

    Starts from a picture whose dark end is air and whose bright end is a quarter of the default grid in water. With a calibrated
    view beside them, that one fixes the scale.
    """
    start = _BRIGHT_VOXELS * MU_WATER * grid.voxel_volume ** (1 / 3)
    used = list(radiographs)
    fits: dict[int, tuple[float, float]] = {}
    for index, radiograph in enumerate(radiographs):
        if not radiograph.calibrated:
            low, high = np.percentile(radiograph.line_integrals, [1, 99])
            gain = start / max(float(high - low), 1e-6)
            fits[index] = gain, -gain * float(low)
    for round_ in range(_ROUNDS):
        progress(round_ / _ROUNDS, "fitting gain and offset")
        for index, (gain, offset) in fits.items():
            values = np.maximum(gain * radiographs[index].line_integrals + offset, 0).astype(np.float32)
            used[index] = replace(radiographs[index], line_integrals=values)
        estimate = method.run(model, used, grid, part(progress, round_ / _ROUNDS, (round_ + 1) / _ROUNDS))
        if round_ + 1 < _ROUNDS:
            for index, picture in zip(fits, reproject(estimate.mean, [used[i] for i in fits]), strict=True):
                gain, offset = np.polyfit(radiographs[index].line_integrals.ravel(), picture.ravel(), 1)
                if gain > 0:
                    fits[index] = float(gain), float(offset)
    notes = [
        f"{radiographs[i].name}: the scale of this picture is unknown; fitted line integral = {gain:.4g} x value + {offset:.4g}. "
        "Absolute attenuation is an estimate."
        for i, (gain, offset) in fits.items()
    ]
    return used, replace(estimate, notes=(*estimate.notes, *notes))
