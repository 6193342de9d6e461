"""Where X-rays start, where they land, and how that is written down.

Everything here is LPS, millimetres, float64. A :class:`Projection` is the whole geometry of one radiograph; a
:class:`Grid` is the geometry of one volume. The 3x4 matrix of a projection maps homogeneous LPS points to
``(column * w, row * w, w)`` with pixel [0, 0] centred on (0, 0) (Hartley and Zisserman, Multiple View Geometry, ch. 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.errors import InputError

ArrayLike = Sequence[float] | np.ndarray

#: Nothing is farther away than this, in mm, and no pixel larger.
LARGEST_LENGTH = 1e7


def vector(values: ArrayLike, name: str) -> np.ndarray:
    try:
        vector = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):  # no numbers
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise InputError(f"The {name} must be three finite numbers in mm (LPS), got {values!r}: correct the geometry.")
    if np.abs(vector).max() > LARGEST_LENGTH:
        raise InputError(f"The {name} lies more than {LARGEST_LENGTH / 1000:g} m away: correct the geometry.")
    vector = vector.copy()
    vector.setflags(write=False)
    return vector


def unit(direction: ArrayLike, name: str = "direction") -> np.ndarray:
    """The vector scaled to length 1; a zero or non-finite vector is an :class:`InputError`."""
    values = vector(direction, name)
    length = float(np.linalg.norm(values))
    if length < 1e-12:
        raise InputError(f"The {name} has length zero: give a direction.")
    return values / length
