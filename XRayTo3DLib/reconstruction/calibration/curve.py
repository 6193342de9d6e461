"""From a picture's values to line integrals: a smooth rising curve of a few numbers, found from the percentiles behind the body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.reference import LEVELS, Reference
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

#: The percentile whose value is 1 on the curve's own scale: bright, and no letter.
_ONE = 95.0
#: How many independent measurements the percentiles of one picture are worth: neighbours go together.
_WORTH = 2.0
#: Standard deviations of the logarithm of gamma and of the bend, before any picture is seen: most curves are gentle.
SPREADS = {"gamma": 0.35, "bend": 0.7}
#: A bend of less than this many gammas would let the curve fall.
_FALLING = -0.7


@dataclass(frozen=True)
class Curve:
    """``unit * (gain * u ** gamma * exp(bend * (u - 1)) + offset)`` with ``u = (value - zero) / (one - zero)``, and never below 0.

    ``zero``: the value of the open beam (of the darkest pixels, where there is none), ``one``: a bright value, which stands for
    ``unit`` where the other numbers are as by default. Gamma bends the dark end, the bend the bright one; both together make the
    inverse of a sigmoid.
    """

    zero: float
    one: float
    unit: float
    gain: float = 1.0
    gamma: float = 1.0
    bend: float = 0.0
    offset: float = 0.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Line integrals float64 of ``values``."""
        u = np.maximum((np.asarray(values, dtype=np.float64) - self.zero) / (self.one - self.zero), 0)
        raised = u**self.gamma * np.exp(max(self.bend, _FALLING * self.gamma) * (np.minimum(u, 2) - 1))
        return np.maximum(self.unit * (self.gain * raised + self.offset), 0)

    def of(self, radiograph: Radiograph, shadow: Shadow) -> Radiograph:
        """The radiograph as line integrals; 0 beside the body, and where it is no measurement."""
        seen = np.where(shadow.body, self(radiograph.line_integrals), 0)
        return replace(radiograph, line_integrals=seen.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Percentiles:
    """The percentiles ``found`` of a picture's values behind the body, which are to be those of a ``reference``."""

    found: np.ndarray
    reference: Reference

    def misfit(self, curve: Curve) -> np.ndarray:
        """How far the curve takes them from the reference, in the spreads between patients: of the shape, then of the mean."""
        integrals = curve(self.found)
        mean = max(float(integrals.mean()), 1e-6)
        shape = (integrals / mean - np.array(self.reference.shape)) / np.array(self.reference.shape_spread)
        return np.append(shape * np.sqrt(_WORTH / len(shape)), np.log(mean / self.reference.mean) / self.reference.spread)


def percentiles_of(radiograph: Radiograph, shadow: Shadow, reference: Reference) -> Percentiles:
    """The picture's own percentiles, of the part of the body that the reference was measured on."""
    compared = shadow.inner(radiograph.projection.spacing) if reference.inner else shadow.body
    return Percentiles(np.percentile(radiograph.line_integrals[compared].astype(np.float64), LEVELS), reference)


def free_numbers(radiograph: Radiograph, shadow: Shadow) -> tuple[str, ...]:
    """The numbers of a picture's curve that are not known: what ``unknown`` says, and the offset where no open beam tells it."""
    words = [word for word, what in (("gain", "gain"), ("gamma", "curve"), ("bend", "curve")) if what in radiograph.unknown]
    if shadow.air is None and {"offset", "curve"} & set(radiograph.unknown):
        words.append("offset")
    return tuple(words)


def with_numbers(curve: Curve, words: tuple[str, ...], numbers: np.ndarray) -> Curve:
    """The curve with its free numbers at ``numbers``: logarithms of gain and gamma, bend and offset as they are."""
    told = dict(zip(words, np.asarray(numbers).tolist(), strict=True))
    return replace(
        curve,
        gain=float(np.exp(told["gain"])) if "gain" in told else curve.gain,
        gamma=float(np.exp(told["gamma"])) if "gamma" in told else curve.gamma,
        bend=told.get("bend", curve.bend),
        offset=told.get("offset", curve.offset),
    )


def first_curve(radiograph: Radiograph, shadow: Shadow, percentiles: Percentiles) -> tuple[Curve, np.ndarray]:
    """The curve that takes the percentiles nearest to the reference's, and its free numbers: what is known stays as it is."""
    found, reference = percentiles.found, percentiles.reference
    words = free_numbers(radiograph, shadow)
    known_zero = not {"offset", "curve"} & set(radiograph.unknown)
    zero = 0.0 if known_zero else float(found[0]) if shadow.air is None else shadow.air
    one = max(float(np.percentile(found, _ONE)), zero + 1e-6 + 1e-3 * float(np.ptp(found)))
    unit = reference.mean * float(np.interp(_ONE, LEVELS, reference.shape)) if "gain" in words else one - zero
    curve = Curve(zero, one, unit)
    start = np.zeros(len(words))
    if "offset" in words:
        if "gain" in words:
            start[words.index("gain")] = np.log(0.7)
            start[words.index("offset")] = 0.3
        else:
            start[words.index("offset")] = (reference.mean - float(curve(found).mean())) / unit
    if not words:
        return curve, start

    def misfit(numbers: np.ndarray) -> np.ndarray:
        return np.append(percentiles.misfit(with_numbers(curve, words, numbers)), prior(words, numbers))

    return curve, np.asarray(least_squares(misfit, start).x)


def prior(words: tuple[str, ...], numbers: np.ndarray) -> np.ndarray:
    """The free numbers in their own spreads; gain and offset have none but that of the mean, which the percentiles hold."""
    return np.array([number / SPREADS[word] for word, number in zip(words, numbers, strict=True) if word in SPREADS])
