"""This system as a task for the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from XRayTo3DLib.training.lifted_views.examples import Batch, Examples
from XRayTo3DLib.training.lifted_views.loss import loss_of
from XRayTo3DLib.training.lifted_views.network import ReconstructionNetwork
from XRayTo3DLib.training.lifted_views.settings import LiftedViews
from XRayTo3DLib.training.precision import convolutions
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.subjects import Subject
from XRayTo3DLib.training.task import Losses


def build(recipe: Recipe[LiftedViews]) -> ReconstructionNetwork:
    """The untrained network of a recipe, by the recipe's seed; torch's own random state stays what it is."""
    arguments: dict[str, Any] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(recipe.settings.network).items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return ReconstructionNetwork(**arguments)


def card(recipe: Recipe[LiftedViews]) -> dict[str, Any]:
    """What the model card says of what the network takes and gives."""
    return {
        "task": "volume",
        "interface": "lifted-views/1",
        "mirror_averaging": True,
        "inputs": {
            "views": {"minimum": 1, "maximum": recipe.card.maximum_views},
            "beam": ["parallel", "cone"],
            "unit": "line integral on a virtual detector of one-voxel pixels, over that of 32 voxels of water",
        },
        "outputs": {
            "grid": {
                "size": [recipe.settings.grid.size] * 3,
                "spacing_mm": list(recipe.card.spacing_mm),
                "multiple_of": 8,
            },
            "unit": "attenuation over that of water",
            "channels": ["mean", "standard deviation"],
        },
    }


class LiftedViewsTask:
    """Slabs of cubes, from radiographs whose geometry the network is told."""

    figure = "mse"

    def __init__(self, recipe: Recipe[LiftedViews], subjects: Sequence[Subject]) -> None:
        self.recipe = recipe
        self.examples = Examples(recipe, subjects)

    def build(self) -> ReconstructionNetwork:
        return build(self.recipe)

    def batch(self, step: int, device: torch.device) -> Batch:
        return self.examples.batch(step).to(device)

    def loss(self, network: torch.nn.Module, batch: Batch) -> Losses:
        """See :func:`loss_of`; of the slab alone, which the network computes as it does within the whole."""
        depth = self.recipe.settings.grid.slab
        size = list(batch.target.shape[2:])
        with convolutions(batch.target.device, self.recipe.schedule.bfloat16):
            found = network.slab(batch.images, batch.matrices, batch.beams, batch.affine, size, batch.first, depth)  # type: ignore[operator]
        target = batch.target[:, :, batch.first : batch.first + depth]
        return loss_of(found.float(), target, self.recipe.settings.loss)
