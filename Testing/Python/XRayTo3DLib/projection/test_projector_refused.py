"""What the projector refuses, in a sentence that says what to do."""

import beams
import numpy as np
import pytest
from beams import beam
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection.projector import backproject, project

SINGULAR, INFINITE = np.diag([1.0, 1, 0, 1]), np.diag([1.0, np.nan, 1, 1])
NO_POSES = [np.eye(3), np.zeros((3, 4)), np.zeros((0, 4, 4)), np.zeros(4), 1.0, SINGULAR, INFINITE]


@each("pose", [*NO_POSES, np.stack([np.eye(4), SINGULAR])])
@each("quality", projector.QUALITIES)
def test_poses_that_are_none(pose, quality):
    grid = beams.grid_of()
    with pytest.raises(InputError, match="finite, invertible 4x4"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], pose, quality)


@each("quality", projector.QUALITIES)
@each(("poses", "views"), [(2, 3), (3, 2), (3, 0)])
def test_as_many_poses_as_projections(quality, poses, views):
    grid = beams.grid_of()
    with pytest.raises(InputError, match=f"{poses} poses for {views} projections"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)] * views, np.stack([np.eye(4)] * poses), quality)


@each("quality", projector.QUALITIES)
def test_a_pose_with_a_perspective(quality):
    grid, pose = beams.grid_of(), np.eye(4)
    pose[3, 0] = 0.01
    with pytest.raises(InputError, match="last row of a pose must be 0 0 0 1"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], pose, quality)


def test_unknown_qualities():
    grid = beams.grid_of()
    with pytest.raises(InputError, match=r"'best' is not known.*full or preview"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], quality="best")


def test_array_and_grid_must_agree():
    with pytest.raises(InputError, match="pass both alike"):
        project(np.zeros((2, 3, 4)), Grid((2, 3, 4), (1.0, 1.0, 1.0)), [beam([0, 1, 0], None)])


def test_pictures_and_projections_must_agree():
    grid, view = beams.grid_of(), beam([0, 1, 0], None, (5, 6))
    for pictures, views in (([np.zeros((6, 5))], [view]), ([np.zeros((5, 6))] * 2, [view]), ([], [view]), ([np.zeros(30)], [view])):
        with pytest.raises(InputError, match="pass both alike"):
            backproject(pictures, grid, views)


def test_no_projections():
    grid = beams.grid_of()
    assert project(np.zeros(grid.shape), grid, []) == project(np.zeros(grid.shape), grid, [], quality="preview") == []
    with pytest.raises(InputError):
        backproject([], grid, [])
