"""What a reconstruction system is to the rest of this software: a method, and the estimate it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method gives: ``mean`` in 1/mm, its standard deviation (``None`` when it has none), and notes for the user.

    Both are float32, finite and not negative, on one grid.
    """

    mean: Volume
    deviation: Volume | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for volume, what in ((self.mean, "mean"), (self.deviation, "deviation")):
            if volume is None:
                continue
            if volume.unit != "1/mm":
                raise InputError(f"The {what} of an estimate is in {volume.unit}: give it in 1/mm.")
            if not np.isfinite(volume.array).all() or float(volume.array.min()) < 0:
                raise InputError(f"The {what} of an estimate is negative, NaN or infinite somewhere: give finite values from 0 on.")
        if self.deviation is not None and not self.deviation.grid.same_as(self.mean.grid):
            raise InputError("The mean and the deviation of an estimate are on two grids: give both on one.")


class Method(Protocol):
    """A reconstruction system. Models whose card names its ``interface`` run through it; a baseline needs no model (``None``)."""

    #: What tables call it where it runs without a model.
    name: str
    #: Name and version of what it asks of a model, as a card writes it: ``"lifted-views/1"``.
    interface: str

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        """Raise :class:`InputError` unless these radiographs and this grid are within what the model's card allows."""

    def run(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress) -> Estimate:
        """The volume on ``grid``. ``radiographs`` are calibrated or fitted, with pixels of about a voxel."""


def check_views(model: LoadedModel, radiographs: Sequence[Radiograph], stands_in: bool = False) -> None:
    """Raise :class:`InputError` when the number of views or a beam is outside what the model's card states; see `check_limits`."""
    name, inputs = model.file.name, model.file.card["inputs"]
    views, beams = inputs["views"], inputs.get("beam")
    if not views["minimum"] <= len(radiographs) <= views["maximum"]:
        raise InputError(
            f"The model {name} takes {views['minimum']} to {views['maximum']} views, not {len(radiographs)}: give another number "
            "of views or choose another model."
        )
    for radiograph in radiographs:
        beam = radiograph.projection.beam
        if beams is not None and beam not in beams and not (stands_in and radiograph.projection.is_scanned):
            raise InputError(
                f"The model {name} takes {' and '.join(beams)} beams, but {radiograph.name or 'a view'} has a {beam} beam: choose "
                "another model."
            )


def check_limits(model: LoadedModel, radiographs: Sequence[Radiograph], grid: Grid, stands_in: bool = False) -> None:
    """Raise :class:`InputError` when views, beams, voxels or grid are outside what the model's card states.

    ``stands_in``: the method gives the model scanned beams as others.
    """
    check_views(model, radiographs, stands_in)
    name, limits = model.file.name, model.file.card["outputs"]["grid"]
    low, high = limits["spacing_mm"]
    if min(grid.spacing) < low * (1 - 1e-6) or max(grid.spacing) > high * (1 + 1e-6):
        spacing = " x ".join(f"{s:g}" for s in grid.spacing)
        raise InputError(
            f"The model {name} gives voxels of {low:g} to {high:g} mm, not {spacing} mm: choose voxels in this range (finer ones "
            "afterwards, by refining) or another model."
        )
    if "multiple_of" not in limits and list(grid.size) != limits["size"]:
        raise InputError(
            f"The model {name} gives {_times(limits['size'])} voxels only, not {_times(grid.size)}: choose a grid of that size or "
            "another model."
        )
    if any(n > m for n, m in zip(grid.size, limits.get("maximum", grid.size), strict=True)):
        raise InputError(
            f"The model {name} gives at most {_times(limits['maximum'])} voxels, not {_times(grid.size)}: choose a smaller grid or "
            "another model."
        )


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
