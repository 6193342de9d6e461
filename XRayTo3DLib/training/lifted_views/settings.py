"""The tables of a recipe of this system as typed values; ``recipe.schema.json`` beside it says what each may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class GridSettings:
    """The cube that is trained on: voxels along a side, their size in mm, and how many slices of it a step computes."""

    size: int
    spacing: float
    slab: int
    slab_preference: float


@dataclass(frozen=True)
class NetworkSettings:
    """The arguments of :class:`~XRayTo3DLib.training.lifted_views.network.ReconstructionNetwork`."""

    plane: tuple[int, ...]
    space: tuple[int, ...]
    depths: int
    depth_features: int
    flat_features: int
    fine: int
    full: int


@dataclass(frozen=True)
class Augmentation:
    """How CTs are placed. Pairs are the first value and the one that annealing reaches at the fraction ``until`` of the steps.

    ``exact``: chance of standing just where the protocol puts it; ``scale``: by group, range of the grid's spacing over its own;
    ``anywhere``: by group, chance of a place anywhere along the body instead of at its top; the rest are standard deviations.
    """

    until: float
    exact: tuple[float, float]
    scale: dict[str, tuple[float, float]]
    anywhere: dict[str, float]
    stretch: tuple[float, float]
    rotation_degrees: tuple[float, float]
    shift_mm: tuple[float, float]
    bend_mm: tuple[float, float]
    bone_gain: tuple[float, float]


@dataclass(frozen=True)
class Views:
    """How CTs are X-rayed; pairs are annealed like those of the augmentation.

    ``chances`` of one, two and three views; ``anything``: chance of any directions instead of AP and lateral; ``aimed``: chance
    that an angle is just what it should be, else it errs by ``error_degrees``; ``untold``: chance that a view errs by
    ``untold_degrees`` more and the network is not told; ``source_to_isocentre`` in mm; ``log10_photons``
    a pixel; ``blur`` in pixels.
    """

    chances: tuple[float, ...]
    anything: tuple[float, float]
    aimed: float
    error_degrees: float
    untold: float
    untold_degrees: float
    cone: float
    source_to_isocentre: tuple[float, float]
    noisy: tuple[float, float]
    log10_photons: tuple[float, float]
    gain_chance: tuple[float, float]
    gain: float
    blur_chance: tuple[float, float]
    blur: tuple[float, float]


@dataclass(frozen=True)
class Loss:
    """Weights: of the logarithm of each case's mean squared error, of that error itself, of the absolute one, of the deviation's
    likelihood."""

    log_squared: float
    squared: float
    absolute: float
    likelihood: float


@dataclass(frozen=True)
class LiftedViews:
    """All tables of this system."""

    grid: GridSettings
    network: NetworkSettings
    augmentation: Augmentation
    views: Views
    loss: Loss

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``; ``groups``: those of the recipe's data."""
        if self.grid.slab > self.grid.size:
            return f"grid/slab: {self.grid.slab} slices of a grid of {self.grid.size}"
        if abs(sum(self.views.chances) - 1) > 1e-6:
            return f"views/chances: they sum to {sum(self.views.chances):g}, not 1"
        if not self.loss.log_squared + self.loss.squared + self.loss.absolute > 0:
            return "loss: nothing asks for the right attenuation"
        ranges = {f"augmentation/scale/{name}": pair for name, pair in self.augmentation.scale.items()}
        ranges |= {f"views/{name}": getattr(self.views, name) for name in ("source_to_isocentre", "log10_photons", "blur")}
        for place, (low, high) in ranges.items():
            if low > high:
                return f"{place}: {low:g} is above {high:g}"
        side = self.grid.size * self.grid.spacing
        if self.views.source_to_isocentre[0] <= side:
            return f"views/source_to_isocentre: sources must stand outside the grid of {side:g} mm"
        for name in ("scale", "anywhere"):
            lacking = [group for group in groups if group not in getattr(self.augmentation, name)]
            if lacking:
                return f"augmentation/{name}: it lacks the group {lacking[0]} of the data"
        return None
