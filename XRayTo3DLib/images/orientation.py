"""Volumes in LPS order: what is stored RAS, feet first or in another order of axes is turned over without interpolation."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume

#: Axes that differ from LPS by less than this are LPS: headers hold rounded cosines, and 1e-4 over 500 mm is 0.05 mm.
_ALIGNED = 1e-4


def oriented(volume: Volume) -> Volume:
    """The volume with its index axes in the order and sense closest to LPS; the voxels keep their values and places.

    Axes are exchanged and reversed, nothing is interpolated. Axes that are LPS but for rounding become exactly LPS; an oblique
    volume stays oblique, with a positive diagonal wherever its axes allow that. The array [z, y, x] is contiguous.
    """
    grid = volume.grid
    # The index axis that runs along each of L, P and S.
    axes = list(max(permutations(range(3)), key=lambda order: np.abs(grid.direction[[0, 1, 2], list(order)]).sum()))
    turned = grid.direction[:, axes]
    signs = np.where(np.diag(turned) < 0, -1, 1)
    first = np.ones(4)
    first[axes] = np.where(signs < 0, np.array(grid.size)[axes] - 1, 0)
    direction = turned * signs
    if np.abs(direction - np.eye(3)).max() < _ALIGNED:
        direction = np.eye(3)
    array = np.transpose(volume.array, [2 - axis for axis in axes[::-1]])
    array = array[tuple(slice(None, None, int(sign)) for sign in signs[::-1])]
    size, spacing = (tuple(np.array(values)[axes]) for values in (grid.size, grid.spacing))
    return replace(volume, array=np.ascontiguousarray(array), grid=Grid(size, spacing, tuple((grid.affine @ first)[:3]), direction))


def is_upright(grid: Grid) -> bool:
    """Whether the index axes are L, P and S, in this order and sense."""
    return bool(np.abs(grid.direction - np.eye(3)).max() < _ALIGNED)


def upright(volume: Volume) -> Volume:
    """The volume on an LPS-aligned grid: :func:`oriented`, and only where that is still oblique resampled, air around it.

    The resampled grid (float32) has the spacing of the closest index axes and holds every voxel centre of the volume.
    """
    found = oriented(volume)
    if is_upright(found.grid):
        return found
    spacing = np.array(found.grid.spacing)
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in found.grid.size], indexing="ij")).reshape(3, -1)
    places = found.grid.affine[:3, :3] @ ends + found.grid.affine[:3, 3:]
    low, high = places.min(axis=1), places.max(axis=1)
    size = np.ceil((high - low) / spacing - 1e-6).astype(int) + 1
    return resample(found, Grid(tuple(size), tuple(spacing), tuple(low)))
