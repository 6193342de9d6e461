"""The map from the atlas to a subject: an affine map after the exponential of a stationary velocity field.

A point x of the atlas lies in the subject at ``A(exp(v)(x))``. Both are found by gradient descent on the squared difference of the
pictures (:mod:`channels`) at points drawn at random in each step, as elastix does (Klein et al., IEEE TMI 29, 2010), a velocity as
in the log-domain demons (Vercauteren et al., MICCAI 2008). Only points that both scans hold count, so a slab can be registered to a
whole trunk. The affine map starts from several heights, because a partial scan does not say where along the body it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.simulation.population.channels import Pictures, weights_of
from XRayTo3DLib.simulation.population.descent import Descent
from XRayTo3DLib.simulation.population.fields import displaced, exponential, resampled, sample

#: Scans that share less than this along the body cannot be registered.
_LEAST_OVERLAP_MM = 50.0
_HEIGHTS_MM = 24.0
#: Started from the best heights, each with a few steps.
_STARTS = 4
#: Standard deviations of the prior of the affine map: natural logarithm of the stretch (xx, yy, zz, xy, xz, yz), and the
#: rotation in radians.
#: Widths differ more between people than the length of the trunk does; without it a scan of the abdomen fills the chest.
_STRETCH = (0.2, 0.25, 0.07, 0.05, 0.05, 0.08)
_ROTATION, _PRIOR = 0.12, 0.06


@dataclass(frozen=True)
class RegistrationSettings:
    """``spacing``: mm between the nodes of the velocity; ``steps`` of each level (coarse to fine); ``affine_steps`` of each start;
    ``stiffness``: weight of the mean squared derivative of the velocity; ``points`` drawn a step; ``seed`` of the draws."""

    spacing: float = 10.0
    steps: tuple[int, ...] = (80, 80, 50)
    affine_steps: int = 60
    stiffness: float = 0.2
    points: int = 16000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Registration:
    """``affine``: 4x4 LPS mm, ``velocity``: float32 (3, z, y, x) mm on ``grid``; ``loss``: the mean weighted squared difference."""

    affine: np.ndarray
    velocity: np.ndarray
    grid: Grid
    loss: float

    def write(self, path: Path) -> None:
        """Write it as a file of numpy (.npz)."""
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                affine=self.affine,
                velocity=self.velocity,
                size=self.grid.size,
                spacing=self.grid.spacing,
                origin=self.grid.origin,
                loss=self.loss,
            )

    @staticmethod
    def read(path: Path) -> Registration:
        """Read what :meth:`write` wrote; :class:`InputError` for another file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                size, spacing, origin = (tuple(stored[name].tolist()) for name in ("size", "spacing", "origin"))
                return Registration(stored["affine"], stored["velocity"], Grid(size, spacing, origin), float(stored["loss"]))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path} is no registration ({type(error).__name__}): delete it and register anew.") from None

    def to_subject(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the atlas, LPS mm, in the subject."""
        displacement = exponential(torch.from_numpy(self.velocity), self.grid)
        moved = displaced(torch.from_numpy(np.asarray(points, dtype=np.float32)), displacement, self.grid).numpy()
        return moved @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_atlas(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the subject, LPS mm, in the atlas."""
        back = np.linalg.inv(self.affine)
        moved = (np.asarray(points) @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
        displacement = exponential(torch.from_numpy(-self.velocity), self.grid)
        return displaced(torch.from_numpy(moved), displacement, self.grid).numpy()


def register(
    atlas: Pictures, subject: Pictures, grid: Grid, settings: RegistrationSettings | None = None, progress: Progress = silent
) -> Registration:
    """The map from ``atlas`` to ``subject``; the velocity lives on ``grid``, which may reach beyond the atlas.

    Raises :class:`InputError` where the two share no height.
    """
    chosen = settings or RegistrationSettings()
    generator = torch.Generator().manual_seed(chosen.seed)
    names = tuple(name for name in atlas.names if name in subject.names)
    pair = _Pair(atlas, subject, names, chosen.points, generator)
    progress(0.0, "height along the body")
    parameters = _affine(pair, chosen.affine_steps, part(progress, 0.0, 0.2))
    return _deform(pair, parameters, grid, chosen, part(progress, 0.2, 1.0))


class _Pair:
    """The two sets of pictures, and their difference at points of the atlas that lie in its body or next to it."""

    def __init__(self, atlas: Pictures, subject: Pictures, names: tuple[str, ...], points: int, generator: torch.Generator) -> None:
        self.atlas, self.subject, self.points, self.generator = atlas, subject, points, generator
        self.weights = weights_of(names)
        self.fixed, self.moving = atlas.channels(names), subject.channels(names)
        near = torch.nn.functional.max_pool3d(torch.from_numpy(atlas.masks["body"]).float()[None, None], 7, 1, 3)[0, 0] > 0
        self.candidates = torch.nonzero(near & (atlas.known > 0))

    def keep_seen(self, affine: torch.Tensor) -> None:
        """From here on only points that the affine map puts into the subject's field count. Else a scan that ends in the lungs
        could win by being drawn out over those of the atlas."""
        grid = self.atlas.grid
        points = self.candidates.flip(1).float() * torch.tensor(grid.spacing) + torch.tensor(grid.origin, dtype=torch.float32)
        there = points @ affine[:, :3].T + affine[:, 3]
        self.candidates = self.candidates[sample(self.subject.known[None], self.subject.grid, there, "zeros")[..., 0] > 0.5]

    def draw(self, count: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, 3) LPS mm, not only at voxels, and the atlas' pictures there (n, channels)."""
        chosen = torch.randint(len(self.candidates), (count or self.points,), generator=self.generator)
        index = self.candidates[chosen].flip(1).float() + torch.rand((len(chosen), 3), generator=self.generator) - 0.5
        grid = self.atlas.grid
        points = index * torch.tensor(grid.spacing, dtype=torch.float32) + torch.tensor(grid.origin, dtype=torch.float32)
        return points, sample(self.fixed, grid, points)

    def difference(self, there: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean weighted squared difference at points of the subject, and how many of them lie in its field."""
        inside = sample(self.subject.known[None], self.subject.grid, there.detach(), "zeros")[..., 0] > 0.99
        found = sample(self.moving, self.subject.grid, there[inside])
        squares = ((found - wanted[inside]) ** 2 * self.weights).sum(dim=-1)
        return squares.sum() / max(len(squares), 1), inside.sum()


def affine_matrix(parameters: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """3x4 from 12 numbers: shift in units of 100 mm, rotation vector, and the logarithm of the stretch (6, symmetric)."""
    shift, turn, stretch = parameters[:3] * 100, parameters[3:6], parameters[6:]
    zero = torch.zeros(())
    skew = torch.stack((zero, -turn[2], turn[1], turn[2], zero, -turn[0], -turn[1], turn[0], zero)).reshape(3, 3)
    a, b, c, d, e, f = stretch
    symmetric = torch.stack((a, d, e, d, b, f, e, f, c)).reshape(3, 3)
    linear = torch.linalg.matrix_exp(skew) @ torch.linalg.matrix_exp(symmetric)
    return torch.cat((linear, (centre + shift - linear @ centre)[:, None]), dim=1)


def _affine(pair: _Pair, steps: int, progress: Progress) -> torch.Tensor:
    """The affine map of the best of several heights, 3x4."""
    centre = torch.tensor(np.asarray(_body_centre(pair.atlas)), dtype=torch.float32)
    starts = []
    points, wanted = pair.draw()
    for shift in _shifts(pair.atlas, pair.subject):
        parameters = torch.zeros(12)
        parameters[:3] = torch.from_numpy(shift / 100).float()
        matrix = affine_matrix(parameters, centre)
        loss, count = pair.difference(points @ matrix[:, :3].T + matrix[:, 3], wanted)
        starts.append((float(loss) * _partial(count, points), parameters))
    starts.sort(key=lambda start: start[0])
    best: tuple[float, torch.Tensor] | None = None
    for number, (_, parameters) in enumerate(starts[:_STARTS]):
        parameters = parameters.clone().requires_grad_(True)
        descent = Descent([parameters])
        for step in range(steps):
            points, wanted = pair.draw(5000)
            matrix = affine_matrix(parameters, centre)
            loss, _ = pair.difference(points @ matrix[:, :3].T + matrix[:, 3], wanted)
            (loss + _prior(parameters)).backward()
            descent.step(0.03 * (1 - step / steps) + 0.002)
        with torch.no_grad():
            points, wanted = pair.draw()
            matrix = affine_matrix(parameters, centre)
            loss, count = pair.difference(points @ matrix[:, :3].T + matrix[:, 3], wanted)
            score = (float(loss) + float(_prior(parameters))) * _partial(count, points)
        if best is None or score < best[0]:
            best = score, matrix.detach()
        progress((number + 1) / _STARTS, "affine map")
    assert best is not None
    return best[1]


def _prior(parameters: torch.Tensor) -> torch.Tensor:
    stretch = parameters[6:] / torch.tensor(_STRETCH)
    return _PRIOR * (stretch.square().sum() + (parameters[3:6] / _ROTATION).square().sum()) / 2


def _partial(count: torch.Tensor, points: torch.Tensor) -> float:
    """A factor against starts that win by comparing little: 1 where half of the atlas is compared, 1.5 where nothing is."""
    return 1.5 - min(float(count) / len(points), 0.5)


def _shifts(atlas: Pictures, subject: Pictures) -> list[np.ndarray]:
    """Shifts (x, y, z) in mm: every height at which the two overlap, with the middles of the bodies there on each other."""
    found = []
    body = [(one.masks["body"] & (one.known.numpy() > 0), one.grid) for one in (atlas, subject)]
    spans = []
    for mask, grid in body:
        rows = np.flatnonzero(mask.any(axis=(1, 2)))
        spans.append((grid.origin[2] + rows[0] * grid.spacing[2], grid.origin[2] + rows[-1] * grid.spacing[2]))
    (low, high), (first, last) = spans
    least = min(_LEAST_OVERLAP_MM, 0.8 * (last - first), 0.8 * (high - low))
    for dz in np.arange(first - high + least, last - low - least + 1, _HEIGHTS_MM):
        bottom, top = max(low, first - dz), min(high, last - dz)
        middles = [_middle(mask, grid, bottom + shift, top + shift) for (mask, grid), shift in zip(body, (0.0, dz), strict=True)]
        if None not in middles:
            found.append(np.array([*(np.array(middles[1]) - np.array(middles[0])), dz]))  # type: ignore[arg-type]
    if not found:
        raise InputError("The CT shares no height of the body with the atlas: leave it out of the folder.")
    return found


def _middle(mask: np.ndarray, grid: Grid, bottom: float, top: float) -> tuple[float, float] | None:
    """The middle (x, y) in mm of the box of the body between two heights."""
    z = grid.origin[2] + np.arange(grid.size[2]) * grid.spacing[2]
    seen = mask[(z >= bottom) & (z <= top)].mean(axis=0) > 0.3 if ((z >= bottom) & (z <= top)).any() else np.zeros((1, 1), bool)
    if not seen.any():
        return None
    y, x = np.nonzero(seen)
    return (
        grid.origin[0] + grid.spacing[0] * (x.min() + x.max()) / 2,
        grid.origin[1] + grid.spacing[1] * (y.min() + y.max()) / 2,
    )


def _body_centre(one: Pictures) -> Sequence[float]:
    """LPS mm of the centre of gravity of the body."""
    z, y, x = (float(axis.mean()) for axis in np.nonzero(one.masks["body"]))
    return [o + s * i for o, s, i in zip(one.grid.origin, one.grid.spacing, (x, y, z), strict=True)]


def _deform(pair: _Pair, affine: torch.Tensor, grid: Grid, settings: RegistrationSettings, progress: Progress) -> Registration:
    """The velocity as a sum of levels, coarse to fine: a coarse node moves what many fine ones would have to agree on."""
    pair.keep_seen(affine)
    levels = len(settings.steps)
    grids = [_spanning(grid, settings.spacing * 2**k) for k in range(levels - 1, -1, -1)]
    parts = [torch.zeros((3, *one.shape)) for one in grids]
    done, total, running = 0, sum(settings.steps), 0.0
    for level, steps in enumerate(settings.steps):
        active = [one.requires_grad_(True) for one in parts[: level + 1]]
        descent = Descent(active)
        for step in range(steps):
            velocity = _sum(active, grids[: level + 1])
            points, wanted = pair.draw()
            moved = displaced(points, exponential(velocity, grids[level], _STEPS_OF_FIT), grids[level])
            loss, _ = pair.difference(moved @ affine[:, :3].T + affine[:, 3], wanted)
            (loss + settings.stiffness * _roughness(velocity, grids[level])).backward()
            descent.step((1.5 if level == 0 else 0.8) * (1 - 0.8 * step / steps))
            done, running = done + 1, 0.9 * running + 0.1 * float(loss.detach()) if done else float(loss.detach())
            progress(done / total, f"deformation, step {done} of {total}, difference {running:.4f}")
    with torch.no_grad():
        velocity = _sum(parts, grids).detach()
    matrix = np.eye(4)
    matrix[:3] = affine.numpy()
    return Registration(matrix, resampled(velocity, grids[-1], grid).numpy(), grid, running)


#: Squarings while fitting: 2^6 steps; the result is integrated as finely as it needs.
_STEPS_OF_FIT = 6


def _spanning(grid: Grid, spacing: float) -> Grid:
    """The box of ``grid`` from its first node to its last one, with nodes about ``spacing`` apart."""
    span = (np.asarray(grid.size) - 1) * grid.spacing
    size = np.maximum(np.ceil(span / spacing).astype(int) + 1, 3)
    return Grid(tuple(size), tuple(span / (size - 1)), grid.origin)  # type: ignore[arg-type]


def _sum(parts: Sequence[torch.Tensor], grids: Sequence[Grid]) -> torch.Tensor:
    finest = grids[len(parts) - 1].shape
    total = parts[-1]
    for one in parts[:-1]:
        total = total + torch.nn.functional.interpolate(one[None], finest, mode="trilinear", align_corners=True)[0]
    return total


def _roughness(velocity: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The mean over the nodes of the squared derivatives of the velocity, a number without unit."""
    total = torch.zeros(())
    for axis, step in zip((3, 2, 1), grid.spacing, strict=True):
        total = total + (torch.diff(velocity, dim=axis) / step).square().sum(dim=0).mean()
    return total
