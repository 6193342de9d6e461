from dataclasses import replace

import numpy as np
import pytest
from beams import AXES, FLOAT32, LEANS, assert_seen_where_not_finite, beams, difference, grid_of, reference
from tables import each

from XRayTo3DLib.projection.projector import backproject, project

joseph = pytest.importorskip("XRayTo3DLib.projection._numba.joseph", reason="numba is not installed")


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)


@each("value", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(rng, value):
    assert_seen_where_not_finite(rng, value)


def guarded(shape, fill):
    """An array inside a larger one, and that one: what is read or written beside it shows."""
    whole = np.full((3, *shape), fill, dtype=np.float32)
    return whole[1], whole


THIN = [(1, 9, 8), (9, 1, 8), (9, 8, 1), (2, 9, 8), (9, 2, 8), (9, 8, 2), (1, 1, 8), (1, 1, 1), (7, 9, 8)]


@each("slopes", [False, True])
@each("shape", THIN)
def test_nothing_beside_the_volume_is_read_or_written(rng, shape, slopes):
    sizes = np.array(shape[::-1])
    volume, _ = guarded(shape, 1e30)
    volume[:] = rng.normal(size=shape)
    shifts = ((0.0,), (-(6**-0.5), 6**-0.5))
    for axis, sign in AXES:
        # Rays that cross the middle of the first, the last and any voxel, at planes and between them, at many slopes.
        count, exact = 400, rng.random((400, 3)) < 0.7
        points = np.where(exact, rng.integers(-1, sizes + 1, (count, 3)), rng.uniform(-1, sizes, (count, 3)))
        leans = np.where(exact[:, :2], rng.choice([0, 1, -1, 1e-4, -0.5], (count, 2)), rng.uniform(-1, 1, (count, 2)))
        directions = np.insert(leans, axis, float(sign), axis=1)
        for kind in (axis, axis + 3):
            kinds = np.full(count, kind, np.int8)
            rays = points.astype(float), directions, kinds, shifts, False
            values, derivatives = joseph.forward(volume, *rays, 20, 1, slopes)
            assert np.abs(values).max() < 1e3 and (not slopes or np.abs(derivatives).max() < 1e4)
            total, whole = guarded(shape, 0)
            pixels = np.ones(count, np.float32)
            joseph.adjoint(pixels, total, *rays, 1)
            assert np.abs(whole[[0, 2]]).max() == 0
            gap = (values.astype(float) @ pixels) - (total.astype(float) * volume).sum()
            assert abs(gap) < 1e-5 * np.linalg.norm(values) * np.linalg.norm(pixels)


def test_widths_that_fill_no_tile(rng):
    grid = grid_of("oblique")
    volume = rng.normal(size=grid.shape).astype(np.float32)
    view = beams(grid, 1, 1, LEANS["leaning"])["cone"]
    for size in ((1, 1), (1, 130), (130, 1), (5, 63), (4, 64), (3, 65), (9, 129)):
        other = view.resampled(size, (90 / size[0], 80 / size[1]))
        found = project(volume, grid, [other])[0]
        assert difference(found, reference(volume, grid, [other])[0]) < FLOAT32


@each("axis", range(3))
def test_an_adjoint_of_several_pieces(rng, axis):
    # More planes than one thread's piece of work holds, and rays that stop at a source inside.
    size = [9, 10, 11]
    size[axis] = 2 * joseph._PLANES + 5
    grid = grid_of("left-handed", tuple(size))
    views = beams(grid, axis, 1, (0.02, 0.03))
    inside = replace(views["cone"], source=grid.centre, origin=views["cone"].origin + 60.3 * views["cone"].beam_direction)
    for view in (views["cone"], views["parallel"], inside):
        picture = rng.random(view.size).astype(np.float32)
        found = backproject([picture], grid, [view])
        assert difference(found, backproject([picture.astype(np.float64)], grid, [view])) < FLOAT32
