"""The tables of a recipe of this system as typed values; ``recipe.schema.json`` beside it says what each may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from XRayTo3DLib.shapes.organs import ORGANS, SCHEMES
from XRayTo3DLib.training.lifted_views.settings import Augmentation, Views


@dataclass(frozen=True)
class Cube:
    """The cube that is trained on: voxels along a side, their size in mm, and the side of the part that a step sees."""

    size: int
    spacing: float
    crop: int


@dataclass(frozen=True)
class Organs:
    """``names`` of the organs, in the order of the network's channels, and the label ``scheme`` that the data's labels are of."""

    names: tuple[str, ...]
    scheme: str


@dataclass(frozen=True)
class NetworkSettings:
    """The arguments of :class:`~XRayTo3DLib.training.organ_probabilities.network.OrganNetwork`."""

    space: tuple[int, ...]
    fine: int
    full: int


@dataclass(frozen=True)
class Drawn:
    """``examples``: how many different ones there are, each computed once and kept; ``held_back``: so many patients, the last ones
    of the data, are never learned from: the intervals of volumes are theirs; ``annealing``: at which fraction of the
    annealing of augmentation and views they are drawn; ``masks``: chance that a step's organs come with drawn outlines;
    ``wrong_mm``: how far such outlines lie beside the truth, standard deviation."""

    examples: int
    held_back: int
    annealing: float
    masks: float
    wrong_mm: float


@dataclass(frozen=True)
class Loss:
    """Weights of the cross-entropy, and of one minus the soft Dice coefficient of each organ."""

    cross_entropy: float
    dice: float


@dataclass(frozen=True)
class OrganProbabilities:
    """All tables of this system; ``reconstruction`` is the model whose volumes it starts from."""

    reconstruction: str
    grid: Cube
    organs: Organs
    network: NetworkSettings
    drawn: Drawn
    augmentation: Augmentation
    views: Views
    loss: Loss

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``; ``groups``: those of the recipe's data."""
        scheme = SCHEMES.get(self.organs.scheme)
        if scheme is None:
            return f"organs/scheme: {self.organs.scheme!r} is none of {', '.join(SCHEMES)}"
        if self.grid.crop > self.grid.size:
            return f"grid/crop: {self.grid.crop} voxels of a grid of {self.grid.size}"
        lacking = [name for name in self.organs.names if name not in scheme]
        if lacking:
            return f"organs/names: the scheme {self.organs.scheme} has no {lacking[0]}"
        turned = [name for name in self.organs.names if ORGANS[name].mirrored not in self.organs.names]
        if turned:
            return f"organs/names: {turned[0]} without {ORGANS[turned[0]].mirrored}, which it is in a mirrored patient"
        if abs(sum(self.views.chances) - 1) > 1e-6:
            return f"views/chances: they sum to {sum(self.views.chances):g}, not 1"
        for name in ("scale", "anywhere"):
            missing = [group for group in groups if group not in getattr(self.augmentation, name)]
            if missing:
                return f"augmentation/{name}: it lacks the group {missing[0]} of the data"
        return None
