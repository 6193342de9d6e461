"""No kernel reads or writes beside its arrays, at the very borders and anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.simulation.phantom import thorax_phantom

sweep = pytest.importorskip("XRayTo3DLib.projection._numba.sweep", reason="numba is not installed")
joseph = pytest.importorskip("XRayTo3DLib.projection._numba.joseph", reason="numba is not installed")
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)


def borders(size):
    """Places at, one rounding step beside, and around every border of ``size`` voxels."""
    ends = [-1.0, -0.5, 0.0, size - 1.0, size - 0.5, float(size)]
    return np.array([place for end in ends for place in (np.nextafter(end, -9), end, np.nextafter(end, 1e9), end + 0.25)])


def weights(size, u):
    """What linear interpolation with zeros outside weighs each voxel at ``u``, float64."""
    return np.maximum(0, 1 - np.abs(np.arange(size) - u))


def test_neighbours_lie_within_and_weigh_what_they_should():
    for size in (1, 2, 3, 7, 39, 512):
        places = borders(size)
        index, left, right = sweep._neighbours(places[None], size, 1)
        for u, i, a, b in zip(places, index[0], left[0], right[0], strict=True):
            beside = min(1, size - 1)
            assert i >= 0 and i + beside < size, (size, u)
            found = np.zeros(size)
            found[i] += a
            found[i + beside] += b
            assert found == pytest.approx(weights(size, u), abs=1e-6), (size, u)


def test_a_sweep_reads_nothing_behind_the_end():
    """Rows of voxels at the end of a page that cannot be read are not at hand: what lies behind is NaN instead."""
    for axis in range(3):
        for shape in ((5, 4, 3), (1, 2, 6), (7, 1, 1)):
            held = np.full(int(np.prod(shape)) + 64, np.nan, np.float32)
            volume = held[: int(np.prod(shape))].reshape(shape)
            volume[:] = 1
            sizes = [n for a, n in enumerate(shape[::-1]) if a != axis]
            u, v = borders(sizes[0]), borders(sizes[1])
            v.sort()
            planes = shape[2 - axis]
            even = np.linspace(v[0], v[-1], len(v))  # rows of pixels are evenly spaced
            found = sweep.sweep(volume, axis, 0, np.tile(u, (planes, 1)), np.tile(even, (planes, 1)), 1)
            along, down = (np.array([weights(n, x).sum() for x in side]) for n, side in ((sizes[0], u), (sizes[1], even)))
            assert found == pytest.approx(planes * np.outer(down, along), abs=1e-5), (axis, shape)


def test_the_lateral_view_that_read_a_column_of_old_memory():
    grid = Grid.centred((0, 0, 0), (46, 32, 39), 8.0)
    volume = thorax_phantom().volume(grid)
    mu = torch.as_tensor(np.maximum(volume.array.astype(np.float32) + 1000, 0))
    for word in ("LAT", "RLAT", "AP", "PA"):
        for size in ((40, 50), (64, 64), (39, 33), (41, 48)):
            view = view_projection(word, grid.centre, size, 8.0, 1500.0)
            exact = project(mu.double(), grid, [view])[0]
            assert float((project(mu, grid, [view])[0] - exact).abs().max()) < 1e-4 * float(exact.max()), (word, size)


def test_spans_of_rays_stay_within_the_volume():
    """Rays at and beside every border, along it and across, from near and from very far."""
    shape = (6, 5, 4)
    rays = []
    for axis in range(3):
        minor = [a for a in range(3) if a != axis]
        for far in (0.0, 1e3, 1e9, 1e16):
            for u in borders(shape[2 - minor[0]]):
                for slope in (0.0, 1e-12, -1e-9, 0.3, -1.0, 1.0):
                    point, direction = np.zeros(3), np.zeros(3)
                    direction[axis], direction[minor[0]] = 1.0, slope
                    point[axis], point[minor[0]], point[minor[1]] = -far, u - slope * far, 1.0
                    rays.append((axis, point, direction))
                    rays.append((axis, point, -direction))
    kinds = np.array([axis for axis, _, _ in rays], np.int8)
    points, directions = (np.array([ray[n] for ray in rays]) for n in (1, 2))
    for half_line in (False, True):
        lines, spans = joseph._prepared(shape, points, directions, kinds, ((0.0,),), half_line, 1)
        planes = np.array(shape)[2 - kinds]
        start, first, last, stop = spans.T
        assert (start >= 0).all() and (stop <= planes).all()
        assert ((start <= first) & (first <= last) & (last <= stop)).all()
        for n, (axis, _, _) in enumerate(rays):
            minor = [a for a in range(3) if a != axis]
            for k in range(first[n], last[n]):
                for side, a in enumerate(minor):
                    at = np.float32(lines[n, side] + k * lines[n, 2 + side])
                    assert int(at) >= 0 and int(at) + 1 < shape[2 - a], rays[n]


#: Run in a child process, with numba's bounds checks: any index outside raises IndexError.
_CHILD = """
import json, sys
import numpy as np, torch
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import carm_direction, view_projection
from XRayTo3DLib.projection import rays
from XRayTo3DLib.projection._numba import slabs
from XRayTo3DLib.projection.projector import backproject, project
rng = np.random.default_rng(int(sys.argv[1]))
worst, large = 0.0, slabs._CACHE_BYTES
for number in range(int(sys.argv[2])):
    slabs._CACHE_BYTES = 0 if number % 3 == 0 else large  # many rays through copied slabs, also in a small volume
    size = rng.integers(1, 40, 3)
    spacing = rng.choice([0.7, 1.0, 2.5, 8.0], 3)
    turn = np.eye(3) if rng.random() < 0.5 else np.linalg.qr(rng.normal(size=(3, 3)))[0]
    grid = Grid(tuple(size), tuple(spacing), tuple(rng.normal(0, 50, 3)), turn)
    direction = ["AP", "PA", "LAT", "RLAT"][rng.integers(4)] if rng.random() < 0.5 else carm_direction(*rng.uniform(-180, 180, 2))
    detector = tuple(int(n) for n in rng.integers(1, 60, 2))
    distance = None if rng.random() < 0.3 else float(rng.choice([20.0, 150.0, 1500.0, 1e6]))
    pixel = float(rng.choice([0.5, 1.0, 4.0, 8.0]))
    view = view_projection(direction, grid.centre, detector, pixel, distance)
    volume = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32)
    exact = project(volume.double(), grid, [view])[0]
    found = project(volume, grid, [view])[0]
    worst = max(worst, float((found - exact).abs().max()) / max(float(exact.abs().max()), 1.0))
    pose = torch.eye(4, dtype=torch.float64, requires_grad=True)
    project(volume, grid, [view], pose)[0].sum().backward()
    backproject([torch.ones(view.size)], grid, [view])
    project(volume, grid, [view], quality="preview")
    assert rays.has_kernel(volume)
print(json.dumps({"worst": worst}))
"""


def bounds_checked(seed, geometries, folder):
    environment = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(seed), str(geometries)],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])["worst"]


@pytest.mark.slow
def test_random_geometries_with_bounds_checks(tmp_path):
    assert bounds_checked(11, 400, tmp_path) < 5e-6
