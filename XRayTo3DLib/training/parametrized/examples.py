"""Training examples: patients' surface images, X-rays and landmarks, changed at random; a batch is a pure function of its step.

Two kinds of change. Surface, X-ray and landmarks are moved, scaled and bent together: another patient. X-ray and landmarks are
dragged while the surface stays: another anatomy inside the same body, from which the networks learn that the X-ray follows the
landmarks rather than the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.parametrized.heat_maps import heat_maps
from XRayTo3DLib.parametrized.networks import XRAY_UNIT
from XRayTo3DLib.training.parametrized.patients import Patient
from XRayTo3DLib.training.parametrized.settings import Augmentation, Parametrized
from XRayTo3DLib.training.recipes import Recipe

#: Nodes of a bending field along each side, and rounds in which a point is brought through a field.
_NODES, _ROUNDS = 5, 8
#: At most this many landmarks are dragged at once; a drag is no longer than this share of what follows, or the picture would fold.
_DRAGGED, _LONGEST = 3, 1.2


@dataclass(frozen=True)
class Batch:
    """What the networks take and should give.

    - ``surface`` (B, 2, H, W); ``xray`` (B, 1, H, W);
    - ``points`` (B, L, 2) in pixels, NaN where absent; ``maps`` (B, L, H, W) of them; ``told``: those that the image network gets;
    - ``seen`` (B, 1, 1, 1): 0 where a network gets the surface alone; ``noise`` (B, 1, 1, 1): random numbers in [0, 1).
    """

    surface: Tensor
    xray: Tensor
    points: Tensor
    maps: Tensor
    told: Tensor
    seen: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Batch:
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class Examples:
    """Draws the batches of a recipe from its patients."""

    def __init__(self, recipe: Recipe[Parametrized], patients: Sequence[Patient]) -> None:
        views = recipe.settings.frame.views
        self.recipe = recipe
        self.patients = [patient for patient in patients if patient.view in views]
        if not self.patients:
            raise InputError(f"There is no CT to train {recipe.name} on: name a data folder that holds some.")
        weights = np.array([patient.weight for patient in self.patients])
        self.chances = weights / weights.sum()

    def batch(self, step: int) -> Batch:
        """The examples of one step: the same for the same recipe and step."""
        settings = self.recipe.settings.augmentation
        generator = np.random.default_rng([self.recipe.seed, step])
        count = self.recipe.schedule.batch
        chosen = generator.choice(len(self.patients), size=count, p=self.chances)
        seen = generator.random(count) >= settings.blind
        # What nothing tells is not dragged: a network could but blur it.
        parts = [changed(self.patients[i], settings, generator, bool(told)) for i, told in zip(chosen, seen, strict=True)]
        surface, xray, points = (torch.stack(found) for found in zip(*parts, strict=True))
        maps = heat_maps(points, (surface.shape[2], surface.shape[3]))
        left_out = generator.random((count, maps.shape[1], 1, 1)) < settings.left_out
        shown = seen[:, None, None, None]
        told = maps * torch.as_tensor(~left_out & shown, dtype=torch.float32)
        noise = torch.as_tensor(generator.random((count, 1, 1, 1)), dtype=torch.float32)
        return Batch(surface, xray, points, maps, told, torch.as_tensor(shown, dtype=torch.float32), noise)


def changed(
    patient: Patient, settings: Augmentation, generator: np.random.Generator, drag: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Surface (2, H, W), X-ray (1, H, W; over its unit) and points (L, 2) of a patient, changed at random; dragged if ``drag``.

    Half of all patients are mirrored.
    """
    if generator.random() < 0.5:
        patient = patient.mirrored()
    surface, points = torch.as_tensor(patient.surface), torch.as_tensor(patient.points, dtype=torch.float32)
    original = xray = torch.as_tensor(patient.xray)[None] / XRAY_UNIT
    size = (xray.shape[1], xray.shape[2])
    field, scale, moved = torch.zeros(*size, 2), 1.0, points
    if generator.random() >= settings.exact:
        scale = float(np.exp(generator.normal(0, settings.scale)))
        field = _placed(size, scale, generator.normal(0, settings.shift_pixels, 2)) + _bent(size, settings.bend_pixels, generator)
        surface = _surface(surface, field, scale, patient.camera)
        xray = scale * sampled(original, field)
        moved = through(points, field)
    if drag and generator.random() < settings.drag:
        way = dragged(moved, size, settings, generator)
        # One field, so that the X-ray is interpolated once.
        field = way + sampled(field.permute(2, 0, 1), way).permute(1, 2, 0)
        xray = scale * sampled(original, field)
        moved = through(points, field)
    inside = ((moved >= 0) & (moved <= torch.tensor(size) - 1.0)).all(dim=1, keepdim=True)
    return surface, xray, torch.where(inside, moved, torch.nan)


