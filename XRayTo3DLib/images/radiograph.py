"""Radiographs: line integrals on a detector that stands somewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection

#: What can be unknown of a picture's scale, from least to most: see :class:`Radiograph`.
UNKNOWN = ("offset", "gain", "curve")


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One X-ray: ``line_integrals`` float32 [row, column] (``-ln(I / I0)``, dimensionless) and its ``projection``.

    ``name`` is what the user calls the view, as "AP". ``notes`` are sentences for the user: what was assumed when it was read,
    or what was simulated.

    ``unknown`` says what is not known of the scale, some of :data:`UNKNOWN`: ``"offset"`` (no open beam in the field),
    ``"gain"`` (values only linear in attenuation), ``"curve"`` (processed for display: only rising with attenuation). A
    reconstruction fits it, visibly; where nothing is unknown the radiograph is ``calibrated``.

    ``valid`` (bool, [row, column]) is false where a pixel is no measurement: padding, shutters, collimated borders, burnt-in
    letters, saturation; ``None`` when all are. Such pixels hold some finite value, and count in no statistics and no fusion.

    Raises :class:`InputError` for pixels that are NaN or infinite, for a geometry or a mask of another size, and for a mask
    that leaves nothing.
    """

    line_integrals: np.ndarray
    projection: Projection
    name: str = ""
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    valid: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.line_integrals.shape != self.projection.size:
            raise InputError(
                f"The radiograph {self.name!r} has {self.line_integrals.shape} pixels but its geometry has "
                f"{self.projection.size}: give the geometry of this image."
            )
        # One sum, in double precision, is NaN or infinite when a pixel is; it takes no second picture.
        if not np.isfinite(np.sum(self.line_integrals, dtype=np.float64)):
            raise InputError(f"The radiograph {self.name!r} holds NaN or infinite pixels: compute or export it again without them.")
        if not set(self.unknown) <= set(UNKNOWN):
            raise ValueError(f"unknown must be some of {UNKNOWN}, not {self.unknown!r}")
        if self.valid is None:
            return
        valid = np.asarray(self.valid, dtype=bool)
        if valid.shape != self.projection.size or not valid.any():
            raise InputError(
                f"The mask of the radiograph {self.name!r} has {valid.shape} pixels, {np.count_nonzero(valid)} of them valid, but "
                f"its geometry has {self.projection.size}: give a mask of this image that leaves something of it."
            )
        object.__setattr__(self, "valid", None if valid.all() else valid)

    @property
    def calibrated(self) -> bool:
        """Whether the values are line integrals as they stand, up to noise."""
        return not self.unknown
