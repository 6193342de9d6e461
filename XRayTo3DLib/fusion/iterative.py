"""Fusion: a reconstruction is corrected until it agrees with the radiographs it came from.

One ray that measures ``p`` and sees ``P = sum(mu_i) * step`` in the reconstruction spreads what is missing over its voxels by the
weights ``mu_i ** beta``: ``mu_i += (p - P) / step * mu_i**beta / sum(mu**beta)`` (Henzler et al., Computer Graphics Forum 37, 2018,
section 4.2; the closed form in line integrals re-projects exactly, the printed one in transparencies does not). A single parallel
view is solved by that in one step, slab by slab if the volume is large. Several views and cone beams use the same weights in
an iteration, with the projector's own adjoint, until every view agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import BETA, EMPTY, check_beta
from XRayTo3DLib.fusion.reprojection import errors_of, reproject, reprojection_error
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.memory import check_memory
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.projection.projector import backproject, project

#: Share of a picture's maximum above which a ray belongs to the body's silhouette.
_SILHOUETTE = 0.02
_ROUNDS_IN_TURN = 10
#: Conjugate gradients also fit what views contradict each other in (noise, scatter, a wrong angle), at any price to the volume.
#: They go on while the logarithm of the error falls by so much for every change of the volume as large as that of all rounds in
#: turn. Views that agree gain 7 to 11, with 2 % of noise in a cone beam 1.3, with 5 % 0.5.
_WORTH = 3.0
_CONJUGATE_STEPS = 12
#: Volumes in float32 that the iteration holds at its peak: these, and so many more a view (measured).
_VOLUMES, _VOLUMES_A_VIEW = 16, 3


@dataclass(frozen=True, eq=False)
class Fused:
    """``volume`` in 1/mm; per view the relative re-projection error; what the iteration took and met.

    ``errors`` are those of :func:`.reprojection.reprojection_error`. ``empty_rays`` counts rays that measured matter where the
    reconstruction had none; they were filled evenly inside the body that the views outline.
    """

    volume: Volume
    errors: list[float]
    iterations: int
    empty_rays: int


def fuse(
    volume: Volume,
    radiographs: Sequence[Radiograph],
    beta: float = BETA,
    tolerance: float = 5e-4,
    iterations: int = 40,
    progress: Progress = silent,
) -> Fused:
    """Correct ``volume`` (1/mm) until it re-projects to every radiograph.

    The first rounds visit the views in turn and spread each ray's residual over the voxels it crossed, weighted by
    ``mu ** beta``, with the projector's own adjoint; one round is the closed form where the pixels of a parallel view are the
    grid's columns. What is left then (rays that cross at odd angles) is solved for all views at once by preconditioned conjugate
    gradients with the same weights, in every other round. Stops when the re-projection error of every view (of the rays that
    cross the grid) is below ``tolerance``, after ``iterations`` rounds (0: the volume as it is), or when what is left is not worth
    its price (views that contradict each other), and returns the best round. Raises :class:`InputError` for a volume in the wrong
    unit or with NaN, no radiographs, and numbers that mean nothing.

    Pixels that are not valid neither pull nor count: their rays are corrected by what crosses them.
    """
    _check(volume, radiographs, beta, tolerance, iterations)
    if iterations == 0:
        clipped = Volume(np.maximum(volume.array, 0).astype(np.float32), volume.grid, "1/mm")
        return Fused(clipped, errors_of(radiographs, reproject(clipped, radiographs)), 0, 0)
    rays = _Rays(radiographs, volume.grid)
    mu, empty_rays = rays.fill_empty(torch.as_tensor(np.maximum(volume.array, 0), dtype=torch.float32))
    start, best, residuals = mu, mu, rays.residuals(mu)
    least, done = rays.worst(residuals), 0

    def say(error: float) -> None:
        progress(min(1.0, done / iterations), f"fusion, re-projection error {error:.2%}")

    say(least)
    while done < min(iterations, _ROUNDS_IN_TURN) and least >= tolerance:
        mu = rays.visit_in_turn(mu, beta)
        done += 1
        found = rays.residuals(mu)
        error = rays.worst(found)
        say(error)
        if not np.isfinite(error):
            break
        if error < least:
            best, least, residuals = mu, error, found
    moved = _norm(best - start)
    while done + 2 <= iterations and least >= tolerance:
        mu = rays.visit_in_turn(rays.solve_together(best, residuals, best**beta, tolerance), beta)
        done += 2
        found = rays.residuals(mu)
        error = rays.worst(found)
        say(error)
        if not np.log(least / error) * moved >= _WORTH * _norm(mu - best):  # NaN too
            break
        best, least, residuals = mu, error, found
    fused = Volume(best.numpy(), volume.grid, "1/mm")
    return Fused(fused, errors_of(radiographs, reproject(fused, radiographs)), done, empty_rays)


def check_room(grid: Grid, views: int) -> None:
    """Raise :class:`InputError` when this machine cannot hold a fusion of so many views on ``grid``."""
    size = " x ".join(map(str, grid.size))
    needed = 4.0 * (_VOLUMES + _VOLUMES_A_VIEW * views) * float(np.prod(grid.size, dtype=np.float64))
    check_memory(needed, f"A reconstruction on {size} voxels", "choose fewer or larger voxels")


def _check(volume: Volume, radiographs: Sequence[Radiograph], beta: float, tolerance: float, iterations: int) -> None:
    if volume.unit != "1/mm":
        raise InputError("Fusion works on attenuation in 1/mm: convert the volume with to_attenuation first.")
    if not radiographs:
        raise InputError("No radiograph was given to fuse with: give at least one view.")
    check_beta(beta)
    check_room(volume.grid, len(radiographs))
    if not tolerance >= 0:  # NaN too
        raise InputError(f"The tolerance {tolerance} of the fusion is no re-projection error: give a number from 0 on.")
    if not (isinstance(iterations, (int, np.integer)) and iterations >= 0):
        raise InputError(f"{iterations} rounds of fusion cannot be made: give a whole number from 0 on.")
    if not np.isfinite(volume.array).all():
        raise InputError("The volume to fuse holds NaN or infinite voxels: replace them first.")
    for radiograph in radiographs:
        if not np.isfinite(radiograph.line_integrals).all():
            raise InputError(f"The radiograph {radiograph.name!r} holds NaN or infinite pixels: compute or export it again.")


class _Rays:
    """The rays of all views through one grid: measured values, and the two ways of correcting a volume by their residuals."""

    def __init__(self, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        self.grid = grid
        self.views = [r.projection for r in radiographs]
        #: 1 for a ray that was measured, 0 for one that was not: it pulls nothing, and what it measured is never looked at.
        self.counts = [
            torch.as_tensor(np.ones(r.projection.size) if r.valid is None else r.valid, dtype=torch.float32) for r in radiographs
        ]
        self.measured = [
            torch.where(counts > 0, torch.as_tensor(r.line_integrals, dtype=torch.float32), 0).clamp(min=0)
            for r, counts in zip(radiographs, self.counts, strict=True)
        ]
        #: What a measured ray of ones deposits in each voxel, a volume a view.
        self.lengths = [backproject([counts], grid, [v]) for counts, v in zip(self.counts, self.views, strict=True)]
        #: The length in mm of each ray in the grid.
        self.chords = project(torch.ones(grid.shape), grid, self.views)
        self.crossing = [(chord > 0) & (counts > 0) for chord, counts in zip(self.chords, self.counts, strict=True)]

    def residuals(self, mu: torch.Tensor) -> list[torch.Tensor]:
        seen = project(mu, self.grid, self.views)
        return [torch.where(c > 0, m - p, 0) for c, m, p in zip(self.counts, self.measured, seen, strict=True)]

    def worst(self, residuals: Sequence[torch.Tensor]) -> float:
        """The largest re-projection error of a view, of its valid rays that cross the grid: others cannot be corrected here."""
        errors = []
        for residual, measured, crossing in zip(residuals, self.measured, self.crossing, strict=True):
            seen = measured.numpy()
            if bool((measured[crossing] > 0).any()):  # a blank view asks for nothing
                errors.append(reprojection_error(seen, seen - residual.numpy(), crossing.numpy()))
        return float(np.max(errors, initial=0.0))  # NaN stays NaN, and is never the least

    def visit_in_turn(self, mu: torch.Tensor, beta: float) -> torch.Tensor:
        """One weighted correction by each view after the other, never below zero."""
        for view, counts, measured, length in zip(self.views, self.counts, self.measured, self.lengths, strict=True):
            weight = mu**beta * (mu > 0)
            residual = torch.where(counts > 0, measured - project(mu, self.grid, [view])[0], 0)
            reach = project(weight * length, self.grid, [view])[0]
            # A ray through (nearly) nothing cannot be corrected by weights; fill_empty has dealt with it.
            share = torch.where(reach > 1e-6 * reach.max(), residual / reach.clamp(min=1e-30), 0)
            mu = (mu + weight * backproject([share], self.grid, [view])).clamp(min=0)
        return mu

    def solve_together(
        self, mu: torch.Tensor, residuals: list[torch.Tensor], weight: torch.Tensor, tolerance: float
    ) -> torch.Tensor:
        """The smallest weighted correction that removes all residuals at once, then clipped at zero.

        Solves ``A W A^T y = r`` for a value a ray, preconditioned by the row sums of that matrix, and adds ``W A^T y``.
        """
        sizes = [r.numel() for r in residuals]

        def forward(values: torch.Tensor) -> torch.Tensor:
            return torch.cat([p.ravel() for p in project(weight * values, self.grid, self.views)])

        def adjoint(values: torch.Tensor) -> torch.Tensor:
            parts = [v.reshape(m.shape) for v, m in zip(values.split(sizes), self.measured, strict=True)]
            return backproject(parts, self.grid, self.views)

        right = torch.cat([r.ravel() for r in residuals])
        reach = forward(sum(self.lengths, torch.zeros(())))
        usable = (reach > 1e-5 * reach.max()) & (torch.cat([c.ravel() for c in self.counts]) > 0)
        inverse = torch.where(usable, 1 / reach.clamp(min=1e-30), 0)
        left, answer = right * usable, torch.zeros_like(right)
        goal = 0.3 * tolerance * sum(map(_sum, self.measured)) / sum(sizes)
        along = inverse * left
        product = _dot(left, along)
        for _ in range(_CONJUGATE_STEPS):
            if _sum(left.abs()) / left.numel() < goal or product <= 0:
                break
            image = forward(adjoint(along)) * usable
            length = product / max(_dot(along, image), 1e-30)
            answer, left = answer + length * along, left - length * image
            fresh, previous = inverse * left, product
            product = _dot(left, fresh)
            along = fresh + product / previous * along
        return (mu + weight * adjoint(answer)).clamp(min=0)

    def fill_empty(self, mu: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Spread what empty rays measured evenly along them inside the body that the views outline; also count those rays."""
        hull: torch.Tensor | None = None
        count = 0
        for view, measured, chord in zip(self.views, self.measured, self.chords, strict=True):
            seen = project(mu, self.grid, [view])[0]
            empty = (chord > 0) & (seen <= EMPTY * chord) & (measured > _SILHOUETTE * measured.max())
            if not bool(empty.any()):
                continue
            count += int(empty.sum())
            hull = self.outline() if hull is None else hull
            length = project(hull, self.grid, [view])[0]
            density = torch.where(empty & (length > 0), measured / length.clamp(min=1e-6), 0)
            hits = backproject([empty.to(mu.dtype)], self.grid, [view])
            even = backproject([density], self.grid, [view]) / hits.clamp(min=1e-6)
            mu = torch.maximum(mu, hull * even * (hits > 0))
        return mu, count

    def outline(self) -> torch.Tensor:
        """1 where every view sees matter, or did not measure, 0 elsewhere: the hull of the silhouettes, [z, y, x]."""
        hull = torch.ones(self.grid.shape)
        for view, counts, measured in zip(self.views, self.counts, self.measured, strict=True):
            shadow = ((measured > _SILHOUETTE * measured.max()) | (counts == 0)).to(torch.float32)
            hull = hull * (backproject([shadow], self.grid, [view]) > 0)
        return hull


def _sum(values: torch.Tensor) -> float:
    """The sum in double precision and always in the same order: torch's own depends on the number of threads."""
    return float(np.sum(values.numpy(), dtype=np.float64))


def _norm(values: torch.Tensor) -> float:
    return float(np.sqrt(_dot(values, values)))


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    return _sum(one * other)
