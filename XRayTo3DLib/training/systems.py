"""What may be trained: a folder a system, by the name that recipes give it in ``system``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.training.image_to_graph import task as image_to_graph
from XRayTo3DLib.training.image_to_graph.meshes import load_meshes
from XRayTo3DLib.training.lifted_views import task as lifted_views
from XRayTo3DLib.training.organ_examples import load_organs
from XRayTo3DLib.training.organ_probabilities import task as organ_probabilities
from XRayTo3DLib.training.parametrized import task as parametrized
from XRayTo3DLib.training.parametrized.patients import load_patients
from XRayTo3DLib.training.recipes import Recipe, Source
from XRayTo3DLib.training.shape_vae import task as shape_vae
from XRayTo3DLib.training.subjects import load_subjects
from XRayTo3DLib.training.task import Task

#: Reads the data of a recipe: the recipe, the data folder, the cache folder.
Loader = Callable[[Any, Path, Path], Sequence[Any]]


def _of_sources(load: Callable[[Sequence[Source], Path, Path], Sequence[Any]]) -> Loader:
    """A loader that needs a recipe's sources alone."""
    return lambda recipe, data, cache: load(recipe.data, data, cache)


_CTS = _of_sources(load_subjects)


@dataclass(frozen=True)
class System:
    """What the engine needs of a system.

    ``task``: what is trained; ``build``: the untrained network; ``card``: what a card says of its inputs and outputs; ``subjects``:
    reads the data of a recipe (the recipe, the data folder, the cache folder); ``exported``: the part of a trained network that
    goes into the model file, where that is not the whole (``None``); ``companions``: further parts that go into files of their own,
    each with what its card says, by what their names add.
    """

    task: Callable[[Any, Sequence[Any]], Task[Any]]
    build: Callable[[Any], torch.nn.Module]
    card: Callable[[Any], dict[str, Any]]
    subjects: Loader = _CTS
    exported: Callable[[torch.nn.Module], torch.nn.Module] | None = None
    companions: Callable[[Any, torch.nn.Module], dict[str, tuple[torch.nn.Module, dict[str, Any]]]] | None = None


#: By the name of the folder.
SYSTEMS: dict[str, System] = {
    "lifted_views": System(lifted_views.LiftedViewsTask, lifted_views.build, lifted_views.card),
    "organ_probabilities": System(organ_probabilities.OrganTask, organ_probabilities.build, organ_probabilities.card),
    "parametrized": System(
        parametrized.task,
        parametrized.build,
        parametrized.card,
        _of_sources(load_patients),
        parametrized.exported,
        parametrized.companions,
    ),
    "shape_vae": System(shape_vae.task, shape_vae.build, shape_vae.card, load_organs, shape_vae.exported),
    "image_to_graph": System(image_to_graph.ImageToGraphTask, image_to_graph.build, image_to_graph.card, load_meshes),
}


def system_of(recipe: Recipe) -> System:
    """The system that a recipe trains."""
    return SYSTEMS[recipe.system]
