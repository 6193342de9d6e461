"""Gain, offset and curve of pictures of unknown scale, refined together with the reconstruction.

Re-projection alone cannot tell a thin dense body from a thick faint one: a fit by it alone collapses. What is minimised here has
three parts: how far the method's own volume re-projects from the pictures, *relative* to them; how far each picture's percentiles
behind the body are from what bodies of that region measure; and how far the views disagree on the mass of each slice. A few
Gauss-Newton steps, of one run of the method a number, minimise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.calibration.appearance import guessed_region
from XRayTo3DLib.reconstruction.calibration.curve import (
    Curve,
    Percentiles,
    first_curve,
    free_numbers,
    percentiles_of,
    prior,
    with_numbers,
)
from XRayTo3DLib.reconstruction.calibration.gates import all_faults, too_narrow
from XRayTo3DLib.reconstruction.calibration.mass import comparable, disagreement
from XRayTo3DLib.reconstruction.calibration.reference import reference_for
from XRayTo3DLib.reconstruction.calibration.scale import Scale
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow, shadow_of
from XRayTo3DLib.reconstruction.calibration.stretch import stretched
from XRayTo3DLib.reconstruction.methods.base import Estimate, Method

_ROUNDS = 3
#: How many independent measurements the relative re-projection error of one view is worth: the model's errors are not noise.
_WORTH = 30.0
#: The standard deviation of the logarithm of a band's mass between views; how much wider the mean's is beside a calibrated view.
_MASS, _WIDER = 0.08, 4.0
#: The step of the finite differences, and the longest step of a round, in the units of the numbers.
_STEP, _LONGEST = 0.06, 0.3


@dataclass(frozen=True, eq=False)
class Fit:
    """One picture's curve while it is fitted: its ``words`` are the free numbers, which start at ``start``."""

    index: int
    curve: Curve
    shadow: Shadow
    percentiles: Percentiles
    words: tuple[str, ...]
    start: np.ndarray

    def moved(self, numbers: np.ndarray) -> Curve:
        """The curve with its free numbers at ``numbers``."""
        return with_numbers(self.curve, self.words, numbers)

    def misfit(self, numbers: np.ndarray) -> np.ndarray:
        """How far the curve is from what bodies measure, and from a gentle one."""
        return np.append(self.percentiles.misfit(self.moved(numbers)), prior(self.words, numbers))


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
    method = stretched(method, model, radiographs, shadows, region, grid)
    beside_known = any(r.calibrated for r in radiographs)
    fits = []
    for index, (radiograph, shadow) in enumerate(zip(radiographs, shadows, strict=True)):
        if not radiograph.calibrated:
            reference = reference_for(region, radiograph, shadow)
            if beside_known:
                reference = replace(reference, spread=_WIDER * reference.spread)
            percentiles = percentiles_of(radiograph, shadow, reference)
            curve, start = first_curve(radiograph, shadow, percentiles)
            fits.append(Fit(index, curve, shadow, percentiles, free_numbers(radiograph, shadow), start))
    fits = _tied(fits, radiographs, shadows, grid)
    sizes = np.cumsum([0, *(len(fit.words) for fit in fits)])

    def parts(numbers: np.ndarray) -> list[np.ndarray]:
        return [numbers[first:last] for first, last in pairwise(sizes)]

    def used(numbers: np.ndarray) -> list[Radiograph]:
        found = list(radiographs)
        for fit, own in zip(fits, parts(numbers), strict=True):
            found[fit.index] = fit.moved(own).of(radiographs[fit.index], fit.shadow)
        return found

    at = np.concatenate([fit.start for fit in fits])
    runs, total = 0, len(at) + _ROUNDS + 1

    def run(numbers: np.ndarray) -> tuple[list[Radiograph], Estimate, np.ndarray]:
        nonlocal runs
        progress(runs / total, "fitting the scale of the pictures")
        runs += 1
        views = used(numbers)
        estimate = method.run(model, views, grid, silent)
        return views, estimate, _residuals(estimate, views, shadows)

    def others(numbers: np.ndarray) -> np.ndarray:
        """What needs no run of the method, in its own spreads."""
        own = [fit.misfit(part) for fit, part in zip(fits, parts(numbers), strict=True)]
        return np.concatenate([*own, disagreement(used(numbers), shadows, grid) / _MASS])

    views, estimate, residuals = run(at)
    slopes = [(run(at + step)[2] - residuals) / _STEP for step in _STEP * np.eye(len(at))]
    for _ in range(_ROUNDS if len(at) else 0):
        weight = np.sqrt(_WORTH * len(radiographs) / max(float(residuals @ residuals), 1e-12))
        rest = others(at)
        rest_slopes = [(others(at + step) - rest) / (0.1 * _STEP) for step in 0.1 * _STEP * np.eye(len(at))]
        matrix = np.vstack([weight * np.array(slopes).T, np.array(rest_slopes).T])
        step = np.linalg.lstsq(matrix, -np.concatenate([weight * residuals, rest]), rcond=None)[0]
        at = at + np.clip(step, -_LONGEST, _LONGEST)
        views, estimate, residuals = run(at)
    notes = all_faults(radiographs, shadows, disagreement(views, shadows, grid), len(comparable(radiographs, shadows, grid)))
    notes += [
        f"{radiographs[fit.index].name}: {narrow}"
        for fit in fits
        if (narrow := too_narrow(radiographs[fit.index], fit.shadow, region, grid.centre))
    ]
    scales: list[Scale | None] = [None] * len(radiographs)
    for fit, own in zip(fits, parts(at), strict=True):
        reference = fit.percentiles.reference
        scale = Scale(fit.moved(own), reference.region, reference.view, radiographs[fit.index].unknown)
        scales[fit.index] = scale
        notes.append(_told(radiographs[fit.index], fit.shadow, scale, said))
    return views, tuple(scales), replace(estimate, notes=(*estimate.notes, *notes))


