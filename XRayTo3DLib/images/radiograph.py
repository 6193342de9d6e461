"""Radiographs: line integrals on a detector that stands somewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One X-ray: ``line_integrals`` float32 [row, column] (``-ln(I / I0)``, dimensionless) and its ``projection``.

    ``calibrated`` is false when gain and offset are unknown (a picture): then the values are only linear in
    attenuation, and reconstruction fits both, visibly. ``name`` is what the user calls the view, as "AP". ``notes`` are
    sentences for the user: what was assumed when it was read, or what was simulated.

    Raises :class:`InputError` for pixels that are NaN or infinite, and for a geometry of another size.
    """

    line_integrals: np.ndarray
    projection: Projection
    name: str = ""
    calibrated: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.line_integrals.shape != self.projection.size:
            raise InputError(
                f"The radiograph {self.name!r} has {self.line_integrals.shape} pixels but its geometry has "
                f"{self.projection.size}: give the geometry of this image."
            )
        # One sum, in double precision, is NaN or infinite when a pixel is; it takes no second picture.
        if not np.isfinite(np.sum(self.line_integrals, dtype=np.float64)):
            raise InputError(f"The radiograph {self.name!r} holds NaN or infinite pixels: compute or export it again without them.")
