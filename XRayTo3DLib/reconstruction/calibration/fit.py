"""Gain, offset and curve of pictures of unknown scale, refined together with the reconstruction.

Re-projection alone cannot tell a thin dense body from a thick faint one: a fit by it alone collapses. What is minimised here has
three parts: how far the method's own volume re-projects from the pictures, *relative* to them;
how far each picture's mean line integral is from what bodies of that region measure, and its curve from the one by percentiles; and
how far the views disagree on the mass of each slice. A few Gauss-Newton steps, of one run of the method a number, minimise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.calibration.appearance import guessed_region
from XRayTo3DLib.reconstruction.calibration.curve import Curve, first_curve
from XRayTo3DLib.reconstruction.calibration.mass import disagreement
from XRayTo3DLib.reconstruction.calibration.reference import Reference, reference_for
from XRayTo3DLib.reconstruction.calibration.scale import Scale
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow, shadow_of
from XRayTo3DLib.reconstruction.methods.base import Estimate, Method

_ROUNDS = 2
#: How many independent measurements the relative re-projection error of one view is worth: the model's errors are not noise.
_WORTH = 4.0
#: Standard deviations: of the logarithm of gamma, of the offset in means, of the logarithm of a band's mass between views, and
#: of that of a gain which a calibrated view has told.
_GAMMA, _OFFSET, _MASS, _GAIN_TIED = 0.25, 0.15, 0.08, 0.05
#: The step of the finite differences, and the longest step of a round, in the units of the parameters.
_STEP, _LONGEST = 0.06, 0.3


@dataclass(frozen=True)
class Fit:
    """What was found of one picture's scale: see :class:`.curve.Curve`."""

    index: int
    curve: Curve
    shadow: Shadow
    reference: Reference
    words: tuple[str, ...]
    gain_spread: float

    def moved(self, parameters: np.ndarray) -> Curve:
        """The curve with its free numbers (logarithms of gain and gamma, the offset) at ``parameters``."""
        told = dict(zip(self.words, parameters.tolist(), strict=True))
        return replace(
            self.curve,
            gain=float(np.exp(told.get("gain", 0.0))),
            gamma=float(np.exp(told.get("gamma", 0.0))),
            offset=told.get("offset", 0.0),
        )

    @property
    def spreads(self) -> list[float]:
        """The standard deviation of each free number before anything was reconstructed."""
        known = {"gain": self.gain_spread, "gamma": _GAMMA, "offset": _OFFSET}
        return [known[word] for word in self.words]


def calibrate(
    method: Method,
    model: LoadedModel | None,
    radiographs: Sequence[Radiograph],
    grid: Grid,
    region: str | None = None,
    progress: Progress = silent,
) -> tuple[list[Radiograph], tuple[Scale | None, ...], Estimate]:
    """The radiographs as line integrals, what was fitted of each, and the method's estimate from them, whose notes say it.

    Only what is unknown of each (``radiograph.unknown``) is fitted, from its measured pixels. A calibrated view beside them, or
    the views' common mass, ties their gains. ``region`` is one of :data:`.reference.REGIONS`, guessed by default.
    """
    shadows = [shadow_of(r) for r in radiographs]
    region, said = guessed_region(radiographs, shadows) if region is None else (region, "")
    fits = []
    for index, (radiograph, shadow) in enumerate(zip(radiographs, shadows, strict=True)):
        if not radiograph.calibrated:
            reference = reference_for(region, radiograph, shadow)
            curve = first_curve(radiograph, shadow, reference)
            fits.append(Fit(index, curve, shadow, reference, _free(radiograph, shadow), reference.spread))
    fits = _tied(fits, radiographs, shadows, grid)
    sizes = np.cumsum([0, *(len(fit.words) for fit in fits)])
    spreads = np.array([spread for fit in fits for spread in fit.spreads])

    def used(parameters: np.ndarray) -> list[Radiograph]:
        found = list(radiographs)
        for fit, first, last in zip(fits, sizes, sizes[1:], strict=False):
            found[fit.index] = fit.moved(parameters[first:last]).of(radiographs[fit.index], fit.shadow)
        return found

    runs, total = 0, len(spreads) + _ROUNDS + 1

    def run(views: list[Radiograph]) -> tuple[Estimate, np.ndarray]:
        nonlocal runs
        progress(runs / total, "fitting the scale of the pictures")
        runs += 1
        estimate = method.run(model, views, grid, silent)
        return estimate, _misfit(estimate, views, shadows, grid)

    at = np.zeros(len(spreads))
    views = used(at)
    estimate, misfit = run(views)
    slopes = []
    for number in range(len(at)):
        beside = at.copy()
        beside[number] += _STEP
        slopes.append((run(used(beside))[1] - misfit) / _STEP)
    for _ in range(_ROUNDS if len(at) else 0):
        # The pixels' part is worth a few measurements, at the error of now; the rest is in units of its own spread.
        pixels = sum(int(shadow.body.sum()) for shadow in shadows)
        weights = np.full(len(misfit), 1 / _MASS)
        weights[:pixels] = np.sqrt(_WORTH * len(radiographs) / max(float(misfit[:pixels] @ misfit[:pixels]), 1e-12))
        matrix = np.vstack([np.array(slopes).T * weights[:, None], np.diag(1 / spreads)])
        right = -np.concatenate([misfit * weights, at / spreads])
        at = at + np.clip(np.linalg.lstsq(matrix, right, rcond=None)[0], -_LONGEST, _LONGEST)
        views = used(at)
        estimate, misfit = run(views)
    scales: list[Scale | None] = [None] * len(radiographs)
    notes = []
    for fit, first, last in zip(fits, sizes, sizes[1:], strict=False):
        unknown = radiographs[fit.index].unknown
        scale = Scale(fit.moved(at[first:last]), fit.reference.region, fit.reference.view, unknown)
        scales[fit.index] = scale
        notes.append(_told(radiographs[fit.index], fit.shadow, scale, said))
    return views, tuple(scales), replace(estimate, notes=(*estimate.notes, *notes))


