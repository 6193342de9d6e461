"""From a picture's values to line integrals: a monotone curve by percentiles, and the few numbers that are refined of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.reference import LEVELS, Reference
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

#: Percentiles closer than this share of a picture's range are one knot.
_KNOT = 1e-3


@dataclass(frozen=True)
class Curve:
    """``gain * unit * (start(value) / unit) ** gamma + offset * unit`` behind the body, and 0 in the open beam.

    ``start`` is linear between knots (``values``, ``integrals``, both rising) and goes on straight beyond the last;
    ``unit`` is the mean line integral behind the body at the start.
    """

    values: tuple[float, ...]
    integrals: tuple[float, ...]
    unit: float
    gain: float = 1.0
    gamma: float = 1.0
    offset: float = 0.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Line integrals float64 of ``values``, never negative."""
        x, y = np.array(self.values), np.array(self.integrals)
        start = np.interp(values, x, y)
        last = (y[-1] - y[-2]) / (x[-1] - x[-2])
        start = start + np.maximum(values - x[-1], 0) * last
        first = (y[1] - y[0]) / (x[1] - x[0])
        start = np.maximum(start + np.minimum(values - x[0], 0) * first, 0)
        return np.maximum(self.gain * self.unit * (start / self.unit) ** self.gamma + self.offset * self.unit, 0)

    def of(self, radiograph: Radiograph, shadow: Shadow) -> Radiograph:
        """The radiograph as line integrals; its values where it is no measurement are 0."""
        seen = np.where(shadow.body, self(radiograph.line_integrals), 0)
        return replace(radiograph, line_integrals=seen.astype(np.float32))


def first_curve(radiograph: Radiograph, shadow: Shadow, reference: Reference) -> Curve:
    """The curve that gives the picture the reference's percentiles behind the body: all that is unknown of it, and no more.

    With the curve unknown it is free; else it is a straight line, through the open beam where there is one, of slope 1 where the
    gain is known.
    """
    compared = shadow.inner(radiograph.projection.spacing) if reference.inner else shadow.body
    inside = radiograph.line_integrals[compared].astype(np.float64)
    found, wanted = np.percentile(inside, LEVELS), reference.mean * np.array(reference.shape)
    if "curve" in radiograph.unknown:
        if shadow.air is not None:
            found, wanted = np.append(shadow.air, found), np.append(0.0, wanted)
        knots = _rising(found, wanted)
    else:
        knots = _straight(found, wanted, shadow.air, "gain" in radiograph.unknown)
    curve = Curve(*knots, unit=1.0)
    return replace(curve, unit=max(float(curve(inside).mean()), 1e-6))


def _rising(found: np.ndarray, wanted: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots whose values rise, those that coincide (a clipped picture) averaged."""
    least = _KNOT * max(float(np.ptp(found)), 1e-9)
    groups = np.concatenate([[0], np.cumsum(np.diff(found) > least)])
    counts = np.bincount(groups)
    x, y = np.bincount(groups, found) / counts, np.bincount(groups, wanted) / counts
    if len(x) < 2:
        return _straight(found, wanted, None, False)
    return tuple(x.tolist()), tuple(np.maximum.accumulate(y + 1e-9 * np.arange(len(y))).tolist())


def _straight(
    found: np.ndarray, wanted: np.ndarray, air: float | None, gain_unknown: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two knots of a straight line: through air, or by least squares; of slope 1 where only the offset is unknown."""
    slope = 1.0
    if gain_unknown:
        about = (found, wanted) if air is not None else (found - found.mean(), wanted - wanted.mean())
        shifted = about[0] - (air or 0.0) if air is not None else about[0]
        slope = max(float(shifted @ about[1]) / max(float(shifted @ shifted), 1e-12), 1e-6)
    start = air if air is not None else float(found.mean()) - float(wanted.mean()) / slope
    return (start, start + 1.0), (0.0, slope)
