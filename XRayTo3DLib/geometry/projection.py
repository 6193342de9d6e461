"""Where X-rays start, where they land, and how that is written down.

Everything here is LPS, millimetres, float64. A :class:`Projection` is the whole geometry of one radiograph. The 3x4 matrix
of a cone or parallel beam maps homogeneous LPS points to ``(column * w, row * w, w)`` with pixel [0, 0] centred on (0, 0)
(Hartley and Zisserman, Multiple View Geometry, ch. 6). A scanned beam, that of a CT topogram or a slot scanner, has none: it is
a linear pushbroom camera (Gupta and Hartley, IEEE Trans. PAMI 19, 1997), perspective across and parallel along the scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.matrices import tube_and_detector
from XRayTo3DLib.geometry.vectors import LARGEST_LENGTH, ArrayLike, checked_keys, immutable, numbers, unit, vector

#: More pixels than this along a side of a detector are a mistake in the geometry.
LARGEST_SIDE = 16384

#: Two directions count as the same view below this angle.
SAME_VIEW_DEGREES = 5.0

_VECTORS = ("origin", "row_direction", "column_direction")
_BEAMS = ("source", "ray_direction")
#: What a scanned beam's source can travel along.
SCAN_AXES = ("column", "row")
#: A rotation may differ from an orthonormal matrix by this much: matrices of text files are rounded.
_RIGID = 1e-6


def detector_size(size: object) -> tuple[int, int]:
    """``size`` as (rows, columns); :class:`InputError` unless it is two whole numbers that a detector can have."""
    sides = numbers(size)
    if sides.shape != (2,) or (sides != np.floor(sides)).any() or sides.min() < 1:
        raise InputError(f"The detector size {size!r} must be (rows, columns), two whole numbers of at least 1: correct it.")
    if sides.max() > LARGEST_SIDE:
        raise InputError(
            f"The detector has {sides[0]:g} x {sides[1]:g} pixels, more than {LARGEST_SIDE} along a side: use larger "
            "pixels or a smaller detector."
        )
    return int(sides[0]), int(sides[1])


def _pixel_spacing(spacing: object) -> tuple[float, float]:
    sides = numbers(spacing)
    if sides.shape != (2,) or not ((sides > 1 / LARGEST_LENGTH) & (sides < LARGEST_LENGTH)).all():
        raise InputError(f"The detector's pixel spacing {spacing} must be two positive numbers in mm: correct the spacing.")
    return float(sides[0]), float(sides[1])


@dataclass(frozen=True, eq=False)
class Projection:
    """The geometry of one radiograph: immutable with all its arrays, hashable, and equal to one with the same numbers.

    - ``origin``: LPS mm of the centre of pixel [0, 0];
    - ``row_direction``: unit vector along a row, the way the column index grows;
    - ``column_direction``: unit vector down a column, the way the row index grows;
    - ``spacing``: mm between rows, mm between columns (the order of DICOM's PixelSpacing);
    - ``size``: (rows, columns);
    - ``source``: LPS mm of the focal spot (cone beam), or ``None``;
    - ``ray_direction``: unit vector from the tube to the detector (parallel beam), or ``None``;
    - ``scan_axis``: ``"column"`` when source and detector travel together along ``column_direction`` and measure the picture row
      by row, ``"row"`` when they travel along ``row_direction``; ``None`` when they stand still.

    Exactly one of ``source`` and ``ray_direction`` is given. A scanned beam has a ``source``: each ray is at right angles to the
    scan and starts where the focal spot is then (:meth:`source_positions`). ``source`` is the focal spot half way, level with
    the middle of the detector, and is moved there along the scan, whatever is given. Raises :class:`InputError` for a geometry
    that cannot be.
    """

    origin: np.ndarray
    row_direction: np.ndarray
    column_direction: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]
    source: np.ndarray | None = None
    ray_direction: np.ndarray | None = None
    scan_axis: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", vector(self.origin, "origin"))
        object.__setattr__(self, "row_direction", unit(self.row_direction, "row direction"))
        object.__setattr__(self, "column_direction", unit(self.column_direction, "column direction"))
        if abs(self.row_direction @ self.column_direction) > 1e-4:
            raise InputError("The detector's row and column directions are not at right angles: correct the geometry.")
        object.__setattr__(self, "size", detector_size(self.size))
        object.__setattr__(self, "spacing", _pixel_spacing(self.spacing))
        if (self.source is None) == (self.ray_direction is None):
            raise InputError("A projection needs either a source point (cone beam) or a ray direction (parallel beam).")
        if self.scan_axis is not None and (self.scan_axis not in SCAN_AXES or self.source is None):
            raise InputError(
                f"A beam scanned along {self.scan_axis!r} cannot be: name {' or '.join(SCAN_AXES)}, and give a source."
            )
        if self.source is not None:
            object.__setattr__(self, "source", vector(self.source, "source"))
            if self.scan_axis is not None:
                self._settle_scan(self.source)
            if abs(self.normal @ (self.origin - self.source)) < 1e-6:
                raise InputError("The source lies in the detector plane: move it away from the detector.")
        else:
            object.__setattr__(self, "ray_direction", unit(self.ray_direction, "ray direction"))  # type: ignore[arg-type]
            if abs(self.normal @ self.ray_direction) < 1e-6:
                raise InputError("The rays run along the detector plane: turn the detector towards the beam.")

    def _settle_scan(self, source: np.ndarray) -> None:
        """Bring a scanned beam into the one form that it has: directions exactly at right angles, the source half way."""
        scan, across = self.scan_direction, "row_direction" if self.scan_axis == "column" else "column_direction"
        lean = float(getattr(self, across) @ scan)
        if abs(lean) > 1e-12:  # below that it stays as it is, so that a stored projection comes back with every digit
            object.__setattr__(self, across, unit(getattr(self, across) - lean * scan))
        ahead = float(scan @ (self.centre - source))
        if abs(ahead) > 1e-9:
            object.__setattr__(self, "source", immutable(source + ahead * scan))

    @cached_property
    def _key(self) -> tuple[object, ...]:
        points = (getattr(self, name) for name in (*_VECTORS, *_BEAMS))
        return self.spacing, self.size, self.scan_axis, *(None if point is None else tuple(point.tolist()) for point in points)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Projection) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: arrays come out of a pickle writable.
        directions = self.row_direction, self.column_direction
        beam = self.source, self.ray_direction, self.scan_axis
        return type(self), (self.origin, *directions, self.spacing, self.size, *beam)

    @property
    def beam(self) -> str:
        """The kind of beam: ``"cone"``, ``"parallel"`` or ``"scanned"``."""
        return "scanned" if self.is_scanned else "parallel" if self.source is None else "cone"

    @property
    def is_cone(self) -> bool:
        """Whether all rays start at one point that stands still."""
        return self.source is not None and self.scan_axis is None

    @property
    def is_scanned(self) -> bool:
        """Whether source and detector travel along one axis of the picture (a CT topogram, a slot scanner)."""
        return self.scan_axis is not None

    @property
    def scan_direction(self) -> np.ndarray:
        """Unit vector (LPS) along which a scanned beam travels; :class:`InputError` for the others."""
        if self.scan_axis is None:
            raise InputError(f"A {self.beam} beam stands still and has no scan direction: take a scanned beam.")
        return self.column_direction if self.scan_axis == "column" else self.row_direction

    @cached_property
    def normal(self) -> np.ndarray:
        """Unit normal of the detector, ``row_direction x column_direction``."""
        return immutable(np.cross(self.row_direction, self.column_direction))

    @cached_property
    def centre(self) -> np.ndarray:
        """LPS mm of the middle of the detector."""
        return immutable(self.pixel_positions(np.array([[(self.size[0] - 1) / 2, (self.size[1] - 1) / 2]]))[0])

    @cached_property
    def beam_direction(self) -> np.ndarray:
        """Unit vector from the tube towards the middle of the detector."""
        return self.ray_direction if self.source is None else unit(self.centre - self.source)  # type: ignore[return-value]

    @cached_property
    def source_to_detector(self) -> float | None:
        """Perpendicular distance from source to detector plane in mm; ``None`` for a parallel beam."""
        return None if self.source is None else float(abs(self.normal @ (self.origin - self.source)))

    def magnification(self, point: ArrayLike) -> tuple[float, float]:
        """How much larger a small thing at ``point`` (LPS mm) appears on the detector: down a column and along a row.

        Both are 1 for a parallel beam, and that along the scan of a scanned beam.
        """
        if self.source is None:
            return 1.0, 1.0
        depth = float(abs(self.normal @ (np.asarray(point, dtype=np.float64) - self.source)))
        larger = float(abs(self.normal @ (self.origin - self.source))) / max(depth, 1e-6)
        return (1.0 if self.scan_axis == "column" else larger), (1.0 if self.scan_axis == "row" else larger)

    @property
    def is_mirrored(self) -> bool:
        """Whether the picture is shown as seen from the detector (a PA chest, a C-arm) instead of from the tube."""
        return float(self.normal @ self.beam_direction) < 0

    def pixel_positions(self, row_column: np.ndarray) -> np.ndarray:
        """LPS mm of (row, column) positions, shape (N, 2) to (N, 3); fractional positions are allowed."""
        index = np.asarray(row_column, dtype=np.float64)
        return (
            self.origin
            + index[:, :1] * self.spacing[0] * self.column_direction
            + index[:, 1:] * self.spacing[1] * self.row_direction
        )

    def source_positions(self, row_column: np.ndarray) -> np.ndarray:
        """LPS mm of the focal spot while (row, column) positions are measured, (N, 2) to (N, 3).

        :class:`InputError` for a parallel beam, which has none.
        """
        if self.source is None:
            raise InputError("A parallel beam has no source: take a cone or a scanned beam.")
        index = np.asarray(row_column, dtype=np.float64)
        if self.scan_axis is None:
            return np.broadcast_to(self.source, (len(index), 3))
        along = 0 if self.scan_axis == "column" else 1
        moved = (index[:, along] - (self.size[along] - 1) / 2) * self.spacing[along]
        return self.source + moved[:, None] * self.scan_direction

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """One ray a pixel in row-major order: points (N, 3) in LPS mm and unit directions (N, 3), tube to detector.

        For cone and scanned beams the points are the source, for a parallel beam the pixel centres.
        """
        rows, columns = np.meshgrid(np.arange(self.size[0]), np.arange(self.size[1]), indexing="ij")
        index = np.stack([rows.ravel(), columns.ravel()], axis=1)
        pixels = self.pixel_positions(index)
        if self.source is None:
            return pixels, np.broadcast_to(self.ray_direction, pixels.shape)  # type: ignore[arg-type]
        sources = self.source_positions(index)
        directions = pixels - sources
        return sources, directions / np.linalg.norm(directions, axis=1, keepdims=True)

    @cached_property
    def matrix(self) -> np.ndarray:
        """The 3x4 matrix from LPS mm to (column * w, row * w, w); w is 1 for parallel, depth in mm for cone beams.

        A scanned beam has none, which is an :class:`InputError`: see :attr:`forms`.
        """
        if self.scan_axis is not None:
            raise InputError(
                "A scanned beam has no 3x4 projection matrix, because its source travels: use a cone or parallel beam here, or "
                "keep the projection in a format of its own (NRRD, JSON)."
            )
        return self._matrix

    @cached_property
    def _matrix(self) -> np.ndarray:
        axes = np.stack([self.row_direction / self.spacing[1], self.column_direction / self.spacing[0]])
        if self.source is None:
            # Slide a point along the ray into the detector plane, then read its two detector coordinates.
            ray = self.beam_direction
            slide = np.eye(3) - np.outer(ray, self.normal) / (self.normal @ ray)
            linear = axes @ slide
            return immutable(np.vstack([np.column_stack([linear, -linear @ self.origin]), [0.0, 0.0, 0.0, 1.0]]))
        # With n pointing from the source to the detector, w = n.(x - s) is the depth and the detector point is
        # s + (x - s) * distance / w.
        normal = self.normal * np.sign(self.normal @ (self.origin - self.source))
        distance = normal @ (self.origin - self.source)
        linear = axes * distance + np.outer(axes @ (self.source - self.origin), normal)
        linear = np.vstack([linear, normal])
        return immutable(np.column_stack([linear, -linear @ self.source]))

    @cached_property
    def forms(self) -> np.ndarray:
        """Four linear forms of homogeneous LPS points (4, 4), for every kind of beam: column = 0 / 2 and row = 1 / 3.

        Form 2 and 3 are 1 where rays are parallel and depth in mm where they spread: both of a cone, one of a scanned beam.
        """
        forms = self._matrix[[0, 1, 2, 2]].copy()
        if self.scan_axis is not None:
            along = 1 if self.scan_axis == "column" else 0
            step = self.scan_direction / self.spacing[1 - along]
            forms[along], forms[along + 2] = np.append(step, -step @ self.origin), (0.0, 0.0, 0.0, 1.0)
        return immutable(forms)

    @cached_property
    def detector_affine(self) -> np.ndarray:
        """4x4 matrix from (column, row, mm along the normal, 1) to LPS mm: the detector as the image of one slice it is."""
        affine = np.eye(4)
        affine[:3, 0] = self.row_direction * self.spacing[1]
        affine[:3, 1] = self.column_direction * self.spacing[0]
        affine[:3, 2] = self.normal
        affine[:3, 3] = self.origin
        return immutable(affine)

    def project(self, points: np.ndarray) -> np.ndarray:
        """LPS points (N, 3) to (column, row) positions (N, 2); NaN for points at or behind the source."""
        found = np.asarray(points, dtype=np.float64) @ self.forms[:, :3].T + self.forms[:, 3]
        ahead = (found[:, 2:] > 1e-9).all(axis=1, keepdims=True)
        return found[:, :2] / np.where(ahead, found[:, 2:], np.nan)

    def resampled(self, size: tuple[int, int], spacing: tuple[float, float]) -> Projection:
        """The same view on a detector of another pixel size around the same centre."""
        offset = (size[0] - 1) / 2 * spacing[0] * self.column_direction + (size[1] - 1) / 2 * spacing[1] * self.row_direction
        return replace(self, origin=self.centre - offset, size=size, spacing=spacing)

    def cropped(self, window: Sequence[slice]) -> Projection:
        """The same view on the part of the detector that ``window`` (rows, columns) names: that of ``picture[window]``.

        Starts below 0 and stops past the end reach beyond this detector.
        """
        if len(window) != 2 or any(side.step not in (None, 1) for side in window):
            raise InputError(f"The window {window!r} must be two slices (rows, columns) without steps: correct it.")
        first = [0 if side.start is None else side.start for side in window]
        last = [n if side.stop is None else side.stop for side, n in zip(window, self.size, strict=True)]
        corner = self.pixel_positions(np.array([first], dtype=float))[0]
        return replace(self, origin=corner, size=(last[0] - first[0], last[1] - first[1]))

    def coarsened(self, blocks: tuple[int, int]) -> Projection:
        """The same view with pixels of ``blocks`` (rows, columns) old ones, from pixel [0, 0] on; whole blocks alone."""
        rows, columns = blocks
        corner = self.pixel_positions(np.array([[(rows - 1) / 2, (columns - 1) / 2]]))[0]
        size = self.size[0] // rows, self.size[1] // columns
        return replace(self, origin=corner, spacing=(self.spacing[0] * rows, self.spacing[1] * columns), size=size)

    def transformed(self, matrix: ArrayLike | Sequence[Sequence[float]]) -> Projection:
        """The same tube and detector moved together by a rigid 4x4 matrix (LPS mm).

        Raises :class:`InputError` for a matrix that scales, shears, mirrors or projects, which no X-ray system does.
        """
        values = numbers(matrix)
        turn, shift = (values[:3, :3], values[:3, 3]) if values.shape == (4, 4) else (np.zeros((3, 3)), np.zeros(3))
        rigid = np.isfinite(values).all() and np.abs(turn.T @ turn - np.eye(3)).max() <= _RIGID and np.linalg.det(turn) > 0
        if not rigid or np.abs(values[3] - [0, 0, 0, 1]).max() > _RIGID:
            raise InputError("The transform of a projection is not rigid, which no X-ray system is: use a rigid 4x4 matrix.")
        return replace(
            self,
            origin=turn @ self.origin + shift,
            row_direction=turn @ self.row_direction,
            column_direction=turn @ self.column_direction,
            source=None if self.source is None else turn @ self.source + shift,
            ray_direction=None if self.ray_direction is None else turn @ self.ray_direction,
        )

    def moved(self, rotation: np.ndarray, centre: ArrayLike) -> Projection:
        """The same tube and detector turned together about ``centre`` (LPS mm) by a 3x3 rotation."""
        turn, point = np.asarray(rotation, dtype=np.float64), np.asarray(centre, dtype=np.float64)
        return self.transformed(np.vstack([np.column_stack([turn, point - turn @ point]), [0.0, 0.0, 0.0, 1.0]]))

    def angle_to(self, other: Projection) -> float:
        """Angle in degrees between two beam axes."""
        return float(np.degrees(np.arccos(np.clip(self.beam_direction @ other.beam_direction, -1, 1))))

    def to_dict(self) -> dict[str, Any]:
        """Lists of numbers for JSON (LPS, mm), with every digit; :meth:`from_dict` gives an equal projection."""
        points = {name: getattr(self, name) for name in (*_VECTORS, *_BEAMS)}
        return {
            **{name: point.tolist() for name, point in points.items() if point is not None},
            "spacing": list(self.spacing),
            "size": list(self.size),
            **({} if self.scan_axis is None else {"scan_axis": self.scan_axis}),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Projection:
        """The inverse of :meth:`to_dict`; :class:`InputError` for anything else."""
        return Projection(**checked_keys(values, (*_VECTORS, "spacing", "size"), (*_BEAMS, "scan_axis"), "projection"))

    @staticmethod
    def from_matrix(
        matrix: ArrayLike,
        size: tuple[int, int],
        spacing: tuple[float, float] | None = None,
        isocentre: ArrayLike = (0.0, 0.0, 0.0),
        mirrored: bool = False,
    ) -> Projection:
        """The projection of a 3x4 matrix (LPS mm to pixels), the inverse of :attr:`matrix`.

        A matrix fixes the rays but not how far away the detector stands: ``spacing`` (mm between rows and between columns)
        does; it defaults to 1 mm between columns. The plane of a parallel detector passes through ``isocentre``. The matrix
        of a cone beam whose picture is mirrored (seen from the detector) is refused unless ``mirrored`` says that this is
        meant, because the usual cause is a swapped axis. Opposite parallel beams are mirror images with the same matrix: there
        ``mirrored`` picks one of the two.

        A matrix whose pixels are a little askew, or whose sides differ from ``spacing``, as calibrations without constraints have
        them, gives the nearest rectangular detector (up to :data:`XRayTo3DLib.geometry.matrices.LARGEST_MISFIT`); :meth:`misfit`
        says how near. Raises :class:`InputError` for a singular, a mirrored, and a more skewed matrix.
        """
        if spacing is not None:
            spacing = _pixel_spacing(spacing)
        size = detector_size(size)
        return Projection(size=size, **tube_and_detector(matrix, size, spacing, isocentre, mirrored))

    def misfit(self, matrix: ArrayLike) -> float:
        """How far apart a 3x4 matrix and this projection put what lands on the detector's corners, at most, in pixels."""
        rows, columns = self.size
        corners = np.array([[row, column] for row in (-0.5, rows - 0.5) for column in (-0.5, columns - 0.5)])
        values = numbers(matrix)
        there = self.pixel_positions(corners) @ values[:, :3].T + values[:, 3]
        return float(np.linalg.norm(there[:, :2] / there[:, 2:] - corners[:, ::-1], axis=1).max())
