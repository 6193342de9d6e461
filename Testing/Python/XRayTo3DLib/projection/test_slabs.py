from dataclasses import replace

import numpy as np
import pytest
from beams import AXES, DIRECTIONS, FLOAT32, LEANS, assert_seen_where_not_finite, beams, difference, grid_of, reference
from tables import each

from XRayTo3DLib.projection.projector import project

slabs = pytest.importorskip("XRayTo3DLib.projection._numba.slabs", reason="numba is not installed")


@pytest.fixture(autouse=True)
def copied(monkeypatch):
    """Treats every volume as one that is too large for the cache and looked at by many rays; returns the axes of its slabs."""
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)
    for name, value in (("_CACHE_BYTES", 0), ("_WORTH", 0.0), ("_WORTH_ACROSS", 0.0), ("_DEPTH", 8)):
        monkeypatch.setattr(slabs, name, value)
    axes, own = [], slabs.forward

    def forward(volume, axis, *rest):
        axes.append(axis)
        own(volume, axis, *rest)

    monkeypatch.setattr(slabs, "forward", forward)
    return axes


@each("name", DIRECTIONS)
@each(("axis", "sign"), AXES)
def test_many_rays_through_a_large_volume(rng, copied, name, axis, sign):
    grid = grid_of(name, (37, 41, 35))
    volume = rng.random(grid.shape).astype(np.float32)
    for lean in LEANS.values():
        views = list(beams(grid, axis, sign, lean).values())
        for picture, expected in zip(project(volume, grid, views), reference(volume, grid, views), strict=True):
            assert difference(picture, expected) < FLOAT32
    assert copied


def test_views_along_all_axes_together(rng, copied):
    grid = grid_of("oblique", (37, 41, 35))
    volume = rng.random(grid.shape).astype(np.float32)
    wide = [replace(beams(grid, axis, 1, (0.4, -0.5))["cone"], spacing=(12.0, 14.0)) for axis in (1, 0, 2)]
    for view, expected in zip(project(volume, grid, wide), reference(volume, grid, wide), strict=True):
        assert difference(view, expected) < FLOAT32
    copied.clear()
    view = beams(grid, 0, 1, (0.9, -0.95), (30, 30))["cone"]  # its rays follow all axes
    assert difference(project(volume, grid, [view])[0], reference(volume, grid, [view])[0]) < FLOAT32
    assert sorted(copied) == [0, 1, 2]


@each("shape", [(1, 9, 8), (9, 1, 8), (9, 8, 1), (2, 9, 8), (1, 1, 8), (1, 1, 1), (17, 9, 8)])
def test_thin_volumes_and_rays_at_their_borders(rng, shape):
    grid = grid_of("oblique", shape[::-1])
    volume = rng.normal(size=shape).astype(np.float32)
    for axis, sign in AXES:
        for lean in LEANS.values():
            views = [view.resampled((23, 29), (4.0, 3.0)) for view in beams(grid, axis, sign, lean).values()]
            for picture, expected in zip(project(volume, grid, views), reference(volume, grid, views), strict=True):
                assert np.abs(picture.numpy() - expected.numpy()).max() <= FLOAT32 * max(1, np.abs(expected.numpy()).max())


@each("value", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(rng, copied, value):
    assert_seen_where_not_finite(rng, value)
    assert copied


def test_copying_pays_for_many_rays_through_a_large_volume(monkeypatch):
    monkeypatch.undo()
    large, small = np.empty((100, 200, 300), np.float32), np.empty((10, 200, 300), np.float32)
    assert slabs.pay(large, 2, 100_000) and not slabs.pay(large, 2, 10_000)
    assert not slabs.pay(small, 2, 100_000)
    # One plane of x or y is smaller; those of x are slower to copy.
    assert slabs.pay(large, 1, 30_000) and not slabs.pay(large, 0, 20_000)


def test_planes_too_large_to_be_counted_exactly_are_not_copied():
    huge = np.broadcast_to(np.float32(0), (4, 2000, 2000))
    assert not slabs.pay(huge, 2, 10**9)
    assert slabs.pay(huge, 1, 10**9)
