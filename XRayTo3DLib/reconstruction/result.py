"""What a reconstruction gives: the volume, and what is known of its quality."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.reconstruction.calibration.scale import Scale


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A volume and what is known of its quality.

    - ``volume``: attenuation in 1/mm after fusion (or before, when fusion was off); ``before_fusion``: the model's own;
    - ``deviation``: the model's standard deviation in 1/mm on the same grid, ``None`` for a model that has none: high where two
      X-rays leave the answer to the model;
    - ``radiographs``: as used, their pixels averaged to the voxels' size where they are finer (uncalibrated ones with the gain
      and offset that were fitted);
    - ``reprojections``: line integrals of ``volume`` on each radiograph's detector;
    - ``errors``, ``errors_before``: mean absolute re-projection error over the mean measured line integral, a view each;
    - ``notes``: what the user must be told;
    - ``scales``: what was fitted of each radiograph's scale, ``None`` for a calibrated one; empty when all are.

    A small re-projection error is not evidence of correct depth.
    """

    volume: Volume
    before_fusion: Volume
    deviation: Volume | None
    radiographs: list[Radiograph]
    reprojections: list[np.ndarray]
    errors: list[float]
    errors_before: list[float]
    model_name: str
    model_sha256: str
    model_seconds: float
    seconds: float
    notes: list[str] = field(default_factory=list)
    scales: tuple[Scale | None, ...] = ()
