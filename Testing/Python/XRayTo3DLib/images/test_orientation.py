"""Volumes stored in any order of axes show the same voxels at the same places, in LPS order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.orientation import is_upright, oriented, upright
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume


def stored(volume: Volume, axes: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same volume with its index axes exchanged and reversed."""
    grid = volume.grid
    first = [grid.size[a] - 1 if sign < 0 else 0 for a, sign in zip(axes, signs, strict=True)]
    index = np.ones(4)
    index[list(axes)] = first
    array = np.transpose(volume.array, [2 - a for a in axes[::-1]])[tuple(slice(None, None, s) for s in signs[::-1])]
    direction = grid.direction[:, list(axes)] * np.array(signs)
    size, spacing = ([values[a] for a in axes] for values in (grid.size, grid.spacing))
    return Volume(array, Grid(tuple(size), tuple(spacing), tuple((grid.affine @ index)[:3]), direction))


def test_all_48_orders_of_a_volume_are_one(rng):
    lps = Volume(rng.integers(-1000, 1000, (5, 4, 3)).astype(np.int16), Grid((3, 4, 5), (1.0, 2.0, 3.5), (7.0, -8.0, 9.5)))
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        found = oriented(stored(lps, axes, signs))
        np.testing.assert_array_equal(found.array, lps.array)
        assert found.array.dtype == np.int16 and found.array.flags.c_contiguous
        assert found.grid.same_as(lps.grid, 1e-9) and is_upright(found.grid), (axes, signs)


def test_rounded_cosines_are_lps_and_a_real_tilt_is_kept():
    small, large = (np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]) for a in (3e-5, 0.1))
    array = np.zeros((4, 4, 4), np.float32)
    np.testing.assert_array_equal(oriented(Volume(array, Grid((4, 4, 4), (1.0,) * 3, direction=small))).grid.direction, np.eye(3))
    tilted = oriented(Volume(array, Grid((4, 4, 4), (1.0,) * 3, direction=-large)))
    np.testing.assert_allclose(tilted.grid.direction, large, atol=1e-12)
    assert not is_upright(tilted.grid)


def test_an_oblique_volume_is_made_upright_where_it_is():
    angle = np.radians(20)
    direction = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1.0]])
    grid = Grid((40, 36, 20), (2.0, 2.0, 3.0), (10.0, 20.0, 30.0), direction)
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    places = np.einsum("ij,jzyx->izyx", grid.affine[:3, :3], np.stack([x, y, z])) + grid.affine[:3, 3].reshape(3, 1, 1, 1)
    centre = grid.centre + np.array([6, -4, 3])
    blob = 1000 * np.exp(-np.square(places - centre.reshape(3, 1, 1, 1)).sum(axis=0) / (2 * 9.0**2)) - 1000
    found = upright(Volume(blob.astype(np.float32), grid))
    assert is_upright(found.grid) and found.array.min() == -1000
    weights = found.array + 1000
    for axis, position in enumerate(centre):
        own = np.moveaxis(weights, 2 - axis, 0).sum(axis=(1, 2))
        middle = found.grid.origin[axis] + found.grid.spacing[axis] * (own @ np.arange(len(own))) / own.sum()
        assert abs(middle - position) < 0.3
    low, high = grid.corners.min(axis=0), grid.corners.max(axis=0)
    assert (found.grid.corners.min(axis=0) < low + 3).all() and (found.grid.corners.max(axis=0) > high - 3).all()
    again = resample(found, grid)
    assert np.abs(again.array - blob)[2:-2, 2:-2, 2:-2].max() < 40
