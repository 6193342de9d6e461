"""Scanned beams in the projector: exact integrals, the adjoint, gradients, previews, and the fast way for aligned volumes."""

import sys
from dataclasses import replace
from pathlib import Path

import beams
import numpy as np
import pytest
import torch
from beams import FLOAT32, difference, in_float64, pose_of, rms_difference, smooth_volume

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection import rays as integration
from XRayTo3DLib.projection.alignment import aligned_detector
from XRayTo3DLib.projection.projector import backproject, project

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "Benchmarks"))

from exact import index_rays, trilinear_integrals

AXES = ("column", "row")


def view_of(view, grid, axis, size=(20, 18)):
    return view_projection(view, grid.centre, size, (8.1, 10.2), 1085.0, 595.0, scan_axis=axis)


def test_line_integrals_are_exact_to_two_in_ten_thousand(back_end):
    for name in ("straight", "oblique", "left-handed"):
        grid = Grid((54, 50, 60), (2.0, 2.1, 1.8), (-50.0, 20.0, 10.0), beams.DIRECTIONS[name])
        volume = smooth_volume(grid).astype(np.float32)
        for view in ("AP", "LAT", "AP+17", "LAO30CRAN15"):
            for axis in AXES:
                pose = view_of(view, grid, axis)
                exact, _ = trilinear_integrals(volume, *index_rays(grid, pose, np.arange(np.prod(pose.size))), True)
                found = project(volume, grid, [pose])[0]
                assert rms_difference(found.ravel(), exact) < 2e-4
                assert rms_difference(project(volume, grid, [pose], quality="preview")[0].ravel(), exact) < 4e-3


def test_the_aligned_way_is_that_of_single_rays(back_end, rng):
    shear = torch.eye(4, dtype=torch.float64)
    shear[2, 1] = 0.1  # slices slide over each other
    for name in ("straight", "left-handed"):
        grid = beams.grid_of(name)
        volume = rng.normal(size=grid.shape).astype(np.float32)
        middle = np.add(grid.centre, [1.0, 2.0, 0.7])
        for view in ("AP", "LAT", "PA"):
            for axis in AXES:
                pose = view_projection(view, middle, (29, 31), (1.3, 1.7), 200.0, 110.0, scan_axis=axis)
                assert aligned_detector(grid, pose, grid.to_index) is not None
                assert aligned_detector(grid, pose.moved(beams.DIRECTIONS["oblique"], grid.centre), grid.to_index) is None
                for move in (None, shear):
                    assert difference(project(volume, grid, [pose], move)[0], in_float64(volume, grid, [pose], move)[0]) < FLOAT32


def test_the_adjoint_is_the_transpose_in_bands_too(back_end, rng, monkeypatch):
    for name, most in (("straight", 250_000), ("oblique", 250_000), ("oblique", 90)):
        monkeypatch.setattr(projector, "_MOST_RAYS", most)
        grid = beams.grid_of(name)
        views = [view_of(view, grid, axis, (9, 11)) for view in ("AP", "AP+25") for axis in AXES]
        volume = rng.normal(size=grid.shape)
        pictures = [rng.normal(size=view.size) for view in views]
        for kind, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
            seen = project(volume.astype(kind), grid, views)
            back = backproject([p.astype(kind) for p in pictures], grid, views).numpy().astype(float)
            forward = sum(float((s.numpy().astype(float) * p).sum()) for s, p in zip(seen, pictures, strict=True))
            length = np.sqrt(sum(float((s.numpy().astype(float) ** 2).sum()) for s in seen)) * np.linalg.norm(pictures)
            assert abs(forward - (back * volume).sum()) < tolerance * length


def test_gradients_are_those_of_finite_differences(rng):
    grid = beams.grid_of("oblique")
    view = view_of("AP+25", grid, "column", (6, 7))
    weights = torch.as_tensor(rng.normal(size=view.size))
    volume = torch.tensor(smooth_volume(grid), requires_grad=True)
    parameters = torch.tensor([0.05, -0.04, 0.07, 1.3, -2.1, 0.7], dtype=torch.float64, requires_grad=True)

    def loss(values, numbers):
        return (project(values, grid, [view], beams.rigid(numbers))[0] * weights).sum()

    by_volume, by_pose = torch.autograd.grad(loss(volume, parameters), (volume, parameters))
    with torch.no_grad():
        for i in range(6):
            step = torch.zeros(6, dtype=torch.float64)
            step[i] = 1e-5
            slope = (loss(volume, parameters + step) - loss(volume, parameters - step)) / 2e-5
            assert by_pose[i].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-4 * by_pose.abs().max().item())
        change = torch.as_tensor(rng.normal(size=grid.shape))
        assert (by_volume * change).sum().item() == pytest.approx(
            (loss(volume + change, parameters) - loss(volume, parameters)).item()
        )
    if integration.has_kernel(torch.zeros(1)):
        single = torch.tensor(smooth_volume(grid), dtype=torch.float32)
        (fast,) = torch.autograd.grad((project(single, grid, [view], beams.rigid(parameters))[0] * weights).sum(), parameters)
        assert fast == pytest.approx(by_pose, rel=1e-3, abs=1e-3 * by_pose.abs().max().item())


def test_neither_threads_nor_neighbours_change_a_picture(rng):
    grid = beams.grid_of("oblique")
    volume = rng.normal(size=grid.shape).astype(np.float32)
    views = [view_of("AP", grid, "column"), replace(view_of("AP", grid, "column"), scan_axis=None), view_of("LAT", grid, "row")]
    together = project(volume, grid, views, pose_of())
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for view, picture in zip(views, together, strict=True):
            assert torch.equal(project(volume, grid, [view], pose_of())[0], picture)
    finally:
        torch.set_num_threads(threads)
    assert not torch.allclose(together[0], together[1])
