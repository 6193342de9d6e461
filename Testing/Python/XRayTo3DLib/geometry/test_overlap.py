"""Whether, where and how far a beam passes through the box of a grid."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import overlap
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.overlap import boxes_meet, check_overlap, chord_lengths, crosses, shadow
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection


def sampled(grid: Grid, projection: Projection, margin: float = 0.0, step: float = 0.05) -> np.ndarray:
    """The same lengths by counting points along each ray, from its source or through all of the grid."""
    points, directions = projection.rays()
    reach = 1.2 * np.linalg.norm(grid.corners - grid.centre, axis=1).max() + 50
    middle = ((grid.centre - points) * directions).sum(axis=1, keepdims=True)
    t = middle + np.arange(-reach, reach, step)
    at = points[:, None] + t[..., None] * directions[:, None]
    index = at @ grid.to_index[:3, :3].T + grid.to_index[:3, 3]
    inside = ((index > -0.5 - margin) & (index < np.array(grid.size) - 0.5 + margin)).all(axis=2)
    if projection.is_cone:
        inside &= t > 0
    return step * inside.sum(axis=1).reshape(projection.size)


def test_chords_are_as_long_as_points_along_the_rays_say(turn, monkeypatch):
    monkeypatch.setattr(overlap, "_CHUNK_PIXELS", 40)  # several parts
    shear = turn @ np.array([[1, 0.4, 0], [0, 1, -0.3], [0, 0, 1.0]])
    grids = [Grid((6, 5, 4), (7.0, 8.0, 9.0), (3, -4, 5), axes) for axes in (np.eye(3), turn * [1, -1, 1], shear)]
    for grid in grids:
        near = view_projection("RAO30CRAN20", grid.centre, (9, 11), 6.0, 300.0, 100.0)
        inside = replace(near, source=np.add(grid.centre, [1.0, 2.0, 3.0]))  # only the way from the source on counts
        for projection in (near, inside, view_projection("LAT+20", grid.centre, (9, 11), 6.0, None)):
            for margin in (0.0, 0.5):
                found = chord_lengths(grid, projection, margin)
                assert found.dtype == np.float64 and found.shape == projection.size and found.max() > 20
                assert found == pytest.approx(sampled(grid, projection, margin), abs=0.11)
    # Straight through, exactly; rays along the faces and past the box have none.
    grid = grids[0]
    straight = chord_lengths(grid, view_projection("AP", grid.centre, (60, 60), 1.0, None))
    assert set(straight.ravel().tolist()) == {0.0, 40.0} and (straight > 0).sum() == 42 * 36
    assert chord_lengths(grid, view_projection("AP", grid.centre + 1000, (5, 5), 1.0, 500.0)).max() == 0


def test_where_a_volume_of_ones_projects_to_something_there_is_a_chord(turn):
    project = pytest.importorskip("torch") and import_module("XRayTo3DLib.projection.projector").project
    grid = Grid((12, 10, 8), (10.0, 12.0, 9.0), (-50, -40, -30), turn)
    for view, distance in (("AP", None), ("LAT+12", 900.0), ("LAO30CRAN20", 500.0)):
        projection = view_projection(view, grid.centre, (48, 50), 4.5, distance)
        ones = project(np.ones(grid.shape, np.float32), grid, [projection])[0].numpy()
        chords = chord_lengths(grid, projection, margin=0.5)
        # Across a corner a ray may meet no plane of voxels: it is shorter than a voxel there.
        assert (chords[ones > 0] > 0).all() and (chords[ones <= 0] < max(grid.spacing)).all() and (ones <= 0).any()


def test_only_beams_whose_rays_miss_are_refused(turn):
    rng = np.random.default_rng(11)
    grid = Grid((12, 10, 8), (10.0, 12.0, 9.0), (-50, -40, -30), turn)
    verdicts = []
    for _ in range(120):
        centre = grid.centre + rng.normal(size=3) * 150
        distances = (None, None) if rng.random() < 0.3 else (300.0, 150.0)
        projection = view_projection(rng.normal(size=3), centre, (12, 12), 8.0, *distances)
        try:
            check_overlap(grid, projection, "random")
        except InputError as error:
            verdicts.append(False)
            assert not (chord_lengths(grid, projection) > 0).any() or "inside" in str(error)
        else:
            verdicts.append(True)
            # Whole pixels count: more rays, out to the edges of the outermost pixels.
            assert (chord_lengths(grid, projection.resampled((240, 240), (8 * 12 / 239, 8 * 12 / 239))) > 0).any()
            assert crosses(grid, projection)
    assert 20 < sum(verdicts) < 100


def test_a_shadow_holds_every_ray_that_crosses(turn):
    rng = np.random.default_rng(5)
    grid = Grid((5, 4, 3), (10.0, 12.0, 9.0), (-20, -20, -10), turn)
    empty = 0
    for _ in range(60):
        distances = (None, None) if rng.random() < 0.3 else (300.0, rng.uniform(20, 250))
        projection = view_projection(rng.normal(size=3), grid.centre + rng.normal(size=3) * 60, (25, 30), 4.0, *distances)
        crossing, window = chord_lengths(grid, projection) > 0, shadow(grid, projection)
        empty += window is None
        if window is not None:
            crossing[window] = False
        assert not crossing.any()
    assert 3 < empty < 50


def test_boxes_apart_are_told_along_the_axes_of_either(turn):
    small, large = Grid.centred((0, 0, 0), 4, 5.0), Grid((10, 10, 10), (5.0,) * 3, (30, 0, 0), turn)
    assert boxes_meet(small, large) == boxes_meet(large, small)
    for axes in (np.eye(3), turn):
        for shift, meets in ((0, True), (9, True), (11, False), (-9, True), (-11, False), (1000, False)):
            one = Grid((2, 2, 2), (5.0,) * 3, (1, 2, 3), axes)
            other = replace(one, origin=tuple(np.array(one.origin) + shift * axes[:, 1]))
            assert boxes_meet(one, other) is meets and boxes_meet(other, one) is meets
    # Far apart for one box's axes, near for the other's.
    c = np.sqrt(0.5)
    needle = Grid((40, 1, 1), (5.0,) * 3, (-70, 0, 0), [[c, -c, 0], [c, c, 0], [0, 0, 1]])
    assert not boxes_meet(small, needle) and not boxes_meet(needle, small)