def _tied(fits: list[Fit], radiographs: Sequence[Radiograph], shadows: Sequence[Shadow], grid: Grid) -> list[Fit]:
    """The fits, their gains starting from the mass of the slices that a calibrated view beside them measured, if there is one."""
    known = [i for i, r in enumerate(radiographs) if r.calibrated][:1]
    found = []
    for fit in fits:
        start = fit.start
        if known and "gain" in fit.words:
            seen = [radiographs[known[0]], fit.moved(start).of(radiographs[fit.index], fit.shadow)]
            logs = disagreement(seen, [shadows[known[0]], fit.shadow], grid).reshape(-1, 2)
            logs = logs[logs.any(axis=1)]
            if len(logs):
                start = start.copy()
                start[fit.words.index("gain")] += float(np.median(logs[:, 0] - logs[:, 1]))
        found.append(replace(fit, start=start))
    return found


def _residuals(estimate: Estimate, views: Sequence[Radiograph], shadows: Sequence[Shadow]) -> np.ndarray:
    """Re-projection residuals behind the body, relative to the picture's mean there, each view's with a mean square as its sum."""
    parts = []
    for view, shadow, picture in zip(views, shadows, reproject(estimate.mean, views), strict=True):
        measured = view.line_integrals[shadow.body]
        mean = max(float(measured.mean()), 1e-6)
        parts.append((picture[shadow.body] - measured) / (mean * np.sqrt(measured.size)))
    return np.concatenate(parts)


def _told(radiograph: Radiograph, shadow: Shadow, scale: Scale, said: str) -> str:
    mean = scale.curve(radiograph.line_integrals[shadow.body]).mean()
    return (
        f"{radiograph.name}: {' and '.join(radiograph.unknown)} of this picture {'are' if len(radiograph.unknown) > 1 else 'is'} "
        f"unknown; fitted as a {scale.view} view of the {scale.region}{said}, with a mean line integral of {mean:.2f} behind the "
        f"body, as of {mean / MU_WATER:.0f} mm of water. Absolute attenuation is an estimate."
    )