def _tied(fits: list[Fit], radiographs: Sequence[Radiograph], shadows: Sequence[Shadow], grid: Grid) -> list[Fit]:
    """The fits, with gains by the mass of the slices that a calibrated view beside them measured, where there is one."""
    known = [i for i, r in enumerate(radiographs) if r.calibrated]
    found = []
    for fit in fits:
        pair = [*known[:1], fit.index]
        seen = [radiographs[i] if i in known else fit.curve.of(radiographs[i], fit.shadow) for i in pair]
        logs = disagreement(seen, [shadows[i] for i in pair], grid).reshape(-1, len(pair))
        if len(pair) < 2 or "gain" not in fit.words or not logs.any():
            found.append(fit)
            continue
        ratio = float(np.exp(np.median(logs[logs.any(axis=1), 0] - logs[logs.any(axis=1), 1])))
        curve = replace(fit.curve, integrals=tuple(ratio * y for y in fit.curve.integrals), unit=ratio * fit.curve.unit)
        found.append(replace(fit, curve=curve, gain_spread=_GAIN_TIED))
    return found


def _free(radiograph: Radiograph, shadow: Shadow) -> tuple[str, ...]:
    """The numbers that are free in a picture's curve."""
    words = [word for word, what in (("gain", "gain"), ("gamma", "curve")) if what in radiograph.unknown]
    if shadow.air is None and "curve" not in radiograph.unknown:
        words.append("offset")
    return tuple(words)


def _misfit(estimate: Estimate, views: Sequence[Radiograph], shadows: Sequence[Shadow], grid: Grid) -> np.ndarray:
    """Relative re-projection residuals behind the body, each view's with a mean square, then the disagreement on the masses."""
    parts = []
    for view, shadow, picture in zip(views, shadows, reproject(estimate.mean, views), strict=True):
        measured = view.line_integrals[shadow.body]
        mean = max(float(measured.mean()), 1e-6)
        parts.append((picture[shadow.body] - measured) / (mean * np.sqrt(measured.size)))
    return np.concatenate([*parts, disagreement(views, shadows, grid)])


def _told(radiograph: Radiograph, shadow: Shadow, scale: Scale, said: str) -> str:
    mean = scale.curve(radiograph.line_integrals[shadow.body]).mean()
    return (
        f"{radiograph.name}: {' and '.join(radiograph.unknown)} of this picture {'are' if len(radiograph.unknown) > 1 else 'is'} "
        f"unknown; fitted as a {scale.view} view of the {scale.region}{said}, with a mean line integral of {mean:.2f} behind the "
        f"body, as of {mean / MU_WATER:.0f} mm of water. Absolute attenuation is an estimate."
    )
