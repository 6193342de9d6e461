"""Radiographs: line integrals on a detector, read from DICOM or pictures, and written with their geometry."""

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
