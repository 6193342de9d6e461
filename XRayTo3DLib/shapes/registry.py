"""Which shape systems there are, by the interface that a model's card names, and which model finds an organ by default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.zoo import ModelFile, find_models
from XRayTo3DLib.shapes.base import ShapeSystem
from XRayTo3DLib.shapes.methods.image_to_graph import ImageToGraphSystem
from XRayTo3DLib.shapes.methods.organ_probabilities import OrganProbabilities
from XRayTo3DLib.shapes.methods.segmented import Segmentation
from XRayTo3DLib.shapes.methods.shape_vae import ShapeVaeSystem

#: Tasks of models that give organs.
TASKS = ("shape", "mesh")
#: Systems that run models, by the name of their interface, the one that is preferred first. A new one is a file and a line here.
_SYSTEMS: tuple[ShapeSystem, ...] = (OrganProbabilities(), ShapeVaeSystem(), ImageToGraphSystem())
SYSTEMS: dict[str, ShapeSystem] = {system.interface: system for system in _SYSTEMS}


def system_for(card: dict[str, Any]) -> ShapeSystem:
    """The system that runs a model with this card; :class:`InputError` when this version does not speak its interface."""
    interface = card["interface"]
    if interface not in SYSTEMS:
        raise InputError(
            f"The model {card['name']} speaks the interface {interface!r}, which this version does not know (it knows "
            f"{', '.join(SYSTEMS) or 'none'}): use another model or a newer version of this software."
        )
    return SYSTEMS[interface]


def models_for(organ: str, folders: Sequence[str | Path] = ()) -> list[ModelFile]:
    """Every model that is found and lists this organ, the one that is taken by default first.

    Bundled ones come before others, and among them the order is that of :data:`SYSTEMS`.
    """
    found = [
        model
        for model in find_models(folders)
        if model.card["task"] in TASKS
        and model.card["interface"] in SYSTEMS
        and organ in (s["name"] for s in model.card["outputs"].get("structures", []))
    ]
    order = list(SYSTEMS)
    return sorted(found, key=lambda model: (not model.bundled, order.index(model.card["interface"])))


def default_for(organ: str, views: int, folders: Sequence[str | Path] = ()) -> ModelFile | ShapeSystem:
    """The model for an organ from so many views, or a system that needs none; :class:`InputError` when there is neither."""
    found = models_for(organ, folders)
    for model in found:
        limits = model.card["inputs"]["views"]
        if limits["minimum"] <= views <= limits["maximum"]:
            return model
    if organ in Segmentation.organs:
        return Segmentation()
    names = f" ({', '.join(model.name for model in found)} take another number of views)" if found else ""
    raise InputError(f"There is no model that finds the organ {organ} in {views} X-rays{names}: name a .pt file that does.")
