"""Exact line integrals in float64, by which every engine of the benchmark is judged.

Two models of a volume are in use, and an engine is compared with the one it claims:

- trilinear: voxel centres are interpolated, zeros beyond the outermost ones, so that the volume fades over one voxel there.
  Between two planes through voxel centres it is a cubic along a ray, and two Gauss points integrate a cubic exactly;
- box: constant inside each voxel, ending at the voxels' faces (Siddon, Medical Physics 12, 1985).

Nothing is shared with the projector: rays are cut at every plane they cross, and the pieces are summed. Memory is bounded
by taking a few rays at a time, and the volume stays in its own dtype.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

#: Pieces of rays held at once.
_CHUNK_PIECES = 1_000_000
#: Two-point Gauss-Legendre abscissae, as shares of an interval: exact up to cubics.
_GAUSS = (0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12))


def index_rays(grid: Grid, projection: Projection, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rays of some pixels (numbers in row-major order) in voxel index coordinates (x, y, z).

    Returns points (N, 3), and directions (N, 3) in index steps a millimetre; both float64.
    """
    rows, columns = np.divmod(np.asarray(pixels), projection.size[1])
    positions = projection.pixel_positions(np.stack([rows, columns], axis=1))
    if projection.source is None:
        points, directions = positions, np.broadcast_to(projection.ray_direction, positions.shape)
    else:
        points = projection.source_positions(np.stack([rows, columns], axis=1))
        directions = positions - points
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    inverse = np.linalg.inv(grid.affine)
    return points @ inverse[:3, :3].T + inverse[:3, 3], directions @ inverse[:3, :3].T


def trilinear_integrals(
    volume: np.ndarray, points: np.ndarray, directions: np.ndarray, half_line: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Integrals (N,) of the trilinear model of ``volume`` [z, y, x] along rays in voxel index coordinates.

    ``half_line`` leaves out what lies behind the points. Also returns the rim (N,): the part of each integral that lies beyond
    the outermost voxel centres, in the fade. It is zero where the ray enters and leaves through air, and not where it
    crosses a face at which the body is cut off.
    """
    sizes = np.array(volume.shape[::-1])
    totals, rims = np.zeros(len(points)), np.zeros(len(points))
    for rays, steps, lengths in _pieces(points, directions, np.full(3, -1.0), sizes.astype(float), half_line):
        inside = np.zeros(len(rays), dtype=bool)
        values = np.zeros(len(rays))
        for share in _GAUSS:
            where = points[rays] + (steps + share * lengths)[:, None] * directions[rays]
            values += 0.5 * _trilinear(volume, where)
            inside = ((where >= 0) & (where <= sizes - 1)).all(axis=1)  # no piece crosses a plane of centres
        totals += np.bincount(rays, values * lengths, len(points))
        rims += np.bincount(rays, np.where(inside, 0, values * lengths), len(points))
    return totals, rims


def box_integrals(volume: np.ndarray, points: np.ndarray, directions: np.ndarray, half_line: bool = False) -> np.ndarray:
    """Integrals (N,) of the box model of ``volume`` [z, y, x] along rays in voxel index coordinates."""
    sizes = np.array(volume.shape[::-1])
    flat, (_, height, width) = np.ascontiguousarray(volume).reshape(-1), volume.shape
    totals = np.zeros(len(points))
    for rays, steps, lengths in _pieces(points, directions, np.full(3, -0.5), sizes - 0.5, half_line):
        middle = points[rays] + (steps + 0.5 * lengths)[:, None] * directions[rays]
        x, y, z = np.clip(np.floor(middle + 0.5).astype(np.int64), 0, sizes - 1).T
        totals += np.bincount(rays, flat[(z * height + y) * width + x] * lengths, len(points))
    return totals


def _pieces(
    points: np.ndarray, directions: np.ndarray, low: np.ndarray, high: np.ndarray, half_line: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cut rays at the planes ``low, low + 1, ... high`` of each axis, a few rays at a time.

    Yields ray numbers, where each piece starts (mm along the ray) and how long it is (mm), all of shape (pieces,).
    """
    planes = [np.arange(low[axis], high[axis] + 0.5) for axis in range(3)]
    chunk = max(1, _CHUNK_PIECES // sum(len(p) for p in planes))
    for begin in range(0, len(points), chunk):
        point, direction = points[begin : begin + chunk], directions[begin : begin + chunk]
        along = direction != 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(low - point) / direction, (high - point) / direction])
        # A ray along a slab is inside it for ever or never.
        within = (point > low) & (point < high)
        entries = np.where(along, ends.min(axis=0), np.where(within, -np.inf, np.inf)).max(axis=1)
        exits = np.where(along, ends.max(axis=0), np.where(within, np.inf, -np.inf)).min(axis=1)
        if half_line:
            entries = np.maximum(entries, 0)
        hit = np.flatnonzero(exits > entries)
        entry, leave = entries[hit, None], exits[hit, None]
        crossings = [entry, leave]
        for axis in range(3):
            safe = np.where(along[hit, axis], direction[hit, axis], np.inf)[:, None]
            crossings.append(np.clip((planes[axis] - point[hit, axis, None]) / safe, entry, leave))
        cuts = np.sort(np.concatenate(crossings, axis=1), axis=1)
        lengths = np.diff(cuts, axis=1)
        number, piece = np.nonzero(lengths > 0)
        yield begin + hit[number], cuts[number, piece], lengths[number, piece]


def _trilinear(volume: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Trilinear interpolation (N,) in float64 at index positions (x, y, z), zeros beyond the outermost centres."""
    flat, (depth, height, width) = np.ascontiguousarray(volume).reshape(-1), volume.shape
    base = np.floor(where).astype(np.int64)
    part = where - base
    total = np.zeros(len(where))
    for corner in range(8):
        offset = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        x, y, z = (base + offset).T
        weight = np.where(offset, part, 1 - part).prod(axis=1)
        there = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (z >= 0) & (z < depth)
        total += weight * np.where(there, flat[np.where(there, (z * height + y) * width + x, 0)], 0)
    return total
