"""Poses of the volume, and gradients with respect to them and to the volume."""

import beams
import numpy as np
import pytest
import torch
from beams import (
    AXES,
    BEAM_DIRECTIONS,
    FLOAT32,
    LEANS,
    beam,
    difference,
    each_back_end,
    in_float64,
    isotropic_grid,
    pose_of,
    rigid,
    views_of,
)
from tables import each

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom


def test_a_pose_moves_the_volume():
    grid, view = isotropic_grid(6.0), beam([0, 1, 0], None, (21, 21), 6.0)
    volume = smooth_volume(grid)
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = 12.0  # two pixels towards the patient's left, which is right on an AP picture
    still, moved = project(volume, grid, [view])[0], project(volume, grid, [view], pose)[0]
    assert moved[:, 2:].numpy() == pytest.approx(still[:, :-2].numpy(), abs=1e-9)
    both = project(volume, grid, [view, view], torch.stack([torch.eye(4, dtype=torch.float64), pose]))
    assert torch.equal(both[0], still) and torch.allclose(both[1], moved)


@each("name", beams.DIRECTIONS)
@each("axis", range(3))
def test_a_pose_is_a_volume_elsewhere(monkeypatch, rng, name, axis):
    grid, pose = beams.grid_of(name), pose_of()
    volume, views = rng.normal(size=grid.shape).astype(np.float32), views_of(grid, axis, 1)
    affine = pose.numpy() @ grid.affine
    elsewhere = Grid(grid.size, grid.spacing, tuple(affine[:3, 3]), affine[:3, :3] / np.array(grid.spacing))
    expected = in_float64(volume, elsewhere, views)
    for _ in each_back_end(monkeypatch):
        for own in (pose, pose.numpy(), pose.to(torch.float32), pose.tolist(), pose.expand(len(views), 4, 4)):
            for found, picture in zip(project(volume, grid, views, own), expected, strict=True):
                assert difference(found, picture) < FLOAT32


@each("aligned", [False, True])
def test_several_poses_of_one_view(back_end, rng, aligned):
    grid = beams.grid_of()
    volume = rng.normal(size=grid.shape).astype(np.float32)
    poses = torch.stack([torch.eye(4, dtype=torch.float64), pose_of(), pose_of((0, 0, 0, 3.0, 1.0, -2.0))])
    view = view_projection("LAT", grid.centre, (9, 11), 4.0) if aligned else beams.beams(grid, 1, 1, LEANS["leaning"])["cone"]
    pictures = project(volume, grid, [view], poses)
    assert len(pictures) == 3 and not torch.allclose(pictures[0], pictures[2])
    for pose, found in zip(poses, pictures, strict=True):
        assert difference(found, in_float64(volume, grid, [view], pose)[0]) < FLOAT32
    moved = project(volume, grid, [view, view, view], poses)
    assert all(torch.equal(one, other) for one, other in zip(pictures, moved, strict=True))
    assert len(project(volume, grid, [view], poses[:1])) == 1


def test_a_pose_of_whole_numbers(rng):
    grid, view = beams.grid_of(), beam([0, 1, 0.2], None)
    volume = rng.random(grid.shape)
    assert torch.equal(project(volume, grid, [view], np.eye(4, dtype=int))[0], project(volume, grid, [view], np.eye(4))[0])


def smooth_volume(grid: Grid) -> torch.Tensor:
    shells = [Ellipsoid((7, -11, 4), (1.0 * r, 0.7 * r, 0.9 * r), 0.0015, (20, 10, 30)) for r in range(10, 50, 2)]
    return torch.as_tensor((Phantom(tuple(shells)).volume(grid, 3).array + 1000) / 1000 * 0.0193, dtype=torch.float64)


def test_the_gradient_of_the_pose_matches_finite_differences():
    grid, view = isotropic_grid(6.0), beam(BEAM_DIRECTIONS[4], 700.0, (9, 9), 14.0)
    volume = smooth_volume(grid)
    weights = torch.as_tensor(np.random.default_rng(3).normal(size=view.size))

    def value(parameters):
        return (project(volume, grid, [view], rigid(parameters))[0] * weights).sum()

    at = torch.tensor([0.03, -0.02, 0.05, 1.3, -2.1, 0.7], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(at), at)
    for k in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[k] = 1e-6
        with torch.no_grad():
            difference = (value(at + step) - value(at - step)) / 2e-6
        assert gradient[k].item() == pytest.approx(difference.item(), rel=1e-3, abs=1e-5)


