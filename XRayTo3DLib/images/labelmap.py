"""Label maps: structures as integers on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid

#: A label map has eight bits.
LARGEST_LABEL = 255


@dataclass(frozen=True, eq=False)
class Labelmap:
    """Structures as integers: ``array`` uint8 [z, y, x], 0 outside; ``names`` gives each label's name, in order."""

    array: np.ndarray
    grid: Grid
    names: dict[int, str]

    def mask(self, label: int | str) -> np.ndarray:
        """Boolean [z, y, x] of one structure, by number or name."""
        numbers = [n for n, name in self.names.items() if label in (n, name)]
        if not numbers:
            raise InputError(f"There is no structure {label!r}: it has {', '.join(self.names.values())}.")
        return self.array == numbers[0]
