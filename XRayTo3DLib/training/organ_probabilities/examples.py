"""Training examples: a patient placed and X-rayed at random, reconstructed by the model that the head stands on, with its organs.

What an example is follows from the recipe, the CT and its number alone. Reconstructing is most of the work of a step, so each of
the recipe's examples is computed once and kept in a folder; outlines are drawn anew each time.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import user_folder, writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.shapes.labels import read_labels
from XRayTo3DLib.shapes.methods.context import X_CHANNEL, context_of, mask_channel
from XRayTo3DLib.shapes.organs import ORGANS, organ_mask
from XRayTo3DLib.training.augmentation import sample
from XRayTo3DLib.training.lifted_views.examples import attenuation, beams, measured, placement
from XRayTo3DLib.training.organ_probabilities.settings import OrganProbabilities
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.subjects import Subject

#: Part of every kept file's name: another content is another number.
_FORMAT = 1
#: Least mm of an organ on a ray that belongs to its drawn outline.
_LEAST_MM = 2.0
#: Chance that a part of the cube lies around an organ.
_AROUND = 0.9


@dataclass(frozen=True, eq=False)
class Example:
    """One patient seen once.

    ``volume`` (2, z, y, x): the reconstruction's mean and deviation over the attenuation of water; ``images`` (V, N, N) and
    ``matrices`` (V, 4, 4) as the reconstruction took them; ``label`` (z, y, x): the number of the organ that a voxel holds most
    of, from 1; ``share``: how much; ``paths`` (V, organs, N, N): mm of each organ on every ray; ``known`` (organs,): whether the
    labels have it.
    """

    volume: torch.Tensor
    images: torch.Tensor
    matrices: torch.Tensor
    label: torch.Tensor
    share: torch.Tensor
    paths: torch.Tensor
    known: torch.Tensor

    def shares(self, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """How much of each voxel of a box is each organ: (organs, z, y, x)."""
        label, share = self.label[box], self.share[box].float() / 255
        return torch.stack([torch.where(label == number + 1, share, 0.0) for number in range(len(self.known))])


@dataclass(frozen=True)
class Batch:
    """``context`` and ``target`` as the network takes and should give them; ``known`` (B, organs)."""

    context: torch.Tensor
    target: torch.Tensor
    known: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        return replace(self, **{name: getattr(self, name).to(device) for name in ("context", "target", "known")})


def learned(subjects: Sequence[Subject], settings: OrganProbabilities) -> list[Subject]:
    """The subjects that are learned from: all but the last, which are held back for the intervals of volumes."""
    return list(subjects[: max(0, len(subjects) - settings.drawn.held_back)])


class Examples:
    """Draws the batches of a recipe from its subjects, those with labels; ``folder`` keeps what was computed."""

    def __init__(self, recipe: Recipe[OrganProbabilities], subjects: Sequence[Subject], folder: Path | None = None) -> None:
        self.recipe = recipe
        self.subjects = learned([s for s in subjects if s.path is not None], recipe.settings)
        if not self.subjects:
            raise InputError(f"There is no CT to train {recipe.name} on: name a data folder that holds some.")
        settings = recipe.settings
        self.names: tuple[str, ...] = settings.organs.names
        self.grid = Grid.centred((0, 0, 0), settings.grid.size, settings.grid.spacing)
        self.turned = [self.names.index(ORGANS[name].mirrored) for name in self.names]
        self.folder = (user_folder("cache") / "examples" if folder is None else folder) / self._digest()

    def _digest(self) -> str:
        """What the examples depend on, but for the CTs, as a short name."""
        told = self.recipe.settings
        parts = (_FORMAT, self.recipe.seed, told.grid, told.organs, told.augmentation, told.views, told.drawn.annealing)
        text = repr((*parts, self.model.file.sha256, [(s.name, tuple(s.values.shape)) for s in self.subjects]))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def model(self) -> LoadedModel:
        """The model that reconstructs."""
        return load_model(self.recipe.settings.reconstruction, "volume")

    def batch(self, step: int) -> Batch:
        """The examples of one step: the same for the same recipe and step. Epochs are shuffled."""
        settings, count = self.recipe.settings, self.recipe.schedule.batch
        total = settings.drawn.examples
        generator = np.random.default_rng([self.recipe.seed, 1, step])
        contexts: list[torch.Tensor] = []
        targets: list[torch.Tensor] = []
        known: list[torch.Tensor] = []
        for position in range(step * count, (step + 1) * count):
            order = np.random.default_rng([self.recipe.seed, 2, position // total]).permutation(total)
            example = self.example(int(order[position % total]))
            box = self._box(example, generator)
            parts = self.context(example, box, generator), example.shares(box), example.known
            if generator.random() < 0.5:
                parts = self._turned(*parts)
            for kept, found in zip((contexts, targets, known), parts, strict=True):
                kept.append(found)
        return Batch(torch.stack(contexts), torch.stack(targets), torch.stack(known))

    def _turned(
        self, context: torch.Tensor, target: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The mirrored patient: x turned round, left organs become right ones. The head knows nothing else of sides."""
        told = context.flip(-1)
        told[X_CHANNEL] *= -1
        own = len(told) - len(self.names)
        told = torch.cat([told[:own], told[own:][self.turned]])
        return told, target.flip(-1)[self.turned], known[self.turned]

    def _box(self, example: Example, generator: np.random.Generator) -> tuple[slice, slice, slice]:
        """A part of the cube to learn from: around some voxel of some organ, or anywhere."""
        size, crop = self.recipe.settings.grid.size, self.recipe.settings.grid.crop
        starts = generator.integers(0, size - crop + 1, 3)
        organs = np.flatnonzero(example.known.numpy())
        if len(organs) and generator.random() < _AROUND:
            voxels = (example.label == int(generator.choice(organs)) + 1).nonzero()
            if len(voxels):
                centre = voxels[int(generator.integers(len(voxels)))].numpy()
                starts = np.clip(centre - crop // 2 + generator.integers(-crop // 4, crop // 4 + 1, 3), 0, size - crop)
        z, y, x = (slice(int(start), int(start) + crop) for start in starts)
        return z, y, x

    def context(self, example: Example, box: tuple[slice, slice, slice], generator: np.random.Generator) -> torch.Tensor:
        """The network's input (channels, z, y, x) in a box of one example, with outlines drawn or not, over and over anew."""
        settings = self.recipe.settings.drawn
        drawn: list[torch.Tensor | None] = [None] * len(self.names)
        grid = self.grid.cropped(box)
        if generator.random() < settings.masks:
            views = len(example.images)
            seen = [view for view in range(views) if generator.random() < 0.7] or [int(generator.integers(views))]
            masks = [self._outlined(example.paths[view].float(), generator) for view in seen]
            drawn = [
                mask_channel([m[organ] for m in masks], example.matrices[seen], grid)
                if bool(example.known[organ]) and generator.random() < 0.7 and all(bool(m[organ].any()) for m in masks)
                else None
                for organ in range(len(self.names))
            ]
        volume = example.volume[:, box[0], box[1], box[2]].float()
        return context_of(volume, example.images.float(), example.matrices, grid, self.grid, drawn)

    def _outlined(self, paths: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
        """Outlines (organs, N, N) as a hand draws them: beside the truth by some mm, and here and there too narrow or too wide."""
        wrong = self.recipe.settings.drawn.wrong_mm / self.grid.spacing[0]
        shift = [round(float(v)) for v in generator.normal(0, wrong, 2)]
        return torch.roll(paths, shift, dims=(1, 2)) > _LEAST_MM * float(np.exp(generator.normal(0, 0.5)))

    def example(self, index: int) -> Example:
        """One of the recipe's examples, from the folder when it is there."""
        stored = self.folder / f"{index}.npz"
        found = _read(stored)
        if found is None:
            found = self._computed(index)
            with writing(stored) as temporary, temporary.open("wb") as file:
                np.savez(file, **found)  # type: ignore[arg-type]
        return Example(**{name: torch.from_numpy(value) for name, value in found.items()})

    def _computed(self, index: int) -> dict[str, np.ndarray]:
        settings = self.recipe.settings
        generator = np.random.default_rng([self.recipe.seed, 3, index])
        subject = self.subjects[index % len(self.subjects)]
        placed = placement(subject, self.grid, settings.augmentation, settings.drawn.annealing, generator)
        organs = [sample(part, placed.offsets, placed.centre) for part in self.organs(subject)]
        if placed.mirrored:
            organs = [organs[n] for n in self.turned]
        shares = torch.stack(organs)
        known = shares.sum(dim=(1, 2, 3)) > 0
        views = int(generator.choice([1, 2, 3], p=np.array(settings.views.chances) / sum(settings.views.chances)))
        real, told = beams(self.grid, views, settings.views, settings.drawn.annealing, generator)
        target = attenuation(subject, placed)
        seen = measured(target, self.grid, real, told, settings.views, settings.drawn.annealing, generator)
        return self._kept(shares, known, seen, torch.stack([torch.stack(project(s, self.grid, real)) for s in shares], dim=1))

    def _kept(
        self,
        shares: torch.Tensor,
        known: torch.Tensor,
        seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        paths: torch.Tensor,
    ) -> dict[str, np.ndarray]:
        """The arrays of an example as its file holds them: organs do not overlap, so a voxel has one and its share."""
        affine = torch.tensor(self.grid.affine, dtype=torch.float32)
        volume = self.model(*(part[None] for part in seen), affine, list(self.grid.shape))[0]
        if len(volume) == 1:  # a model without a deviation
            volume = torch.cat([volume, torch.zeros_like(volume)])
        share, label = shares.max(dim=0)
        return {
            "volume": volume.half().numpy(),
            "images": seen[0].half().numpy(),
            "matrices": seen[1].numpy(),
            "share": (255 * share).round().byte().numpy(),
            "label": torch.where(share > 0, label + 1, 0).byte().numpy(),
            "paths": paths.half().numpy(),
            "known": known.numpy(),
        }

    def organs(self, subject: Subject) -> list[Subject]:
        """Each organ of a subject as a CT of its own, whose relative attenuation is 1 inside and 0 outside."""
        assert subject.path is not None
        labels = read_labels(subject.path, self.recipe.settings.organs.scheme)
        masks = [organ_mask(labels, name) for name in self.names]
        to_index = np.asarray(labels.grid.to_index, dtype=np.float64)
        values = [torch.from_numpy(1000 * mask.astype(np.int16) - 1000) for mask in masks]
        return [replace(subject, values=value, to_index=to_index) for value in values]


def _read(stored: Path) -> dict[str, np.ndarray] | None:
    """What a kept file holds, or ``None`` when there is none or it is damaged."""
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(stored) as data:
        return {name: data[name] for name in ("volume", "images", "matrices", "share", "label", "paths", "known")}
    return None
