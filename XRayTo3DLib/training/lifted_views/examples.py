"""Training examples: CTs placed and X-rayed at random, each batch a pure function of the recipe, the CTs and its step.

An example is the protocol's cube somewhere in one CT, sampled once from the CT's own voxels, and one to three radiographs of what
is in that cube, computed by the projector of this library on virtual detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import carm_direction, view_projection
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.reconstruction.methods import virtual_detector
from XRayTo3DLib.training.augmentation import annealed, rotation, sample, smooth_field
from XRayTo3DLib.training.lifted_views.settings import Augmentation, LiftedViews, Views
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.subjects import Subject

#: Relative attenuation above which a voxel counts as bone.
_BONE = 1.15
#: C-arm angles in degrees: PA and AP beams with their chances, laterals of either side, and the chance that a single view is one.
_FRONTAL, _FRONTAL_CHANCES, _LATERAL, _LATERAL_ALONE = (0.0, 180.0), (0.4, 0.6), (90.0, -90.0), 0.15


@dataclass(frozen=True)
class Batch:
    """What the network takes and should give: see :meth:`ReconstructionNetwork.slab` for the shapes; ``first`` slice of the slab.

    ``target``: the whole cubes (B, 1, z, y, x).
    """

    images: torch.Tensor
    matrices: torch.Tensor
    beams: torch.Tensor
    affine: torch.Tensor
    target: torch.Tensor
    first: int

    def to(self, device: torch.device) -> Batch:
        names = ("images", "matrices", "beams", "affine", "target")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


class Examples:
    """Draws the batches of a recipe from its subjects."""

    def __init__(self, recipe: Recipe[LiftedViews], subjects: Sequence[Subject]) -> None:
        if not subjects:
            raise InputError(f"There is no CT to train {recipe.name} on: name a data folder that holds some.")
        self.recipe = recipe
        self.subjects = subjects
        settings = recipe.settings.grid
        self.grid = Grid.centred((0, 0, 0), settings.size, settings.spacing)
        weights = np.array([subject.weight for subject in subjects])
        self.chances = weights / weights.sum()

    def batch(self, step: int) -> Batch:
        """The examples of one step: the same for the same recipe and step."""
        settings = self.recipe.settings
        generator = np.random.default_rng([self.recipe.seed, step])
        fraction = step / (settings.augmentation.until * self.recipe.schedule.steps)
        views = int(generator.choice([1, 2, 3], p=np.array(settings.views.chances) / sum(settings.views.chances)))
        targets, seen = [], []
        for _ in range(self.recipe.schedule.batch):
            subject = self.subjects[generator.choice(len(self.subjects), p=self.chances)]
            target = place(subject, self.grid, settings.augmentation, fraction, generator)
            targets.append(target)
            seen.append(radiographs(target, self.grid, views, settings.views, fraction, generator))
        firsts = np.arange(0, settings.grid.size - settings.grid.slab + 1, 8)
        chances = np.linspace(1.0, settings.grid.slab_preference, len(firsts))
        first = int(generator.choice(firsts, p=chances / chances.sum()))
        images, matrices, beams = (torch.stack(parts) for parts in zip(*seen, strict=True))
        affine = torch.tensor(self.grid.affine, dtype=torch.float32)
        return Batch(images, matrices, beams, affine, torch.stack(targets).unsqueeze(1), first)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a subject stands on a grid: ``offsets`` (z, y, x, 3) from ``centre``, both LPS mm in its CT's own frame.

    ``mirrored``: its left has become its right; ``bone_gain``: what attenuation above that of soft tissue is multiplied by.
    """

    offsets: torch.Tensor
    centre: np.ndarray
    mirrored: bool
    bone_gain: float = 1.0


def place(subject: Subject, grid: Grid, settings: Augmentation, fraction: float, generator: np.random.Generator) -> torch.Tensor:
    """Relative attenuation [z, y, x] of one CT on a cube of the grid's shape: just at the protocol's place, or moved and bent.

    ``fraction``: of the annealing that is over. Half of all patients are mirrored.
    """
    return attenuation(subject, placement(subject, grid, settings, fraction, generator))


def attenuation(subject: Subject, placed: Placement) -> torch.Tensor:
    """Relative attenuation [z, y, x] of one CT where it was placed."""
    values = sample(subject, placed.offsets, placed.centre)
    if placed.bone_gain != 1.0:
        values = torch.where(values > _BONE, _BONE + (values - _BONE) * placed.bone_gain, values)
    return values


