"""``organ-probabilities/1``: a head on a reconstruction, which says of every voxel how likely it is each organ.

The model that the card names as ``reconstruction`` gives a volume and its deviation from any number of views. The head is called
once with ``context`` (1, 8 + organs, z, y, x) float32, whose channels :mod:`.context` lists (organs in the order of the card's
structures), and answers logits (1, organs, z, y, x).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.pixel_matching import coarse
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.grids import grid_for
from XRayTo3DLib.reconstruction.methods import scanned_views, virtual_detector
from XRayTo3DLib.reconstruction.methods.lifted_views import LiftedViews
from XRayTo3DLib.shapes.base import Masks, ShapeEstimate, check_limits, organs_of
from XRayTo3DLib.shapes.methods.context import context_of, mask_channel

#: Sets of radiographs whose reconstruction is kept for the next organ, 20 MB each.
_REMEMBERED = 3


class OrganProbabilities:
    """Any number of views, each with its own geometry and perhaps an outline, to an organ's probabilities."""

    name = interface = "organ-probabilities/1"

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_REMEMBERED)

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        loaded = _needed(model)
        check_limits(loaded, radiographs, organ, stands_in=True)
        LiftedViews().check(_reconstruction(loaded), coarse(radiographs, _grid(loaded, radiographs)), _grid(loaded, radiographs))

    def run(
        self,
        model: LoadedModel | None,
        radiographs: Sequence[Radiograph],
        organ: str,
        masks: Masks,
        progress: Progress = silent,
    ) -> ShapeEstimate:
        loaded = _needed(model)
        names = organs_of(loaded)
        number = names.index(organ)
        seen = self._look(loaded, radiographs, part(progress, 0.0, 0.7))
        given = [(n, mask) for n, mask in enumerate(masks) if mask is not None]
        progress(0.7, f"model {loaded.file.name}")
        if given:
            pictures = [
                torch.from_numpy(virtual_detector.to_virtual(mask, radiographs[n].projection, seen.grid, seen.virtual[n])) > 0.5
                for n, mask in given
            ]
            context = seen.context.clone()
            context[len(context) - len(names) + number] = mask_channel(pictures, seen.matrices[[n for n, _ in given]], seen.grid)
            logits = _logits(loaded, context, len(names))
        else:
            if seen.logits is None:
                seen.logits = _logits(loaded, seen.context, len(names))
            logits = seen.logits
        entry = loaded.file.card["outputs"]["structures"][number]
        probability = Volume(torch.sigmoid(logits[number]).numpy(), seen.grid, "1")
        progress(1.0, f"model {loaded.file.name}")
        return ShapeEstimate(probability, threshold=float(entry.get("threshold", 0.5)))

    def _look(self, model: LoadedModel, radiographs: Sequence[Radiograph], progress: Progress) -> _Seen:
        """What the head is given of these radiographs, without outlines; remembered for the next organ in them."""
        for known in self._seen:
            if known.sha256 == model.file.sha256 and _same(known.radiographs, radiographs):
                return known
        grid = _grid(model, radiographs)
        used = coarse(radiographs, grid)
        volume = LiftedViews().run(_reconstruction(model), used, grid, progress)
        virtual = scanned_views.stand_ins(used, grid, None)
        pictures = np.stack(scanned_views.pictures(used, virtual, grid, volume.mean)).astype(np.float32)
        images = torch.from_numpy(pictures / np.float32(virtual_detector.scale(grid)))
        matrices = torch.tensor(np.stack([virtual_detector.matrix(p, grid) for p in virtual]), dtype=torch.float32)
        deviation = np.zeros_like(volume.mean.array) if volume.deviation is None else volume.deviation.array
        attenuation = torch.from_numpy(np.stack([volume.mean.array, deviation]) / np.float32(MU_WATER))
        drawn: list[torch.Tensor | None] = [None] * len(organs_of(model))
        context = context_of(attenuation, images, matrices, grid, grid, drawn)
        seen = _Seen(tuple(radiographs), model.file.sha256, grid, virtual, matrices, context)
        self._seen.append(seen)
        return seen


@dataclass(eq=False)
class _Seen:
    """Radiographs that a model has looked at: grid, virtual detectors, and what the head is given and gave without outlines."""

    radiographs: tuple[Radiograph, ...]
    sha256: str
    grid: Grid
    virtual: list[Projection]
    matrices: torch.Tensor
    context: torch.Tensor
    logits: torch.Tensor | None = None


def _same(known: Sequence[Radiograph], asked: Sequence[Radiograph]) -> bool:
    return len(known) == len(asked) and all(one is other for one, other in zip(known, asked, strict=True))


def _needed(model: LoadedModel | None) -> LoadedModel:
    if model is None:
        raise InputError("The system organ-probabilities/1 needs a model: name one.")
    return model


@cache
def _named(name: str) -> LoadedModel:
    """The model that reconstructs, without averaging over the mirrored patient: the head was trained on what it gives once."""
    loaded = load_model(name, "volume")
    return LoadedModel(replace(loaded.file, card={**loaded.file.card, "mirror_averaging": False}), loaded.module)


def _reconstruction(model: LoadedModel) -> LoadedModel:
    return _named(str(model.file.card.get("reconstruction", "biplanar")))


def _grid(model: LoadedModel, radiographs: Sequence[Radiograph]) -> Grid:
    """The grid around the views' common centre that the head takes."""
    return grid_for(model.file.card, radiographs)


def _logits(model: LoadedModel, context: torch.Tensor, organs: int) -> torch.Tensor:
    """The head's answer (organs, z, y, x), its shape and values checked; sizes that are no multiples of 8 are padded."""
    shape = context.shape[1:]
    padding = [amount for n in reversed(shape) for amount in (0, -n % 8)]
    padded = torch.nn.functional.pad(context, padding)
    output = model(padded.unsqueeze(0))
    if not isinstance(output, torch.Tensor) or output.shape != (1, organs, *padded.shape[1:]):
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"The model {model.file.name} gave {found}, not (1, {organs}, z, y, x): correct the model.")
    logits = output[0].float()[:, : shape[0], : shape[1], : shape[2]]
    if not torch.isfinite(logits).all():
        raise InputError(f"The model {model.file.name} gave values that are not finite: use another model or other X-rays.")
    return logits
