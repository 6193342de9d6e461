"""This system as a task for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from XRayTo3DLib.anatomy.catalogue import CATALOGUE
from XRayTo3DLib.training.organ_probabilities.examples import Batch, Examples
from XRayTo3DLib.training.organ_probabilities.loss import loss_of
from XRayTo3DLib.training.organ_probabilities.network import OrganNetwork
from XRayTo3DLib.training.organ_probabilities.settings import OrganProbabilities
from XRayTo3DLib.training.precision import convolutions
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.subjects import Subject
from XRayTo3DLib.training.task import Losses


def build(recipe: Recipe[OrganProbabilities]) -> OrganNetwork:
    """The untrained network of a recipe, by the recipe's seed; torch's own random state stays what it is."""
    settings = recipe.settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return OrganNetwork(len(settings.organs.names), list(settings.network.space), settings.network.fine, settings.network.full)


def card(recipe: Recipe[OrganProbabilities]) -> dict[str, Any]:
    """What the model card says of what the network takes and gives."""
    settings = recipe.settings
    return {
        "task": "shape",
        "interface": "organ-probabilities/1",
        "reconstruction": settings.reconstruction,
        "inputs": {
            "views": {"minimum": 1, "maximum": recipe.card.maximum_views},
            "beam": ["parallel", "cone"],
            "unit": f"volume and deviation by the model {settings.reconstruction}, line integrals and outlines through each voxel",
        },
        "outputs": {
            "grid": {"size": [settings.grid.size] * 3, "spacing_mm": list(recipe.card.spacing_mm), "multiple_of": 8},
            "unit": "probability (after a sigmoid)",
            "channels": list(settings.organs.names),
            "structures": [{"name": name, "code": CATALOGUE[name].code} for name in settings.organs.names],
        },
    }


class OrganTask:
    """Cubes of organs, from the reconstruction of radiographs, with outlines or without."""

    figure = "dice"

    def __init__(self, recipe: Recipe[OrganProbabilities], subjects: Sequence[Subject]) -> None:
        self.recipe = recipe
        self.examples = Examples(recipe, subjects)

    def build(self) -> OrganNetwork:
        return build(self.recipe)

    def batch(self, step: int, device: torch.device) -> Batch:
        return self.examples.batch(step).to(device)

    def loss(self, network: torch.nn.Module, batch: Batch) -> Losses:
        """See :func:`loss_of`."""
        with convolutions(batch.target.device, self.recipe.schedule.bfloat16):
            logits = network(batch.context)
        return loss_of(logits.float(), batch.target, batch.known, self.recipe.settings.loss)
