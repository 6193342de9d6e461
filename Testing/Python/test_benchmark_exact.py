"""The references of Testing/Benchmarks, by which every engine is judged, against closed forms and brute force."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from tables import each

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))

import exact
from engines.ours import Torch
from exact import box_integrals, index_rays, trilinear_integrals
from jobs import Job, Scene, all_jobs, cone, turned

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection


def random_rays(rng: np.random.Generator, shape: tuple[int, int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines through points in the volume, some of them along an axis."""
    points = rng.random((count, 3)) * shape[::-1]
    directions = rng.normal(size=(count, 3))
    directions[:3] = np.eye(3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return points - 60 * directions, directions


def brute_force(field, points: np.ndarray, directions: np.ndarray, samples: int = 60_000) -> np.ndarray:
    """The midpoint rule along 120 index steps; ``field`` takes (N, 3) index positions."""
    steps = (np.arange(samples) + 0.5) * 120 / samples
    return np.array([field(p + steps[:, None] * d).mean() * 120 for p, d in zip(points, directions, strict=True)])


def trilinear(volume: np.ndarray):
    return lambda where: map_coordinates(volume, where[:, ::-1].T, order=1, mode="grid-constant")


def test_trilinear_integrals_are_those_of_fine_sampling(rng):
    volume = rng.normal(size=(5, 7, 6))
    points, directions = random_rays(rng, volume.shape, 24)
    found, rims = trilinear_integrals(volume, points, directions)
    assert found == pytest.approx(brute_force(trilinear(volume), points, directions), abs=2e-6)
    last = np.array(volume.shape[::-1]) - 1

    def rim(where):
        beyond = ((where < 0) | (where > last)).any(axis=1)
        return trilinear(volume)(where) * beyond

    assert rims == pytest.approx(brute_force(rim, points, directions), abs=2e-3)  # it ends with a step


def test_box_integrals_are_those_of_fine_sampling(rng):
    volume = rng.normal(size=(5, 7, 6))
    points, directions = random_rays(rng, volume.shape, 24)

    def field(where):
        index = np.floor(where + 0.5).astype(int)
        inside = ((index >= 0) & (index < volume.shape[::-1])).all(axis=1)
        x, y, z = np.where(inside[:, None], index, 0).T
        return volume[z, y, x] * inside

    assert box_integrals(volume, points, directions) == pytest.approx(brute_force(field, points, directions), abs=0.02)


def test_a_constant_box_has_the_length_of_its_chord(rng):
    volume = np.full((4, 5, 6), 0.7)
    along = np.array([[-9.0, 2.3, 1.1]]), np.array([[1.0, 0.0, 0.0]])
    assert box_integrals(volume, *along) == pytest.approx([0.7 * 6])
    assert trilinear_integrals(volume, *along)[0] == pytest.approx([0.7 * 6])  # 5 between the centres, two halves in the fade
    assert trilinear_integrals(volume, *along)[1] == pytest.approx([0.7])
    # A diagonal through the middle leaves through the faces of the second axis: 5 / cosine.
    direction = np.array([[0.6, 0.8, 0.0]])
    middle = np.array([[2.5, 2.0, 1.5]])
    assert box_integrals(volume, middle - 50 * direction, direction) == pytest.approx([0.7 * 5 / 0.8])


def test_a_ramp_is_integrated_exactly(rng):
    z, y, x = np.meshgrid(*(np.arange(n) for n in (9, 8, 10)), indexing="ij")
    volume = 1.0 + 0.5 * x - 0.25 * y + 2.0 * z
    start, end = np.array([1.2, 0.7, 0.4]), np.array([7.9, 6.6, 7.5])
    length = np.linalg.norm(end - start)
    direction = (end - start)[None] / length
    total = trilinear_integrals(volume, start[None], direction, half_line=True)[0]
    behind = trilinear_integrals(volume, end[None], direction, half_line=True)[0]
    value = 1.0 + np.array([0.5, -0.25, 2.0]) @ (start + end) / 2
    assert total - behind == pytest.approx([value * length], rel=1e-12)


def test_half_lines_leave_out_what_lies_behind(rng):
    volume = rng.random((5, 7, 6))
    points, directions = random_rays(rng, volume.shape, 12)
    inside = points + 60 * directions
    for integrals in (lambda *a, **k: trilinear_integrals(*a, **k)[0], box_integrals):
        ahead, back = (integrals(volume, inside, sign * directions, half_line=True) for sign in (1, -1))
        whole = integrals(volume, points, directions)
        assert ahead + back == pytest.approx(whole, rel=1e-10)
        assert (ahead < whole).all()
        assert integrals(volume, points, -directions, half_line=True) == pytest.approx(np.zeros(12))


def test_chunks_change_nothing(rng, monkeypatch):
    volume = rng.random((5, 7, 6))
    rays = random_rays(rng, volume.shape, 30)
    whole = trilinear_integrals(volume, *rays)[0], box_integrals(volume, *rays)
    monkeypatch.setattr(exact, "_CHUNK_PIECES", 60)
    assert np.array_equal(trilinear_integrals(volume, *rays)[0], whole[0])
    assert np.array_equal(box_integrals(volume, *rays), whole[1])


@each("distance", [None, 700.0])
def test_index_rays_are_those_of_the_projection(turn, distance):
    grid = Grid((9, 8, 7), (1.4, 1.3, 2.5), (-60, -50, -40), turn)
    view = view_projection([0.6, -0.5, 0.62], (1, 2, 3), (6, 5), 3.0, distance)
    points, directions = index_rays(grid, view, np.arange(30))
    expected_points, expected_directions = view.rays()
    assert points @ grid.affine[:3, :3].T + grid.affine[:3, 3] == pytest.approx(expected_points, abs=1e-9)
    assert directions @ grid.affine[:3, :3].T == pytest.approx(expected_directions, abs=1e-9)


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    """The benchmark's jobs on a smooth ball that ends before the faces."""
    grid = Grid.centred((3, -2, 5), (30, 26, 20), (9.0, 10.0, 12.0))
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij")
    ball = np.maximum(1 - 1.3 * (x**2 + y**2 + z**2), 0) ** 2
    scene = Scene("ball", (0.02 * ball).astype(np.float32), grid)
    return {job.key: job for job in all_jobs(scene, scene)}


@pytest.mark.parametrize(
    ("key", "limit"),
    [("cone256", 2e-4), ("poses32", 3e-3), ("pose_gradient", 1e-2), ("volume_gradient", 2e-4), ("sum_x", 1e-6), ("sum_z", 1e-6)],
)
def test_errors_are_small_for_our_answers_and_large_for_a_shifted_volume(jobs, key, limit):
    job = jobs[key]
    grid, ours = job.scene.grid, Torch(job.scene.mu, job.scene.grid)
    assert max(e for e in job.errors(ours, job.run(ours)) if not np.isnan(e)) < limit
    shifted = Torch(job.scene.mu, Grid(grid.size, grid.spacing, tuple(v + 9.0 for v in grid.origin), grid.direction))
    assert job.errors(shifted, job.run(shifted))[0] > 0.05


def test_random_poses_are_the_same_every_time(jobs):
    grid = jobs["poses32"].scene.grid
    again = {job.key: job for job in all_jobs(jobs["poses32"].scene, jobs["poses32"].scene)}
    for one, other in zip(jobs["poses32"].arguments[0], again["poses32"].arguments[0], strict=True):
        assert np.array_equal(one.matrix, other.matrix)
    view = turned(cone(grid, 8), grid, (0, 0, 90))
    assert view.beam_direction == pytest.approx([-1, 0, 0])