def numeric_gradient(value, at: torch.Tensor, step: float = 1e-7) -> np.ndarray:
    gradient = np.zeros(len(at))
    for k in range(len(at)):
        move = torch.zeros_like(at)
        move[k] = step
        with torch.no_grad():
            gradient[k] = (value(at + move) - value(at - move)).item() / (2 * step)
    return gradient


@each("kind", ["cone", "parallel", "tilted", "tilted parallel", "cone matrix", "parallel matrix"])
@each(("axis", "sign"), AXES)
def test_pose_gradients_are_those_of_finite_differences(monkeypatch, rng, axis, sign, kind):
    # Bright to its faces, and seen past all of them: what happens at the borders counts.
    grid = beams.grid_of(list(beams.DIRECTIONS)[axis + (sign > 0)], (12, 11, 13))
    volume = torch.as_tensor(0.5 + rng.random(grid.shape), dtype=torch.float32)
    start = torch.tensor([0.03, -0.02, 0.05, 1.3, -2.1, 0.7], dtype=torch.float64)
    for lean in LEANS.values():
        view = beams.beams(grid, axis, sign, lean)[kind]
        weights = torch.as_tensor(rng.normal(size=view.size))

        def value(parameters, values, view=view, weights=weights):
            return (project(values, grid, [view], rigid(parameters))[0] * weights).sum()

        expected = numeric_gradient(lambda p, value=value: value(p, volume.double()), start)
        for back_end in each_back_end(monkeypatch):
            for values in (volume, volume.double())[: 2 if back_end == "torch" else 1]:
                at = start.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(value(at, values), at)
                # Radians and millimetres are compared each with their own kind.
                assert difference(gradient[:3], expected[:3]) < 1e-3
                assert difference(gradient[3:], expected[3:]) < 1e-3


@each("step", [1e-7, 1e-5])
@each("distance", [None, 500.0])
@each("direction", BEAM_DIRECTIONS[:3])
def test_pose_gradients_where_the_detector_lies_along_the_voxel_axes(back_end, rng, direction, distance, step):
    # The shortcut for such a detector must not hide the first steps away from it.
    grid = beams.grid_of()
    volume = torch.as_tensor(beams.smooth_volume(grid))
    # No ray runs along voxel centres, where the gradient jumps.
    view = view_projection(direction, grid.centre + np.array([0.37, 0.61, 0.23]), (10, 12), 3.1, distance)
    weights = torch.as_tensor(rng.normal(size=view.size))

    def value(parameters, values=volume):
        return (project(values, grid, [view], rigid(parameters))[0] * weights).sum()

    at = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    expected = numeric_gradient(value, at.detach(), step)
    for values in (volume, volume.to(torch.float32)):
        (gradient,) = torch.autograd.grad(value(at, values), at)
        assert difference(gradient[:3], expected[:3]) < 1e-3
        assert difference(gradient[3:], expected[3:]) < 1e-3


@pytest.mark.parametrize("count", [1, 3])
def test_gradients_of_a_pose_for_each_view(back_end, rng, monkeypatch, count):
    monkeypatch.setattr(projector, "_CACHE_BYTES", 0)  # the views are computed together
    grid = beams.grid_of("oblique")
    volume = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32)
    views = [beams.beams(grid, axis, 1, LEANS["leaning"])["cone"] for axis in range(count)]
    start = torch.tensor(rng.normal(size=(3, 6)) * [0.05, 0.05, 0.05, 2, 2, 2])
    weights = torch.as_tensor(rng.normal(size=(3, *views[0].size)))

    def value(parameters, values=volume):
        pictures = project(values, grid, views, torch.stack([rigid(p) for p in parameters.reshape(3, 6)]))
        return sum((picture * weight).sum() for picture, weight in zip(pictures, weights, strict=True))

    at = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at), at)
    expected = numeric_gradient(lambda p: value(p, volume.double()), start.ravel()).reshape(3, 6)
    assert gradient.shape == (3, 6)
    for part in (slice(0, 3), slice(3, 6)):
        assert difference(gradient[:, part], expected[:, part]) < 1e-3


