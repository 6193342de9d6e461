import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from beams import AXES, FLOAT32, beams, difference, each_back_end, grid_of, rms_difference, sampled_sums, smooth_volume
from tables import each

from XRayTo3DLib.projection import rays as integration
from XRayTo3DLib.projection.rays import Rays, has_kernel, integrate, integrate_adjoint

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "Benchmarks"))

from exact import index_rays, trilinear_integrals

SHAPE = (11, 13, 12)


def lines(rng, axis, sign, count=40, shape=SHAPE, reach=0.95):
    """Points and directions of rays that follow an index axis through the volume and its borders; some along the axes."""
    sizes = np.array(shape[::-1])
    points = rng.uniform(-1.5, sizes + 0.5, (count, 3))
    directions = np.insert(rng.uniform(-reach, reach, (count, 2)), axis, sign, axis=1)
    directions[:8, [a for a in (0, 1, 2) if a != axis]] = 0
    points[:8] = np.array([[0, 0, 0], [-1, 0, 0], [-0.25, 3, 3], [2, -0.75, 3], [4, 4, 4], [2.5, 3.5, 5], [3, 3, -1], [20, 3, 3]])
    points[4:6] += sizes - 5  # at and beyond the last voxel centres
    directions[8:16, 2 if axis == 0 else 0] = 0
    return points, directions * rng.uniform(0.2, 1.1, (count, 1))


def rays_of(points, directions, kinds, half_line=False, width=7):
    kinds = torch.as_tensor(np.broadcast_to(kinds, len(directions)).astype(np.int8))
    return Rays(torch.as_tensor(points), torch.as_tensor(directions), half_line, width, kinds)


@each("half_line", [False, True])
@each("twice", [False, True])
@each(("axis", "sign"), AXES)
def test_the_sums_are_those_of_single_samples(back_end, rng, axis, sign, twice, half_line):
    volume = rng.normal(size=SHAPE)
    points, directions = lines(rng, axis, sign)
    kinds = np.full(len(points), axis + 3 * twice)
    expected = sampled_sums(volume, points, directions, kinds, half_line)
    rays = rays_of(points, directions, kinds, half_line)
    assert difference(integrate(torch.as_tensor(volume), rays), expected) < 1e-12
    found = integrate(torch.as_tensor(volume, dtype=torch.float32), rays)
    assert found.dtype == torch.float32
    assert difference(found, expected) < FLOAT32


def test_rays_of_all_kinds_in_one_call(back_end, rng):
    volume = rng.normal(size=SHAPE)
    parts = [(*lines(rng, axis, sign, 21), np.full(21, axis + 3 * (sign > 0))) for axis, sign in AXES]
    points, directions, kinds = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = rng.permutation(len(points))
    points, directions, kinds = points[order], directions[order], kinds[order]
    expected = sampled_sums(volume, points, directions, kinds, False)
    for width in (1, 7, 126):
        found = integrate(torch.as_tensor(volume, dtype=torch.float32), rays_of(points, directions, kinds, width=width))
        assert difference(found, expected) < FLOAT32


@each("half_line", [False, True])
def test_rays_from_one_point(back_end, rng, half_line):
    volume, source = rng.normal(size=SHAPE), np.array([[5.3, -3.7, 4.6]])
    directions = np.insert(rng.uniform(-0.7, 0.7, (30, 2)), 1, 1.0, axis=1)
    kinds = np.full(30, 4)
    expected = sampled_sums(volume, source, directions, kinds, half_line)
    found = integrate(torch.as_tensor(volume, dtype=torch.float32), rays_of(source, directions, kinds, half_line))
    assert difference(found, expected) < FLOAT32


def test_a_volume_may_lie_in_memory_as_it_likes(back_end, rng):
    points, directions = lines(rng, 1, 1)
    rays = rays_of(points, directions, 1)
    stored = torch.as_tensor(rng.normal(size=(SHAPE[2], 2 * SHAPE[1], SHAPE[0])), dtype=torch.float32)
    volume = stored.permute(2, 1, 0)[:, ::2]
    assert volume.shape == SHAPE and not volume.is_contiguous()
    assert torch.equal(integrate(volume, rays), integrate(volume.clone(memory_format=torch.contiguous_format), rays))


