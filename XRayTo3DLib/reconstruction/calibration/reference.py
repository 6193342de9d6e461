"""What radiographs of bodies measure: line integrals behind patients, by region and view, from the X-rays of training CTs.

The figures are in ``Resources/Calibration/shadows.json``; ``python -m XRayTo3DLib.training.shadows`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, resources_folder
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

#: The percentiles, within the body's shadow, at which a picture's values and line integrals are laid over each other.
LEVELS = tuple(np.linspace(1, 99, 25).tolist())
REGIONS = ("head", "chest", "abdomen")
VIEWS = ("frontal", "lateral")


@dataclass(frozen=True)
class Reference:
    """One region in one view.

    - ``shape``: the percentiles :data:`LEVELS` of the line integrals behind the body, in units of their mean there;
    - ``inner``: measured away from the body's rim, where a ray crosses little of it: for fields that end in the body;
    - ``shape_spread``: their standard deviations between patients;
    - ``mean``: that mean (the middle of the patients); ``spread``: the standard deviation of its logarithm between patients.
    """

    region: str
    view: str
    inner: bool
    shape: tuple[float, ...]
    shape_spread: tuple[float, ...]
    mean: float
    spread: float


@cache
def references() -> dict[tuple[str, str, bool], Reference]:
    """All bundled references by region, view and whether they leave the rim out."""
    path = resources_folder() / "Calibration" / "shadows.json"
    stored = parse_json(path.read_text(encoding="utf-8"), str(path))
    return {
        (one["region"], one["view"], one["inner"]): Reference(
            one["region"], one["view"], one["inner"], tuple(one["shape"]), tuple(one["shape_spread"]), one["mean"], one["spread"]
        )
        for one in stored["references"]
    }


def reference_for(region: str, radiograph: Radiograph, shadow: Shadow) -> Reference:
    """The reference of a region for the view and the field of ``radiograph``; :class:`InputError` for an unknown region."""
    if region not in REGIONS:
        raise InputError(f"The region {region!r} is not known: use one of {', '.join(REGIONS)}.")
    return references()[region, view_kind(radiograph), shadow.inner_only]


def view_kind(radiograph: Radiograph) -> str:
    """``"frontal"`` or ``"lateral"``, whichever the beam is nearer to."""
    x, y, _ = np.abs(radiograph.projection.beam_direction)
    return "frontal" if y >= x else "lateral"
