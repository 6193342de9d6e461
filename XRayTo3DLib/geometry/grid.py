"""Where X-rays start, where they land, and how that is written down.

Everything here is LPS, millimetres, float64. A :class:`Projection` is the whole geometry of one radiograph; a
:class:`Grid` is the geometry of one volume. The 3x4 matrix of a projection maps homogeneous LPS points to
``(column * w, row * w, w)`` with pixel [0, 0] centred on (0, 0) (Hartley and Zisserman, Multiple View Geometry, ch. 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.vectors import ArrayLike, vector


@dataclass(frozen=True)
class Grid:
    """A regular voxel grid: ``size`` and ``spacing`` in (x, y, z) order, ``origin`` the LPS centre of voxel (0, 0, 0).

    ``direction`` is the 3x3 matrix of ITK: its columns are the LPS directions of the x, y and z index axes. It may be
    oblique or left-handed; both are honoured. Arrays on this grid have the shape ``size[::-1]``, that is [z, y, x].
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: np.ndarray = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        size = tuple(int(n) for n in self.size)
        spacing = tuple(float(s) for s in self.spacing)
        if len(size) != 3 or min(size) < 1:
            raise InputError(f"A volume grid needs three sizes of at least 1, got {self.size}: check the image.")
        if len(spacing) != 3 or not np.isfinite(spacing).all() or min(spacing) <= 0:
            raise InputError(f"The voxel spacing {spacing} must be three positive numbers in mm: check the image.")
        direction = np.asarray(self.direction, dtype=np.float64).reshape(3, 3).copy()
        if not np.isfinite(direction).all() or abs(np.linalg.det(direction)) < 1e-6:
            raise InputError("The direction matrix of the volume is singular: correct the image header or resample it.")
        direction.setflags(write=False)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", tuple(float(v) for v in vector(self.origin, "volume origin")))
        object.__setattr__(self, "direction", direction)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this grid: (z, y, x)."""
        return self.size[2], self.size[1], self.size[0]

    @cached_property
    def affine(self) -> np.ndarray:
        """4x4 matrix from voxel index (x, y, z, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @cached_property
    def to_index(self) -> np.ndarray:
        """4x4 matrix from LPS mm to voxel indices (x, y, z)."""
        inverse: np.ndarray = np.linalg.inv(self.affine)
        inverse.setflags(write=False)
        return inverse

    @cached_property
    def centre(self) -> np.ndarray:
        """LPS mm of the middle of the grid."""
        return self.affine[:3, :3] @ ((np.asarray(self.size) - 1) / 2) + self.affine[:3, 3]

    @cached_property
    def corners(self) -> np.ndarray:
        """LPS mm of the eight outer corners (voxel faces, not centres), shape (8, 3)."""
        ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.size], indexing="ij")).reshape(3, -1)
        return (self.affine[:3, :3] @ ends).T + self.affine[:3, 3]

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether two grids put every voxel at the same place, to ``tolerance`` mm at the corners."""
        return self.size == other.size and bool(np.abs(self.corners - other.corners).max() <= tolerance)

    @staticmethod
    def centred(centre: ArrayLike, size: int | Sequence[int] = 64, spacing: float | Sequence[float] = 4.0) -> Grid:
        """An LPS-aligned grid around ``centre`` (mm)."""
        sizes = np.broadcast_to(np.asarray(size, dtype=int), 3)
        spacings = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
        origin = vector(centre, "grid centre") - (sizes - 1) / 2 * spacings
        return Grid(tuple(sizes), tuple(spacings), tuple(origin))  # type: ignore[arg-type]
