"""What in an X-ray is not as in a healthy body of this shape: the difference to the prediction, thresholded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.parametrized.completion import complete
from XRayTo3DLib.parametrized.loop import MarkersAndImage, State
from XRayTo3DLib.progress import Progress, silent

#: A difference counts from this share of the range.
THRESHOLD = 0.10
#: Smaller findings, in mm^2, are edges that do not quite meet.
LEAST_MM2 = 100.0


@dataclass(frozen=True, eq=False)
class Finding:
    """One connected place: ``area_mm2``, ``centre`` [row, column], mean ``difference`` as a share of the range (signed)."""

    area_mm2: float
    centre: tuple[float, float]
    difference: float


@dataclass(frozen=True, eq=False)
class Anomaly:
    """What was found in an X-ray.

    - ``difference``: float32 [row, column], given minus predicted, as a share of the range, 0 outside body and picture;
    - ``mask``: bool [row, column], where it is ``threshold`` or more;
    - ``score``: the sum of the excess over the threshold, in cm^2 of the range: 0 when nothing was found;
    - ``findings``: the connected places, largest first; ``state``: the healthy X-ray that was compared with.
    """

    difference: np.ndarray
    mask: np.ndarray
    score: float
    threshold: float
    findings: tuple[Finding, ...]
    state: State


def find_anomaly(
    networks: MarkersAndImage,
    state: State,
    xray: np.ndarray,
    shown: np.ndarray | None,
    range_: float,
    threshold: float = THRESHOLD,
    fit: bool = True,
    progress: Progress = silent,
) -> Anomaly:
    """Compare an X-ray (line integrals [row, column] in the frame) with the healthy one that its surface predicts.

    ``range_``: the line integral that counts as 1; ``shown``: the pixels that were measured; ``fit``: fit the markers to the X-ray
    first, so that organs a little higher or lower are no anomaly. Raises :class:`InputError` for a threshold outside 0 to 1.
    """
    if not 0 < threshold < 1:
        raise InputError(f"The threshold {threshold:g} must be a share of the range between 0 and 1: correct it.")
    given = np.ones(state.xray.shape, dtype=bool) if shown is None else np.asarray(shown, dtype=bool)
    healthy = complete(networks, state, xray, given, progress).state if fit else state
    body = given & state.surface.silhouette & state.surface.field
    difference = np.where(body, (np.asarray(xray) - healthy.xray) / range_, 0).astype(np.float32)
    pixel = float(np.prod(state.surface.projection.spacing))
    pieces, count = ndimage.label(np.abs(difference) >= threshold)
    findings, mask = [], np.zeros(difference.shape, dtype=bool)
    for number in range(1, count + 1):
        own = pieces == number
        if np.count_nonzero(own) * pixel < LEAST_MM2:
            continue
        mask |= own
        centre = ndimage.center_of_mass(own)
        findings.append(Finding(np.count_nonzero(own) * pixel, (float(centre[0]), float(centre[1])), float(difference[own].mean())))
    score = float((np.abs(difference[mask]) - threshold).sum()) * pixel / 100
    findings.sort(key=lambda one: -one.area_mm2)
    return Anomaly(difference, mask, score, threshold, tuple(findings), healthy)
