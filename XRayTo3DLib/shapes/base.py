"""What a shape system is to the rest of this software, the estimate it gives, and the organ that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.reconstruction.methods.base import check_views

#: An organ's drawn outline a radiograph, bool [row, column], or ``None`` where nothing was drawn.
Masks = Sequence[np.ndarray | None]


@dataclass(frozen=True, eq=False)
class ShapeEstimate:
    """What a shape system gives of one organ.

    - ``probability``: the organ's probability in every voxel, 0 to 1, unit "1";
    - ``deviation``: its standard deviation on the same grid, ``None`` for a system that has none;
    - ``threshold``: the probability from which a voxel belongs to the organ;
    - ``volume_ml``: the system's own figure for the volume, where it knows it better than its voxels do;
    - ``interval_ml``: the 90 % interval of the volume, from a system that states one; else that of the model's card is taken;
    - ``surface``: the organ's surface, from a system that deforms a mesh; else it is extracted from the voxels;
    - ``latent``: the shape's coordinates in a model that has modes of shape;
    - ``notes``: what the user must be told.
    """

    probability: Volume
    deviation: Volume | None = None
    threshold: float = 0.5
    volume_ml: float | None = None
    interval_ml: tuple[float, float] | None = None
    surface: Surface | None = None
    latent: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for volume, what in ((self.probability, "probability"), (self.deviation, "deviation")):
            if volume is None:
                continue
            if volume.unit != "1":
                raise InputError(f"The {what} of a shape is in {volume.unit}: give it in the unit 1.")
            low, high = float(volume.array.min()), float(volume.array.max())
            if not (low >= 0 and high <= 1):  # NaN too
                raise InputError(f"The {what} of a shape goes from {low:g} to {high:g}: give finite values from 0 to 1.")
        if self.deviation is not None and not self.deviation.grid.same_as(self.probability.grid):
            raise InputError("The probability and the deviation of a shape are on two grids: give both on one.")
        if not 0 < self.threshold < 1:
            raise InputError(f"The threshold of a shape is {self.threshold:g}: give a probability between 0 and 1.")


@dataclass(frozen=True, eq=False)
class OrganShape:
    """An organ found in X-rays, as everything shows and writes it.

    - ``labelmap``: the organ's voxels, under its own name;
    - ``surface``: its closed surface, LPS mm;
    - ``volume_ml`` and ``interval_ml``: the volume in mL and its 90 % interval, ``None`` where the model's card has none;
    - ``outlines``: for each radiograph the closed curves (N, 2) of (row, column) that bound the organ's shadow, in pixels; the
      first point of each is repeated at its end;
    - ``model`` and ``sha256``: which model it is by; ``estimate``: what the model gave;
    - ``notes``: what the user must be told.
    """

    organ: str
    labelmap: Labelmap
    surface: Surface
    volume_ml: float
    interval_ml: tuple[float, float] | None
    outlines: list[list[np.ndarray]]
    model: str
    sha256: str
    estimate: ShapeEstimate
    notes: tuple[str, ...] = ()


class ShapeSystem(Protocol):
    """A system that finds organs: it runs the models whose card names its ``interface``; a baseline needs none (``None``)."""

    #: What tables call it where it runs without a model.
    name: str
    #: Name and version of what it asks of a model, as a card writes it: ``"organ-probabilities/1"``.
    interface: str

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        """Raise :class:`InputError` unless these radiographs, organ and masks are within what the model's card allows."""

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks, progress: Progress
    ) -> ShapeEstimate:
        """The organ's probability. ``radiographs`` are calibrated or fitted; ``masks`` has one entry for each of them."""


def check_limits(model: LoadedModel, radiographs: Sequence[Radiograph], organ: str, stands_in: bool = False) -> None:
    """Raise :class:`InputError` when organ, views or beams are outside what the model's card states.

    ``stands_in``: the system gives the model scanned beams as others.
    """
    known = organs_of(model)
    if organ not in known:
        raise InputError(
            f"The model {model.file.name} does not know the organ {organ}, but {', '.join(known)}: choose another model."
        )
    check_views(model, radiographs, stands_in)


def organs_of(model: LoadedModel) -> list[str]:
    """The organs that a model's card lists."""
    return [structure["name"] for structure in model.file.card["outputs"].get("structures", [])]


def check_masks(radiographs: Sequence[Radiograph], masks: Masks | None) -> list[np.ndarray | None]:
    """One mask (bool, [row, column]) or ``None`` a radiograph; :class:`InputError` for masks of other pictures or empty ones."""
    if masks is None:
        return [None] * len(radiographs)
    if len(masks) != len(radiographs):
        raise InputError(f"There are {len(masks)} masks for {len(radiographs)} X-rays: give one each, None where none is drawn.")
    found: list[np.ndarray | None] = []
    for radiograph, mask in zip(radiographs, masks, strict=True):
        drawn = None if mask is None else np.asarray(mask)
        if drawn is not None and drawn.shape != radiograph.projection.size:
            raise InputError(
                f"The mask of {radiograph.name or 'a view'} has {' x '.join(map(str, drawn.shape))} pixels but the X-ray has "
                f"{' x '.join(map(str, radiograph.projection.size))}: draw it on this X-ray."
            )
        if drawn is not None and not drawn.any():
            raise InputError(f"The mask of {radiograph.name or 'a view'} is empty: draw the organ's outline or leave it out.")
        found.append(None if drawn is None else drawn != 0)
    return found
