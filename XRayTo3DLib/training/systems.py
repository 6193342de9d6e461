"""What may be trained: a folder a system, by the name that recipes give it in ``system``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from XRayTo3DLib.training.lifted_views import task as lifted_views
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.subjects import Subject
from XRayTo3DLib.training.task import Task


@dataclass(frozen=True)
class System:
    """``task``: what the engine trains; ``build``: the untrained network; ``card``: what a card says of its inputs and outputs."""

    task: Callable[[Recipe, Sequence[Subject]], Task[Any]]
    build: Callable[[Recipe], torch.nn.Module]
    card: Callable[[Recipe], dict[str, Any]]


#: By the name of the folder.
SYSTEMS = {"lifted_views": System(lifted_views.LiftedViewsTask, lifted_views.build, lifted_views.card)}


def system_of(recipe: Recipe) -> System:
    """The system that a recipe trains."""
    return SYSTEMS[recipe.system]