def test_one_pose_of_all_views_gathers_their_gradients(back_end, rng):
    grid = beams.grid_of()
    volume = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32)
    views = [beams.beams(grid, axis, -1, LEANS["steep"])["cone"] for axis in range(3)]
    pose = pose_of().requires_grad_()
    gradients = [torch.autograd.grad(project(volume, grid, [view], pose)[0].sum(), pose)[0] for view in views]
    (together,) = torch.autograd.grad(sum(p.sum() for p in project(volume, grid, views, pose)), pose)
    assert difference(together, sum(gradients)) < 1e-6
    assert together.abs().max() > 0


@each("dtype", [torch.float32, torch.float64])
def test_gradients_have_the_types_and_shapes_of_what_they_belong_to(back_end, rng, dtype):
    grid = beams.grid_of()
    views = list(beams.beams(grid, 1, 1, LEANS["leaning"]).values())
    volume = torch.as_tensor(rng.random(grid.shape), dtype=dtype)
    found = {}
    for kind in (torch.float32, torch.float64):
        values, pose = volume.clone().requires_grad_(), pose_of().to(kind).requires_grad_()
        pictures = project(values, grid, views, pose)
        assert all(picture.dtype == dtype and picture.requires_grad for picture in pictures)
        sum(picture.square().sum() for picture in pictures).backward()
        assert values.grad.dtype == dtype and values.grad.shape == grid.shape
        assert pose.grad.dtype == kind and pose.grad.shape == (4, 4)
        found[kind] = pose.grad
    assert difference(found[torch.float32], found[torch.float64]) < 1e-4
    assert not project(volume, grid, views)[0].requires_grad
    with torch.no_grad():
        assert not project(values, grid, views, pose)[0].requires_grad


@each(("axis", "sign"), AXES)
def test_volume_gradients_are_those_of_finite_differences(monkeypatch, rng, axis, sign):
    grid = beams.grid_of(list(beams.DIRECTIONS)[axis + (sign > 0)])
    views = views_of(grid, axis, sign)
    volume = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32).requires_grad_()
    weights = [torch.as_tensor(rng.normal(size=view.size)) for view in views]

    def value(pictures):
        return sum((picture * weight).sum() for picture, weight in zip(pictures, weights, strict=True))

    last = np.array(grid.shape) - 1
    where = [(0, 0, 0), tuple(last), (0, 6, 7), (8, last[1], 7), (9, 5, last[2]), (8, 6, 7)]
    expected = []
    for place in where:
        ends = []
        for step in (0.5, -0.5):  # a sum is linear in its voxels: any step will do
            other = volume.detach().double().clone()
            other[place] += step
            ends.append(value(project(other, grid, views)).item())
        expected.append(ends[0] - ends[1])
    for _ in each_back_end(monkeypatch):
        (gradient,) = torch.autograd.grad(value(project(volume, grid, views)), volume)
        assert difference([gradient[place].item() for place in where], expected) < 1e-4


def test_a_gradient_does_not_change_the_picture(back_end, rng):
    # With derivatives no shortcut is taken for detectors along the voxel axes.
    grid = beams.grid_of()
    volume = rng.normal(size=grid.shape).astype(np.float32)
    for distance in (None, 500.0):
        view = view_projection("AP", grid.centre, (15, 16), 2.5, distance)
        plain = project(volume, grid, [view])[0]
        pose = torch.eye(4, dtype=torch.float64, requires_grad=True)
        by_volume, by_pose = torch.as_tensor(volume).clone().requires_grad_(), project(volume, grid, [view], pose)[0]
        assert difference(project(by_volume, grid, [view])[0].detach(), plain) < FLOAT32
        assert difference(by_pose.detach(), plain) < FLOAT32 and by_pose.requires_grad


def test_the_gradient_of_the_pose_under_far_sources(back_end):
    """The large derivatives of a far source, by its place and by the rays' directions, cancel exactly."""
    grid = isotropic_grid(4.0)
    volume = smooth_volume(grid)
    aim = grid.centre + np.array([0.37, 0.83, 1.21])  # no ray through a voxel's face, where there are two derivatives

    def gradient(values, views):
        pose = torch.eye(4, dtype=torch.float64, requires_grad=True)
        sum((picture.double() ** 2).sum() for picture in project(values, grid, views, pose)).backward()
        return pose.grad[:3]

    for distance in (1500.0, 1e5, 1e6, 9e6):
        directions = np.array([0.1, 1.0, -0.2]), np.array([1.0, 0.2, 0.1])
        views = [view_projection(direction, aim, (20, 22), 4.0, distance, 0.9 * distance) for direction in directions]
        assert difference(gradient(volume.float(), views), gradient(volume, views)) < 1e-6, distance
