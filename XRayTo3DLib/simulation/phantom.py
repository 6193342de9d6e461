"""An anatomical thorax of ellipsoids, whose line integrals are known in closed form.

A phantom is a sum of ellipsoids, each adding its own attenuation difference (Kak and Slaney, Principles of Computerized
Tomographic Imaging, ch. 3). An ellipsoid may be cut by others (``within``): a ray crosses every convex body in one
interval, so it crosses their intersection in one interval too, and the integral stays exact. That makes rib rings (the
chest wall, cut by a thin tilted disc) and a liver dome that rises into the lung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.volume import MU_WATER, Volume

#: Rays handled at once; bounds the memory of a call, not its result.
_CHUNK_RAYS = 65536


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid that adds ``difference`` (1/mm) to the attenuation inside it and inside all of ``within``.

    ``centre`` and ``semi_axes`` are LPS mm. ``angles`` (degrees) turn it about its centre: first about x (the patient's
    left-right axis), then y, then z.
    """

    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    difference: float = 0.0
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    within: tuple[Ellipsoid, ...] = ()

    def __post_init__(self) -> None:
        if min(self.semi_axes) <= 0:
            raise InputError(f"The semi-axes {self.semi_axes} of an ellipsoid must be positive lengths in mm.")

    def rotation(self) -> np.ndarray:
        """3x3 matrix whose columns are the LPS directions of the three semi-axes."""
        return Rotation.from_euler("xyz", self.angles, degrees=True).as_matrix()

    def to_unit(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, b) with ``|A x + b| < 1`` for the LPS points x inside."""
        matrix = (self.rotation() / np.asarray(self.semi_axes)).T
        return matrix, -matrix @ np.asarray(self.centre)

    def interval(self, points: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where lines enter and leave this ellipsoid alone, in mm along the unit ``directions``; equal for a miss."""
        matrix, offset = self.to_unit()
        start, step = points @ matrix.T + offset, directions @ matrix.T
        a = np.einsum("ij,ij->i", step, step)
        # About the closest approach, so that a far-away source costs no digits.
        middle = -np.einsum("ij,ij->i", start, step) / a
        closest = start + middle[:, None] * step
        half = np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", closest, closest), 0) / a)
        return middle - half, middle + half


@dataclass(frozen=True)
class Phantom:
    """A sum of ellipsoids in air."""

    ellipsoids: tuple[Ellipsoid, ...]

    def line_integrals(self, projection: Projection) -> np.ndarray:
        """Exact line integrals on the detector of ``projection``: float64 [row, column], dimensionless.

        Rays are lines (parallel beam) or half-lines from the source (cone and scanned beam); they do not stop at the detector.
        """
        points, directions = projection.rays()
        total = np.zeros(len(points))
        for begin in range(0, len(points), _CHUNK_RAYS):
            rows = slice(begin, begin + _CHUNK_RAYS)
            total[rows] = self._integrate(points[rows], directions[rows], projection.source is not None)
        return total.reshape(projection.size)

    def _integrate(self, points: np.ndarray, directions: np.ndarray, half_line: bool) -> np.ndarray:
        known: dict[Ellipsoid, tuple[np.ndarray, np.ndarray]] = {}
        total = np.zeros(len(points))
        for ellipsoid in self.ellipsoids:
            enter, leave = np.full(len(points), 0.0 if half_line else -np.inf), np.full(len(points), np.inf)
            for body in (ellipsoid, *ellipsoid.within):
                if body not in known:
                    known[body] = body.interval(points, directions)
                enter, leave = np.maximum(enter, known[body][0]), np.minimum(leave, known[body][1])
            total += ellipsoid.difference * np.maximum(leave - enter, 0)
        return total

    def volume(self, grid: Grid | None = None, supersample: int = 2) -> Volume:
        """The phantom on ``grid`` in HU, float32: the mean over ``supersample``^3 points a voxel; air outside.

        The default grid is :func:`thorax_grid`; any direction matrix is honoured.
        """
        grid = thorax_grid() if grid is None else grid
        attenuation = np.zeros(grid.shape)
        for ellipsoid in self.ellipsoids:
            box = _box(ellipsoid, grid)
            if box is not None:
                share = _fraction(ellipsoid, grid, box, supersample)
                attenuation[box[2], box[1], box[0]] += ellipsoid.difference * share
        # Differences that cancel (a ring is an outer body less an inner one) leave rounding errors below zero.
        hu = (np.maximum(attenuation, 0) / MU_WATER - 1) * 1000
        return Volume(hu.astype(np.float32), grid)


