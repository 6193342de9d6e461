"""Which methods there are: by the interface that a model's card names, and the baseline that needs neither model nor data."""

from __future__ import annotations

from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.reconstruction.methods.base import Method
from XRayTo3DLib.reconstruction.methods.baselines import Mean
from XRayTo3DLib.reconstruction.methods.lifted_views import LiftedViews

#: Methods that run models, by the name of their interface. A new system is one more file and one more line here.
METHODS: dict[str, Method] = {method.interface: method for method in (LiftedViews(),)}


def find_method(name: str) -> Method:
    """A method by its interface's name, or ``"mean"``, the baseline that needs no model; :class:`InputError` when unknown."""
    if name == Mean.name:
        return Mean()
    if name not in METHODS:
        known = ", ".join([*METHODS, Mean.name])
        raise InputError(f"There is no method {name!r} (known: {known}): use one of these, or a newer version of this software.")
    return METHODS[name]


def method_for(card: dict[str, Any]) -> Method:
    """The method that runs a model with this card; :class:`InputError` when this version does not speak its interface."""
    interface = card["interface"]
    if interface not in METHODS:
        raise InputError(
            f"The model {card['name']} speaks the interface {interface!r}, which this version does not know (it knows "
            f"{', '.join(METHODS)}): use another model or a newer version of this software."
        )
    return METHODS[interface]