def sampled(picture: Tensor, field: Tensor) -> Tensor:
    """A picture (C, H, W) taken at each pixel + ``field`` (H, W, 2: rows and columns in pixels); its edges go on outside."""
    rows, columns = picture.shape[1:]
    at = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1) + field
    where = (2 * at + 1) / torch.tensor([rows, columns]) - 1
    return functional.grid_sample(picture[None], where.flip(-1)[None], padding_mode="border", align_corners=False)[0]


def through(points: Tensor, field: Tensor) -> Tensor:
    """Where points (L, 2) of a picture come to lie when the picture is sampled through a field: p with p + field(p) = point."""
    rows, columns = field.shape[:2]
    found = points.clone()
    for _ in range(_ROUNDS):
        where = (2 * torch.nan_to_num(found) + 1) / torch.tensor([rows, columns]) - 1
        here = functional.grid_sample(
            field.permute(2, 0, 1)[None], where.flip(-1)[None, None], padding_mode="border", align_corners=False
        )
        found = points - here[0, :, 0].T
    return found


def dragged(points: Tensor, size: tuple[int, int], settings: Augmentation, generator: np.random.Generator) -> Tensor:
    """The field (H, W, 2) of some of these landmarks dragged, and what is near following them."""
    known = np.flatnonzero(torch.isfinite(points).all(dim=1).numpy())
    field = torch.zeros(*size, 2)
    if not len(known):
        return field
    axes = [torch.arange(n, dtype=torch.float32) for n in size]
    for index in generator.choice(known, size=min(len(known), int(generator.integers(1, _DRAGGED + 1))), replace=False):
        width = float(generator.uniform(*settings.drag_width))
        drawn = generator.normal(0, settings.drag_pixels, 2)
        drawn = drawn * min(1.0, _LONGEST * width / max(float(np.hypot(*drawn)), 1e-9))
        way = torch.as_tensor(drawn, dtype=torch.float32)
        centre = points[index] + way
        near = torch.exp(-0.5 * ((axes[0][:, None] - centre[0]) ** 2 + (axes[1] - centre[1]) ** 2) / width**2)
        field = field - near[..., None] * way
    return field


def _placed(size: tuple[int, int], scale: float, shift: np.ndarray) -> Tensor:
    """The field of a picture ``scale`` times as large about its middle, then shifted by pixels."""
    at = torch.stack(torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in size), indexing="ij"), dim=-1)
    return (at - torch.as_tensor(shift, dtype=torch.float32)) / scale - at


def _bent(size: tuple[int, int], deviation: float, generator: np.random.Generator) -> Tensor:
    nodes = torch.as_tensor(generator.normal(0, deviation, (1, 2, _NODES, _NODES)), dtype=torch.float32)
    return functional.interpolate(nodes, size=size, mode="bicubic", align_corners=True)[0].permute(1, 2, 0)


def _surface(surface: Tensor, field: Tensor, scale: float, camera: float) -> Tensor:
    """A surface image sampled through a field: no depth is mixed with that of the air beside it.

    ``camera``: how far before the middle of the body, in units of 100 mm, depth is measured from; a larger body is nearer.
    """
    body = (surface[1:] > 0).to(surface.dtype)
    inside = sampled(body, field)
    values = sampled(surface * body, field) / inside.clamp(min=1e-3)
    depth = camera + (values[:1] - camera) * scale
    return torch.cat([depth, values[1:] * scale]) * (inside >= 0.5)