def _box(ellipsoid: Ellipsoid, grid: Grid) -> list[slice] | None:
    """Index ranges (x, y, z) that hold the ellipsoid and what cuts it, or ``None`` when it lies outside the grid."""
    inverse = grid.to_index
    low, high = np.zeros(3), np.array(grid.size, dtype=float)
    for body in (ellipsoid, *ellipsoid.within):
        centre = inverse[:3, :3] @ np.asarray(body.centre) + inverse[:3, 3]
        half = np.linalg.norm(inverse[:3, :3] @ (body.rotation() * np.asarray(body.semi_axes)), axis=1)
        low, high = np.maximum(low, np.floor(centre - half)), np.minimum(high, np.ceil(centre + half) + 1)
    return None if (low >= high).any() else [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def _fraction(ellipsoid: Ellipsoid, grid: Grid, box: list[slice], supersample: int) -> np.ndarray:
    """The share of each voxel of ``box`` inside the ellipsoid and what cuts it, [z, y, x]."""
    inside = None
    positions = [
        np.repeat(np.arange(part.start, part.stop), supersample)
        + np.tile((np.arange(supersample) + 0.5) / supersample - 0.5, part.stop - part.start)
        for part in box
    ]
    for body in (ellipsoid, *ellipsoid.within):
        matrix, offset = body.to_unit()
        to_unit = matrix @ grid.affine[:3, :3]
        offset = matrix @ grid.affine[:3, 3] + offset
        squared: np.ndarray | float = 0.0
        for row in range(3):
            x, y, z = (to_unit[row, axis] * positions[axis] for axis in range(3))
            squared = squared + (z[:, None, None] + y[:, None] + (x + offset[row])) ** 2
        inside = squared < 1 if inside is None else inside & (squared < 1)
    nx, ny, nz = (part.stop - part.start for part in box)
    parts = inside.reshape(nz, supersample, ny, supersample, nx, supersample)  # type: ignore[union-attr]
    return parts.mean(axis=(1, 3, 5))


def thorax_grid() -> Grid:
    """The grid that holds the whole thorax phantom: 96 x 72 x 80 voxels of 4 mm around the origin."""
    return Grid.centred((0.0, 0.0, 0.0), (96, 72, 80), 4.0)


def thorax_phantom() -> Phantom:
    """A trunk from the shoulders to the liver, 340 x 230 x 300 mm, centred on the origin: LPS, patient supine.

    The heart lies to the patient's left (+x), the liver under the right lung, the spine behind (+y), the sternum in
    front. Lungs have -830 HU, soft tissue about 40, fat -90, bone 250 to 900.
    """
    trunk = Ellipsoid((0, 0, 0), (600, 600, 150))  # rounds off the top and bottom of what would be an endless trunk
    skin = Ellipsoid((0, 0, 0), (170, 115, 340), _hu(-90, -1000), within=(trunk,))
    muscle = Ellipsoid((0, 0, 0), (158, 103, 310), _hu(40, -90), within=(trunk,))
    cage = Ellipsoid((0, -4, -20), (138, 90, 215))
    inner = Ellipsoid((0, -4, -20), (130, 82, 205))
    lung = _hu(-830, 40)
    right = Ellipsoid((-74, 2, 10), (50, 70, 118), lung, (0, 4, 0), (inner,))
    left = Ellipsoid((74, 4, 14), (48, 68, 116), lung, (0, -4, 0), (inner,))
    heart = Ellipsoid((26, -24, -38), (54, 42, 48), _hu(50, 40), (0, 25, 0))
    liver = Ellipsoid((-66, -6, -122), (76, 76, 70), _hu(60, 40), (0, 8, 0), (muscle, trunk))
    spleen = Ellipsoid((72, 10, -122), (58, 64, 54), _hu(50, 40), (0, -8, 0), (muscle, trunk))
    # What rises into a lung takes its place: it gives back the attenuation that the lung took away.
    fillings = [
        Ellipsoid(organ.centre, organ.semi_axes, -lung, organ.angles, (*organ.within, side, inner))
        for organ, side in ((heart, right), (heart, left), (liver, right), (spleen, left))
    ]
    twice = [
        Ellipsoid(heart.centre, heart.semi_axes, lung, heart.angles, (organ, *organ.within, side, inner))
        for organ, side in ((liver, right), (spleen, left))
    ]
    organs = [skin, muscle, right, left, heart, liver, spleen, *fillings, *twice]
    vessels = [
        Ellipsoid((14, 30, 10), (11, 11, 130), _hu(50, 40), within=(trunk,)),  # descending aorta
        Ellipsoid((0, 4, 100), (9, 9, 42), _hu(-990, 40)),  # trachea
    ]
    return Phantom((*organs, *vessels, *_skeleton(trunk, muscle, cage, inner)))


def _hu(structure: float, surroundings: float) -> float:
    """Attenuation difference in 1/mm between two values in HU."""
    return MU_WATER * (structure - surroundings) / 1000


def _skeleton(trunk: Ellipsoid, muscle: Ellipsoid, cage: Ellipsoid, inner: Ellipsoid) -> Sequence[Ellipsoid]:
    bones: list[Ellipsoid] = []
    for height in np.arange(-96.0, 120.0, 27.0):  # ribs fall from the spine to the front
        disc = Ellipsoid((0, 0, height), (400, 400, 5), angles=(20, 0, 0))
        bones.append(Ellipsoid(disc.centre, disc.semi_axes, _hu(500, 40), disc.angles, (cage, trunk)))
        bones.append(Ellipsoid(disc.centre, disc.semi_axes, -_hu(500, 40), disc.angles, (inner, trunk)))
    for height in np.arange(-130.0, 140.0, 26.0):  # vertebral bodies and spinous processes
        bones.append(Ellipsoid((0, 52, height), (19, 16, 11), _hu(300, 40)))
        bones.append(Ellipsoid((0, 82, height - 8), (4, 16, 6), _hu(500, 40), (25, 0, 0)))
    bones.append(Ellipsoid((0, 66, 0), (12, 5, 400), _hu(350, 40), within=(trunk,)))  # vertebral arches
    bones.append(Ellipsoid((0, -88, 10), (16, 5, 75), _hu(350, 40), (-3, 0, 0)))  # sternum
    for side in (-1, 1):
        bones.append(Ellipsoid((side * 66, -66, 118), (62, 6, 6), _hu(700, 40), (0, -side * 8, side * 18), (muscle,)))
        bones.append(Ellipsoid((side * 92, 76, 62), (40, 4, 55), _hu(500, 40), (0, 0, -side * 24), (muscle,)))
    return bones