def test_rays_follow_their_longest_index_step_and_lean_together():
    steep = torch.tensor([[0.1, -2.0, 0.3], [0.2, 1.0, 0.1], [0.0, 1.0, 0.0]], dtype=torch.float64)
    leaning = torch.tensor([[0.4, 0.5, -1.0], [0.4, 0.6, 1.0]], dtype=torch.float64)
    rays = Rays.of_view(torch.zeros(1, 3, dtype=torch.float64), torch.cat([steep, leaning]), True, 5)
    assert rays.kinds.tolist() == [1, 1, 1, 5, 5]
    one = Rays.of_view(torch.zeros(1, 3, dtype=torch.float64), steep, True, 3, axis=0)
    assert one.kinds.tolist() == [0, 0, 0]


def test_the_rays_of_views_together(rng):
    volume = torch.as_tensor(rng.normal(size=SHAPE))
    views = [rays_of(*lines(rng, axis, 1, 14), axis) for axis in range(3)]
    views.append(rays_of(np.array([[5.0, -8.0, 4.0]]), views[1].directions.numpy(), 1))
    together = Rays.together(views)
    assert difference(integrate(volume, together), torch.cat([integrate(volume, view) for view in views])) < 1e-14


@pytest.mark.parametrize("axis", range(3))
def test_two_samples_a_plane_are_more_exact_for_leaning_rays(back_end, monkeypatch, axis):
    grid = grid_of("oblique", (28, 26, 30))
    volume = smooth_volume(grid)
    own, errors = integration._OBLIQUE, {}
    for lean in (0.04, 0.2, 0.6):
        view = beams(grid, axis, 1, (lean, -lean), (16, 16))["cone"]
        points, directions = index_rays(grid, view, np.arange(256))
        exact, _ = trilinear_integrals(volume, points, directions, half_line=True)
        for name, limit in (("once", np.inf), ("twice", 0.0), ("by itself", own)):
            monkeypatch.setattr(integration, "_OBLIQUE", limit)
            rays = Rays.of_view(torch.as_tensor(points[:1].copy()), torch.as_tensor(directions.copy()), True, 16)
            found = integrate(torch.as_tensor(volume, dtype=torch.float32), rays)
            errors[name, lean] = rms_difference(found, exact)
    assert errors["twice", 0.2] < 0.5 * errors["once", 0.2] and errors["twice", 0.6] < 0.5 * errors["once", 0.6]
    # The waves of this volume are 19 voxels long; a CT at its own resolution is smoother than that.
    assert errors["once", 0.04] < 2e-4 and errors["twice", 0.6] < 6e-4
    assert [errors["by itself", lean] == errors["once", lean] for lean in (0.04, 0.2, 0.6)] == [True, True, False]


@each("half_line", [False, True])
@each("twice", [False, True])
@each(("axis", "sign"), AXES)
def test_the_adjoint_is_the_transpose(back_end, rng, axis, sign, twice, half_line):
    rays = rays_of(*lines(rng, axis, sign), axis + 3 * twice, half_line)
    for dtype, bound in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        volume = torch.as_tensor(rng.normal(size=SHAPE), dtype=dtype)
        values = torch.as_tensor(rng.normal(size=len(rays.directions)), dtype=dtype)
        values[::5] = 0
        forward, back = integrate(volume, rays), integrate_adjoint(values, SHAPE, rays)
        assert back.dtype == dtype and back.shape == SHAPE
        one, other = (forward.double() @ values.double()).item(), (back.double() * volume.double()).sum().item()
        assert abs(one - other) <= bound * float(forward.norm() * values.norm())


