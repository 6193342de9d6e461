"""Where the voxels of a volume stand: one frozen value, and what is done to it.

Everything here is LPS, millimetres, float64. The affine matrix is that of ITK and NIfTI, from voxel index (x, y, z) to mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.vectors import LARGEST_LENGTH, ArrayLike, checked_keys, immutable, numbers, vector

_FIELDS = ("size", "spacing", "origin", "direction")


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular voxel grid: ``size`` and ``spacing`` in (x, y, z) order, ``origin`` the LPS centre of voxel (0, 0, 0).

    ``direction`` is the 3x3 matrix of ITK: its columns are the LPS directions of the x, y and z index axes. It may be
    oblique or left-handed; both are honoured. Arrays on this grid have the shape ``size[::-1]``, that is [z, y, x].

    Immutable with all its arrays, hashable, and equal to a grid with the same numbers (:meth:`same_as` allows for rounding).
    Raises :class:`InputError` for a grid that cannot be.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: np.ndarray = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        size, spacing, direction = numbers(self.size), numbers(self.spacing), numbers(self.direction)
        if size.shape != (3,) or not (np.isfinite(size).all() and (size == np.floor(size)).all() and size.min() >= 1):
            raise InputError(f"A volume grid needs three sizes of at least 1, got {self.size}: check the image.")
        if spacing.shape != (3,) or not ((spacing > 1 / LARGEST_LENGTH) & (spacing < LARGEST_LENGTH)).all():
            shown = tuple(spacing.tolist()) if spacing.ndim == 1 and spacing.size else self.spacing
            raise InputError(f"The voxel spacing {shown} must be three positive numbers in mm: check the image.")
        if direction.size != 9 or not np.isfinite(direction).all() or abs(np.linalg.det(direction.reshape(3, 3))) < 1e-6:
            raise InputError("The direction matrix of the volume is singular: correct the image header or resample it.")
        object.__setattr__(self, "size", tuple(int(n) for n in size))
        object.__setattr__(self, "spacing", tuple(spacing.tolist()))
        object.__setattr__(self, "origin", tuple(vector(self.origin, "volume origin").tolist()))
        object.__setattr__(self, "direction", immutable(direction.reshape(3, 3)))

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.size, self.spacing, self.origin, tuple(self.direction.ravel().tolist())

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Grid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: arrays come out of a pickle writable.
        return type(self), (self.size, self.spacing, self.origin, self.direction)

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
        return immutable(matrix)

    @cached_property
    def to_index(self) -> np.ndarray:
        """4x4 matrix from LPS mm to voxel indices (x, y, z)."""
        return immutable(np.linalg.inv(self.affine))

    @cached_property
    def centre(self) -> np.ndarray:
        """LPS mm of the middle of the grid."""
        return immutable(self.affine[:3, :3] @ ((np.asarray(self.size) - 1) / 2) + self.affine[:3, 3])

    @cached_property
    def corners(self) -> np.ndarray:
        """LPS mm of the eight outer corners (voxel faces, not centres), shape (8, 3)."""
        ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.size], indexing="ij")).reshape(3, -1)
        return immutable((self.affine[:3, :3] @ ends).T + self.affine[:3, 3])

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether two grids put every voxel at the same place, to ``tolerance`` mm at the corners."""
        return self.size == other.size and bool(np.abs(self.corners - other.corners).max() <= tolerance)

    def cropped(self, box: Sequence[slice]) -> Grid:
        """The grid of ``array[box]``, three slices [z, y, x]; starts below 0 and stops past the end reach beyond this grid."""
        sides = list(box)[::-1]
        if len(sides) != 3 or any(side.step not in (None, 1) for side in sides):
            raise InputError(f"The box {box!r} must be three slices (z, y, x) without steps: correct it.")
        first = [0 if side.start is None else side.start for side in sides]
        last = [n if side.stop is None else side.stop for side, n in zip(sides, self.size, strict=True)]
        return self._spanning(np.array(first, dtype=float), np.array(last) - first, self.spacing)

    def padded(self, before: int | Sequence[int], after: int | Sequence[int] | None = None) -> Grid:
        """The grid with voxels added ``before`` the first and ``after`` the last (as before, unless given) of (x, y, z)."""
        added = np.broadcast_to(before, 3), np.broadcast_to(before if after is None else after, 3)
        return self._spanning(-added[0].astype(float), np.asarray(self.size) + added[0] + added[1], self.spacing)

    def coarsened(self, factor: int | Sequence[int]) -> Grid:
        """The grid of blocks of ``factor`` (one number, or one for x, y and z) voxels; the last blocks may reach beyond."""
        factors = np.broadcast_to(factor, 3)
        size = -(-np.asarray(self.size) // factors)
        return self._spanning((factors - 1) / 2, size, np.asarray(self.spacing) * factors)

    def resized(self, size: Sequence[int]) -> Grid:
        """The same box, face to face, in another number of voxels (x, y, z)."""
        wanted = np.broadcast_to(size, 3)
        return self._spanning(0.5 * np.array(self.size) / wanted - 0.5, wanted, np.array(self.spacing) * self.size / wanted)

    def _spanning(self, first: np.ndarray, size: Sequence[int] | np.ndarray, spacing: Sequence[float] | np.ndarray) -> Grid:
        """``size`` voxels of ``spacing`` along the same axes, the first one centred on the index ``first``."""
        origin = self.affine[:3, :3] @ first + self.affine[:3, 3]
        return Grid(tuple(size), tuple(spacing), tuple(origin), self.direction)  # type: ignore[arg-type]

    def transformed(self, matrix: ArrayLike | Sequence[Sequence[float]]) -> Grid:
        """The grid of a volume that a 4x4 affine matrix (LPS mm) has moved; the voxels stay what they are.

        The matrix may turn, shift, mirror, scale and shear. Raises :class:`InputError` for one that is not affine, not finite
        or singular.
        """
        values = numbers(matrix)
        if values.shape != (4, 4):
            raise InputError(f"The transform has the shape {np.shape(values)}: give a 4x4 matrix of numbers (LPS mm).")
        if not np.isfinite(values).all():
            raise InputError("The transform holds NaN or infinite numbers: correct the 4x4 matrix.")
        if np.abs(values[3] - [0, 0, 0, 1]).max() > 1e-9:
            raise InputError(f"The last row of the transform is {values[3].tolist()}, not 0 0 0 1: give a linear (affine) one.")
        lengths = np.linalg.norm(values[:3, :3], axis=0)
        if lengths.min() < 1e-9 or abs(np.linalg.det(values[:3, :3] / np.maximum(lengths, 1e-9))) < 1e-6:
            raise InputError("The transform is singular, it would flatten the CT: correct the 4x4 matrix.")
        return Grid.from_affine(values @ self.affine, self.size)

    @staticmethod
    def from_affine(affine: ArrayLike | Sequence[Sequence[float]], size: Sequence[int]) -> Grid:
        """The grid of ``size`` (x, y, z) voxels whose 4x4 matrix from voxel index to LPS mm is given, as :attr:`affine`."""
        values = numbers(affine)
        if values.shape != (4, 4) or not np.isfinite(values).all() or np.abs(values[3] - [0, 0, 0, 1]).max() > 1e-9:
            raise InputError("The affine matrix of a grid must be 4x4 finite numbers that end in 0 0 0 1: correct it.")
        spacing = np.linalg.norm(values[:3, :3], axis=0)
        direction = values[:3, :3] / np.where(spacing > 0, spacing, 1)
        return Grid(tuple(size), tuple(spacing), tuple(values[:3, 3]), direction)  # type: ignore[arg-type]

    @staticmethod
    def centred(centre: ArrayLike, size: int | Sequence[int] = 64, spacing: float | Sequence[float] = 4.0) -> Grid:
        """An LPS-aligned grid around ``centre`` (mm)."""
        sizes, spacings = numbers(size), numbers(spacing)
        if sizes.shape not in ((), (3,)) or spacings.shape not in ((), (3,)):
            raise InputError(f"A grid needs one or three sizes and spacings (x, y, z), not {size!r} and {spacing!r}: correct them.")
        sizes, spacings = np.broadcast_to(sizes, 3), np.broadcast_to(spacings, 3)
        origin = vector(centre, "grid centre") - (sizes - 1) / 2 * spacings
        return Grid(tuple(sizes), tuple(spacings), tuple(origin))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Lists of numbers for JSON, with every digit; :meth:`from_dict` gives an equal grid."""
        return {
            "size": list(self.size),
            "spacing": list(self.spacing),
            "origin": list(self.origin),
            "direction": self.direction.tolist(),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Grid:
        """The inverse of :meth:`to_dict`; :class:`InputError` for anything else."""
        return Grid(**checked_keys(values, _FIELDS, (), "grid"))
