"""What was found of one picture's scale, and what a fusion may make of pictures that were fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.curve import Curve
from XRayTo3DLib.reconstruction.calibration.shadow import shadow_of

#: Rounds of fusion without and with a fitted gain or offset, and with a fitted curve. Display processing leaves views that
#: contradict each other, and more rounds only move the contradiction into the volume: on validation heads from two
#: views, 2 rounds lose 1.0 dB against calibrated pictures, 20 lose 1.6 to 10.
_ROUNDS, _ROUNDS_FITTED, _ROUNDS_CURVE = 40, 10, 2
#: The weight of a picture with a fitted curve against the model's own re-projection: both err by about as much (5 %).
_TRUST = 0.5


@dataclass(frozen=True)
class Scale:
    """A fitted ``curve``, for a ``region`` in a ``view``, of a picture of which ``unknown`` was not known."""

    curve: Curve
    region: str
    view: str
    unknown: tuple[str, ...]

    def of(self, radiograph: Radiograph) -> Radiograph:
        """The picture (at any resolution) as line integrals."""
        return self.curve.of(radiograph, shadow_of(radiograph))


def fusion_targets(
    radiographs: Sequence[Radiograph], scales: Sequence[Scale | None], pictures: Sequence[np.ndarray]
) -> tuple[list[Radiograph], int]:
    """What to fuse with, and in at most how many rounds. ``pictures``: what the volume re-projects to.

    Line integrals are taken as measured; of a picture whose display curve was fitted, half of what the volume lacks.
    """
    rounds, targets = _ROUNDS, list(radiographs)
    for index, scale in enumerate(scales):
        if scale is None:
            continue
        rounds = min(rounds, _ROUNDS_CURVE if "curve" in scale.unknown else _ROUNDS_FITTED)
        if "curve" in scale.unknown:
            own = radiographs[index].line_integrals
            mixed = _TRUST * own + (1 - _TRUST) * pictures[index]
            targets[index] = replace(radiographs[index], line_integrals=mixed.astype(np.float32))
    return targets, rounds
