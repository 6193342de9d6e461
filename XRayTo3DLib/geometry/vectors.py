"""Numbers and vectors as the rest of the geometry takes them: finite, float64, LPS mm, and not to be written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError

ArrayLike = Sequence[float] | np.ndarray

#: Nothing is farther away than this, in mm, and no pixel larger.
LARGEST_LENGTH = 1e7
#: A vector this close to length 1 is left as it is, so that a stored unit vector comes back with every digit.
_UNIT = 1e-15


def immutable(values: np.ndarray) -> np.ndarray:
    """A float64 copy that nobody can write to: its memory is a ``bytes`` object, so that its flag cannot be set back either."""
    # Adding 0 turns -0.0 into 0.0: values that are equal must hash alike.
    array = np.ascontiguousarray(values, dtype=np.float64) + 0.0
    return np.frombuffer(array.tobytes(), dtype=np.float64).reshape(array.shape)


def numbers(values: object) -> np.ndarray:
    """``values`` as float64 of any shape, and an empty array when they are no numbers: texts, truth values, ragged lists."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(v, (Real, Decimal)) and not isinstance(v, bool) for v in array.ravel()):
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths, or what numpy cannot hold
        array = np.empty(0)
    return array.astype(np.float64) if array.dtype.kind in "iuf" else np.empty(0)


def vector(values: ArrayLike, name: str) -> np.ndarray:
    """Three finite numbers in mm, immutable; ``name`` is what the :class:`InputError` of anything else calls them."""
    found = numbers(values).reshape(-1)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise InputError(f"The {name} must be three finite numbers in mm (LPS), got {values!r}: correct the geometry.")
    if np.abs(found).max() > LARGEST_LENGTH:
        raise InputError(f"The {name} lies more than {LARGEST_LENGTH / 1000:g} m away: correct the geometry.")
    return immutable(found)


def unit(direction: ArrayLike, name: str = "direction") -> np.ndarray:
    """The vector scaled to length 1, immutable; a zero or non-finite vector is an :class:`InputError`."""
    values = vector(direction, name)
    length = float(np.linalg.norm(values))
    if length < 1e-12:
        raise InputError(f"The {name} has length zero: give a direction.")
    return values if abs(length - 1) <= _UNIT else immutable(values / length)


def number(value: object, name: str) -> float:
    """One number, finite or not; ``name`` is what the :class:`InputError` of anything else calls it."""
    found = numbers(value)
    if found.shape != ():
        raise InputError(f"The {name} must be a number, not {value!r}: correct it.")
    return float(found)


def checked_keys(values: object, required: Iterable[str], optional: Iterable[str], what: str) -> dict[str, Any]:
    """A mapping with all ``required`` keys and none but those and the ``optional`` ones, as a new dict."""
    known = {*required, *optional}
    if not isinstance(values, Mapping):
        raise InputError(f"The stored {what} is no table of names and values: store it again.")
    found = dict(values)
    for key in (key for key in required if key not in found):
        raise InputError(f"The stored {what} has no {key!r}: store it again.")
    for key in (key for key in found if key not in known):
        raise InputError(f"The stored {what} has the entry {key!r}, which is not known: store it again.")
    return found