@each("source", [False, True])
@each("twice", [False, True])
@each(("axis", "sign"), AXES)
def test_the_derivatives_by_points_and_directions(monkeypatch, rng, axis, sign, twice, source):
    volume = torch.as_tensor(rng.random(SHAPE))
    points, directions = lines(rng, axis, sign)
    points, directions = points[16:] + rng.uniform(-1e-3, 1e-3), directions[16:]
    points = points[:1] if source else points
    weights = torch.as_tensor(rng.normal(size=len(directions)))

    def value(points, directions):
        return (integrate(volume, rays_of(points, directions, axis + 3 * twice)) * weights).sum().item()

    expected = []
    for which, array in enumerate((points, directions)):
        numeric = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[place] = 1e-6
            ends = [[points, directions] for _ in range(2)]
            ends[0][which], ends[1][which] = array + step, array - step
            numeric[place] = (value(*ends[0]) - value(*ends[1])) / 2e-6
        expected.append(numeric)
    for back_end, dtype in ((b, t) for b in each_back_end(monkeypatch) for t in (torch.float32, torch.float64)):
        if back_end == "numba" and dtype == torch.float64:
            continue  # torch's
        rays = rays_of(points, directions, axis + 3 * twice)
        rays.points.requires_grad_(), rays.directions.requires_grad_()
        found = torch.autograd.grad((integrate(volume.to(dtype), rays) * weights).sum(), (rays.points, rays.directions))
        for gradient, numeric in zip(found, expected, strict=True):
            assert gradient.dtype == torch.float64
            assert difference(gradient, numeric) < 1e-3


def test_torch_in_chunks(rng, monkeypatch):
    rays = rays_of(*lines(rng, 2, -1), 5, True)
    rays.directions.requires_grad_()
    results = []
    for chunk in (integration._CHUNK_SAMPLES, 3 * len(rays.directions)):
        monkeypatch.setattr(integration, "_CHUNK_SAMPLES", chunk)
        volume = torch.as_tensor(np.random.default_rng(1).normal(size=SHAPE)).requires_grad_()
        value = integrate(volume, rays)
        results.append((value, *torch.autograd.grad(value.square().sum(), (volume, rays.directions))))
    for whole, parts in zip(*results, strict=True):
        assert difference(parts.detach(), whole.detach()) < 1e-12


def test_the_environment_says_no_to_numba(rng, monkeypatch):
    joseph = pytest.importorskip("XRayTo3DLib.projection._numba.joseph")
    calls = []
    monkeypatch.setattr(joseph, "forward", lambda *a, own=joseph.forward: calls.append(1) or own(*a))
    monkeypatch.setattr(joseph, "adjoint", lambda *a, own=joseph.adjoint: calls.append(1) or own(*a))
    rays = rays_of(*lines(rng, 1, 1), 1)
    volume = torch.as_tensor(rng.normal(size=SHAPE), dtype=torch.float32)

    def count():
        calls.clear()
        integrate_adjoint(integrate(volume, rays), SHAPE, rays)
        return len(calls)

    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)
    assert count() == 2 and has_kernel(volume)
    monkeypatch.setenv("XRAYTO3D_NUMBA", "0")
    assert count() == 0 and not has_kernel(volume)
    monkeypatch.setenv("XRAYTO3D_NUMBA", "1")
    assert count() == 2
    volume = volume.double()
    assert count() == 0 and not has_kernel(volume)


def _absent():
    return None


def _without_a_place_for_its_cache():
    """As numba behaves where neither the library's folder nor a home can be written to."""
    own = pytest.importorskip("numba").njit

    def njit(cache=False, **options):
        def refuse(function):
            raise RuntimeError(f"cannot cache function {function.__name__!r}: no locator available")

        return refuse if cache else own(**options)

    numba = ModuleType("numba")
    numba.njit = njit
    return numba


@pytest.mark.parametrize("numba", [_absent, _without_a_place_for_its_cache])
def test_everything_works_without_numba(rng, monkeypatch, numba):
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)
    has_kernel(torch.zeros(1))  # what is imported here is put back afterwards
    points, directions = lines(rng, 0, 1)
    volume = rng.normal(size=SHAPE)
    with monkeypatch.context() as patch:
        kernels = "XRayTo3DLib.projection._numba"
        for name in [name for name in sys.modules if name.startswith(kernels + ".")]:
            patch.delitem(sys.modules, name)
            patch.delattr(sys.modules[kernels], name.rpartition(".")[2], raising=False)
        patch.setitem(sys.modules, "numba", numba())
        integration._import_kernel.cache_clear()
        try:
            values = torch.as_tensor(volume, dtype=torch.float32)
            found = integrate(values, rays_of(points, directions, 0))
            assert numba is not _absent or not has_kernel(values)
        finally:
            integration._import_kernel.cache_clear()
    assert difference(found, sampled_sums(volume, points, directions, np.zeros(len(points), int), False)) < FLOAT32