def placement(subject: Subject, grid: Grid, settings: Augmentation, fraction: float, generator: np.random.Generator) -> Placement:
    """Draws where a CT stands, see :func:`place`."""
    exact = generator.random() < annealed(settings.exact, fraction)
    turn, scale, shift = np.eye(3), 1.0, np.zeros(3)
    if not exact:
        low, high = settings.scale[subject.group]
        scale = float(np.exp(generator.uniform(np.log(low), np.log(high))))
        stretch = scale * np.exp(generator.uniform(-1, 1, 3) * annealed(settings.stretch, fraction))
        turn = rotation(generator.normal(0, annealed(settings.rotation_degrees, fraction), 3)) @ np.diag(stretch)
        shift = generator.normal(0, annealed(settings.shift_mm, fraction), 3)
    mirrored = bool(generator.random() < 0.5)
    if mirrored:
        turn = turn @ np.diag([-1.0, 1.0, 1.0])
    height = grid.size[2] * grid.spacing[2] * scale
    centre = subject.top - [0.0, 0.0, 0.5 * (height - grid.spacing[2] * scale)] + shift
    if not exact and subject.length > height and generator.random() < settings.anywhere[subject.group]:
        centre[2] -= generator.uniform(0, subject.length - height)
    axes = [(torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * s for n, s in zip(grid.size, grid.spacing, strict=True)]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    offsets = torch.stack([x, y, z], dim=-1) @ torch.tensor(turn.T, dtype=torch.float32)
    if exact:
        return Placement(offsets, centre, mirrored)
    offsets = offsets + smooth_field(generator, grid.size[0], annealed(settings.bend_mm, fraction))
    return Placement(offsets, centre, mirrored, float(np.exp(generator.normal(0, annealed(settings.bone_gain, fraction)))))


def radiographs(
    target: torch.Tensor, grid: Grid, views: int, settings: Views, fraction: float, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Line integrals on virtual detectors, scaled for the network (V, H, W), with the matrices and beams that it is told."""
    real, told = beams(grid, views, settings, fraction, generator)
    return measured(target, grid, real, told, settings, fraction, generator)


def measured(
    target: torch.Tensor,
    grid: Grid,
    real: Sequence[Projection],
    told: Sequence[Projection],
    settings: Views,
    fraction: float,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What detectors that stand in ``real`` measure, with noise, gain and blur, and what the network is ``told`` of them."""
    integrals = torch.stack(project(target * MU_WATER, grid, real))
    if generator.random() < annealed(settings.noisy, fraction):
        photons = 10 ** generator.uniform(*settings.log10_photons)
        noise = torch.as_tensor(generator.standard_normal(integrals.shape), dtype=torch.float32)
        integrals = (integrals + noise * torch.exp(integrals.clamp(max=12) / 2) / photons**0.5).clamp(min=0)
    if generator.random() < annealed(settings.gain_chance, fraction):
        integrals = integrals * float(np.exp(generator.normal(0, settings.gain)))
    if generator.random() < annealed(settings.blur_chance, fraction):
        integrals = _blurred(integrals, generator.uniform(*settings.blur))
    matrices = np.stack([virtual_detector.matrix(p, grid) for p in told])
    beams = np.stack([virtual_detector.beam(p, grid) for p in told])
    return (
        integrals / virtual_detector.scale(grid),
        torch.as_tensor(matrices, dtype=torch.float32),
        torch.as_tensor(beams, dtype=torch.float32),
    )


def beams(
    grid: Grid, views: int, settings: Views, fraction: float, generator: np.random.Generator
) -> tuple[list[Projection], list[Projection]]:
    """Virtual detectors as they stand, and as the network is told that they do."""
    real: list[Projection] = []
    told: list[Projection] = []
    for primary, secondary in _angles(views, settings, fraction, generator):
        distance = generator.uniform(*settings.source_to_isocentre) if generator.random() < settings.cone else None
        real.append(_view(primary, secondary, distance, grid))
        untold = generator.random() < settings.untold
        error = generator.normal(0, settings.untold_degrees, 2) * [1.0, 0.5] if untold else (0.0, 0.0)
        told.append(_view(primary + error[0], secondary + error[1], distance, grid))
    return real, told


def _view(primary: float, secondary: float, distance: float | None, grid: Grid) -> Projection:
    direction = carm_direction(primary, secondary)
    real = view_projection(direction, grid.centre, (8, 8), 4.0, 2 * distance if distance else None, distance)
    return virtual_detector.virtual_projection(real, grid)


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    taps = torch.exp(-(torch.arange(-2, 3, dtype=torch.float32) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    rows = functional.conv2d(images[:, None], taps.view(1, 1, 5, 1), padding=(2, 0))
    return functional.conv2d(rows, taps.view(1, 1, 1, 5), padding=(0, 2))[:, 0]


def _angles(views: int, settings: Views, fraction: float, generator: np.random.Generator) -> list[tuple[float, float]]:
    """C-arm angles in degrees: mostly AP and lateral with the errors of real positioning, sometimes anything."""
    if generator.random() < annealed(settings.anything, fraction):
        first = generator.uniform(-180, 180)
        apart = generator.uniform(30, 150) * generator.choice([-1, 1])
        return [(first + i * apart / max(1, views - 1), generator.normal(0, 8)) for i in range(views)]
    frontal = generator.choice(_FRONTAL, p=_FRONTAL_CHANCES)
    lateral = generator.choice(_LATERAL)
    order = [frontal, lateral] if views > 1 or generator.random() >= _LATERAL_ALONE else [lateral]
    wanted = order[:views]
    if views > 2:
        wanted.append(generator.uniform(20, 70) * generator.choice([-1, 1]))
    found = []
    for angle in wanted:
        errors = [0.0 if generator.random() < settings.aimed else generator.normal(0, settings.error_degrees) for _ in range(2)]
        found.append((float(angle + errors[0]), 0.5 * errors[1]))
    return found
