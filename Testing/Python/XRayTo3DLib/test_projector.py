import sys
from dataclasses import replace
from pathlib import Path

import beams
import numpy as np
import pytest
import torch
from beams import AXES, BACK_ENDS, FLOAT32, LEANS, difference, rms_difference

from XRayTo3DLib import integration, projector
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid
from XRayTo3DLib.images import Volume, resample
from XRayTo3DLib.phantom import Ellipsoid, Phantom
from XRayTo3DLib.projector import backproject, project
from XRayTo3DLib.views import view_projection

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Benchmarks"))

from exact import index_rays, trilinear_integrals

DIRECTIONS = [[0, 1, 0], [1, 0, 0], [0, 0, -1], [1, 1, 0.05], [0.6, -0.5, 0.62]]


@pytest.fixture(params=BACK_ENDS)
def back_end(request, monkeypatch):
    return beams.use(request.param, monkeypatch)


def grid_of(spacing: float, direction=None) -> Grid:
    size = np.round(np.array([132, 108, 120]) / spacing).astype(int)
    direction = np.eye(3) if direction is None else direction
    origin = np.array([7, -11, 4]) - direction @ ((size - 1) / 2 * spacing)
    return Grid(tuple(size), (spacing,) * 3, tuple(origin), direction)


def beam(direction, distance, size=(24, 20), spacing=8.0):
    return view_projection(direction, (7, -11, 4), size, spacing, distance, 500.0 if distance else None)


@pytest.mark.parametrize("distance", [None, 700.0])
@pytest.mark.parametrize("direction", DIRECTIONS[:4])
def test_integrals_converge_to_the_closed_form(turn, distance, direction):
    # A smooth object, made of nested shells, so that the error is that of the projector and not of the voxels' edges.
    shells = [Ellipsoid((7, -11, 4), (1.0 * r, 0.8 * r, 0.9 * r), 0.0015, (20, 10, 30)) for r in range(20, 52, 2)]
    phantom, view = Phantom(tuple(shells)), beam(direction, distance)
    exact = phantom.line_integrals(view)
    errors = []
    for spacing in (8.0, 4.0):
        volume = (phantom.volume(grid_of(spacing, turn), 3).array + 1000) / 1000 * 0.0193
        picture = project(volume.astype(np.float64), grid_of(spacing, turn), [view])[0].numpy()
        errors.append(np.sqrt(np.mean((picture - exact) ** 2)) / exact.max())
    assert errors[1] < 6e-3
    assert errors[1] < errors[0] / 2.5  # about second order


def test_the_thorax(phantom, phantom_volume):
    mu = (phantom_volume.array.astype(np.float64) / 1000 + 1) * 0.0193
    for word in ("AP", "LAT"):
        view = view_projection(word, size=(48, 48), spacing=10.0)
        picture = project(mu, phantom_volume.grid, [view])[0].numpy()
        exact = phantom.line_integrals(view)
        assert np.abs(picture - exact).mean() / exact.mean() < 0.015


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("distance", [None, 700.0])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_adjoint_is_the_transpose(rng, turn, direction, distance, mirror):
    grid = Grid((9, 8, 7), (14.0, 13.0, 15.0), (-60, -50, -40), turn * [1, mirror, 1])
    views = [beam(direction, distance), view_projection("LAO30", (7, -11, 4), (9, 7), 15.0, distance)]
    volume = rng.normal(size=grid.shape)
    pictures = [rng.normal(size=view.size) for view in views]
    forward = sum((p.numpy() * q).sum() for p, q in zip(project(volume, grid, views), pictures, strict=True))
    back = (backproject(pictures, grid, views).numpy() * volume).sum()
    assert abs(forward) > 1
    assert back == pytest.approx(forward, rel=1e-10, abs=1e-10 * np.linalg.norm(volume))


def test_the_adjoint_in_chunks_too(rng, monkeypatch):
    grid, views = grid_of(12.0), [beam(DIRECTIONS[4], 700.0)]
    volume, picture = rng.normal(size=grid.shape), rng.normal(size=views[0].size)
    whole = project(volume, grid, views)[0], backproject([picture], grid, views)
    monkeypatch.setattr(integration, "_CHUNK_SAMPLES", 2500)
    assert torch.allclose(project(volume, grid, views)[0], whole[0], atol=1e-12)
    assert torch.allclose(backproject([picture], grid, views), whole[1], atol=1e-12)


def test_every_axis_order_and_sign_gives_the_same_picture(rng):
    # The same voxels, stored along other axes: exactly the same object.
    grid = grid_of(12.0)
    array = rng.random(grid.shape)
    views = [beam(direction, 700.0) for direction in DIRECTIONS]
    reference = project(array, grid, views)
    end = (grid.affine @ [grid.size[0] - 1, 0, 0, 1])[:3]
    flipped = Grid(grid.size, grid.spacing, tuple(end), np.diag([-1.0, 1, 1]))
    nx, ny, nz = grid.size
    turned = Grid((nz, nx, ny), grid.spacing, grid.origin, np.eye(3)[:, [2, 0, 1]])
    for other, values in ((flipped, array[:, :, ::-1].copy()), (turned, array.transpose(1, 2, 0).copy())):
        for a, b in zip(reference, project(values, other, views), strict=True):
            assert a.numpy() == pytest.approx(b.numpy(), abs=1e-9)


def test_an_oblique_ct_gives_the_drr_of_its_resampled_copy(phantom, turn):
    centre = np.zeros(3)
    size, spacing = np.array([80, 80, 80]), 4.0
    small_turn = np.linalg.qr(np.eye(3) + 0.25 * (turn - turn.T))[0]
    small_turn = small_turn * np.sign(np.diag(small_turn))
    oblique = Grid(tuple(size), (spacing,) * 3, tuple(centre - small_turn @ ((size - 1) / 2 * spacing)), small_turn)
    ball = Phantom((Ellipsoid((10, 5, -8), (60, 50, 70), 0.0193), Ellipsoid((40, 5, -8), (15, 15, 15), 0.01)))
    volume = ball.volume(oblique)
    copy = resample(volume, Grid.centred(centre, 84, 4.0))
    view = [view_projection("LAO30CRAN15", size=(32, 32), spacing=8.0)]
    own, other = (project((v.array + 1000) / 1000 * 0.0193, v.grid, view)[0].numpy() for v in (volume, copy))
    assert np.abs(own - other).mean() / own.mean() < 0.01
    assert not np.allclose(small_turn, np.eye(3), atol=0.05)


def test_what_lies_behind_the_source_does_not_count():
    grid = Grid((8, 8, 8), (10.0, 10.0, 10.0), (-35, -35, -35))
    view = view_projection("AP", (0, 0, 0), (1, 1), 1.0, source_to_detector=100.0, source_to_isocentre=1e-6)
    whole = view_projection("AP", (0, 0, 0), (1, 1), 1.0, source_to_detector=None)
    ones = np.ones(grid.shape)
    half, full = (project(ones, grid, [v])[0].item() for v in (view, whole))
    assert full == pytest.approx(80) and half == pytest.approx(40)


def test_nothing_is_read_or_deposited_at_a_clamped_border():
    # Rays that pass the volume at more than a voxel give exactly nothing, and get nothing in the adjoint.
    grid = Grid((6, 6, 6), (10.0, 10.0, 10.0), (-25, -25, -25))
    view = view_projection("AP", (200, 0, 0), (4, 4), 10.0, source_to_detector=None)
    assert project(np.ones(grid.shape), grid, [view])[0].abs().max() == 0
    assert backproject([np.ones((4, 4))], grid, [view]).abs().max() == 0


def rigid(parameters: torch.Tensor) -> torch.Tensor:
    """4x4 from a rotation vector (radians) and a translation (mm)."""
    x, y, z = parameters[:3]
    zero = torch.zeros((), dtype=parameters.dtype)
    skew = torch.stack([torch.stack([zero, -z, y]), torch.stack([z, zero, -x]), torch.stack([-y, x, zero])])
    top = torch.cat([torch.linalg.matrix_exp(skew), parameters[3:, None]], dim=1)
    return torch.cat([top, torch.tensor([[0.0, 0, 0, 1]], dtype=parameters.dtype)])


def smooth_volume(grid: Grid) -> torch.Tensor:
    shells = [Ellipsoid((7, -11, 4), (1.0 * r, 0.7 * r, 0.9 * r), 0.0015, (20, 10, 30)) for r in range(10, 50, 2)]
    return torch.as_tensor((Phantom(tuple(shells)).volume(grid, 3).array + 1000) / 1000 * 0.0193, dtype=torch.float64)


def test_the_gradient_of_the_pose_matches_finite_differences():
    grid, view = grid_of(6.0), beam(DIRECTIONS[4], 700.0, (9, 9), 14.0)
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


def test_a_pose_moves_the_volume():
    grid, view = grid_of(6.0), beam([0, 1, 0], None, (21, 21), 6.0)
    volume = smooth_volume(grid)
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = 12.0  # two pixels towards the patient's left, which is right on an AP picture
    still, moved = project(volume, grid, [view])[0], project(volume, grid, [view], pose)[0]
    assert moved[:, 2:].numpy() == pytest.approx(still[:, :-2].numpy(), abs=1e-9)
    both = project(volume, grid, [view, view], torch.stack([torch.eye(4, dtype=torch.float64), pose]))
    assert torch.equal(both[0], still) and torch.allclose(both[1], moved)


def test_the_gradient_of_the_volume_is_the_backprojection(rng):
    grid, views = grid_of(12.0), [beam(DIRECTIONS[3], 700.0)]
    volume = torch.zeros(grid.shape, dtype=torch.float64, requires_grad=True)
    weights = torch.as_tensor(rng.normal(size=views[0].size))
    (gradient,) = torch.autograd.grad((project(volume, grid, views)[0] * weights).sum(), volume)
    assert torch.allclose(gradient, backproject([weights], grid, views))
    index = tuple(int(n) // 2 for n in grid.shape)
    one = np.zeros(grid.shape)
    one[index] = 1
    assert gradient[index].item() == pytest.approx((project(one, grid, views)[0] * weights).sum().item())


def test_types_are_kept_and_whole_numbers_accepted(rng):
    grid, views = grid_of(12.0), [beam([0, 1, 0], None)]
    for dtype in (torch.float32, torch.float64):
        assert project(torch.ones(grid.shape, dtype=dtype), grid, views)[0].dtype == dtype
    counts = project(np.ones(grid.shape, dtype=np.int16), grid, views)[0]
    assert counts.dtype == torch.float32 and counts.max() > 0


def test_array_and_grid_must_agree():
    with pytest.raises(InputError, match="pass both alike"):
        project(np.zeros((2, 3, 4)), Grid((2, 3, 4), (1.0, 1.0, 1.0)), [beam([0, 1, 0], None)])


def test_the_real_ct_absorbs_like_a_chest(real_ct):
    mu = np.maximum(real_ct.array / 1000 + 1, 0).astype(np.float32) * 0.0193
    view = view_projection("AP", real_ct.grid.centre, (32, 32), 12.0)
    picture = project(Volume(mu, real_ct.grid, "1/mm").array, real_ct.grid, [view])[0]
    assert 4 < picture.max() < 9  # 20 to 40 cm of water


@pytest.fixture
def together(monkeypatch):
    """How many rays went through the volume together, call by call."""
    sizes = []

    def integrate(volume, rays):
        sizes.append(len(rays.directions))
        return integration.integrate(volume, rays)

    monkeypatch.setattr(projector, "integrate", integrate)
    return sizes


def views_of(grid: Grid, axis: int, sign: int):
    """Views of every kind along an index axis, steep and leaning."""
    return [view for lean in LEANS.values() for view in beams.beams(grid, axis, sign, lean).values()]


def in_float64(volume, grid, views, pose=None):
    return project(np.asarray(volume, dtype=np.float64), grid, views, pose)


@pytest.mark.parametrize("name", beams.DIRECTIONS)
def test_views_of_every_kind_measure_the_exact_integral(name):
    grid = beams.grid_of(name, (28, 26, 30))
    volume = beams.smooth_volume(grid)
    for axis in range(3):
        for kind, view in beams.beams(grid, axis, 1, LEANS["leaning"], (12, 13)).items():
            points, directions = index_rays(grid, view, np.arange(12 * 13))
            exact, _ = trilinear_integrals(volume, points, directions, view.is_cone)
            assert rms_difference(project(volume, grid, [view])[0].ravel(), exact) < 8e-4, (kind, axis)


@pytest.mark.parametrize("name", beams.DIRECTIONS)
@pytest.mark.parametrize(("axis", "sign"), AXES)
def test_float32_is_as_good_as_the_float64_reference(back_end, rng, name, axis, sign):
    grid = beams.grid_of(name)
    volume, views = rng.normal(size=grid.shape).astype(np.float32), views_of(grid, axis, sign)
    together = project(volume, grid, views)
    for view, found, expected in zip(views, together, in_float64(volume, grid, views), strict=True):
        assert found.dtype == torch.float32 and tuple(found.shape) == view.size
        assert difference(found, expected) < FLOAT32
        assert difference(project(volume, grid, [view])[0], expected) < FLOAT32


@pytest.mark.parametrize("name", beams.DIRECTIONS)
@pytest.mark.parametrize(("axis", "sign"), AXES)
def test_the_dot_product_in_float32(back_end, rng, name, axis, sign):
    # The volume is not zero on its faces, and the outermost rays pass it.
    grid = beams.grid_of(name)
    volume, views = rng.normal(size=grid.shape).astype(np.float32), views_of(grid, axis, sign)
    pictures = [rng.normal(size=view.size).astype(np.float32) for view in views]
    forward = project(volume, grid, views)

    def compare(chosen):
        seen = np.concatenate([forward[i].numpy().ravel() for i in chosen]).astype(np.float64)
        values = np.concatenate([pictures[i].ravel() for i in chosen]).astype(np.float64)
        back = backproject([pictures[i] for i in chosen], grid, [views[i] for i in chosen])
        assert back.dtype == torch.float32
        gap = seen @ values - (back.numpy().astype(np.float64) * volume).sum()
        assert abs(gap) <= 1e-5 * np.linalg.norm(seen) * np.linalg.norm(values)

    compare(range(len(views)))
    for i in range(len(views)):
        compare([i])


@pytest.mark.parametrize("reach", [80.0, 450.0])
@pytest.mark.parametrize("most_rays", [600_000, 60])
def test_an_aligned_cone_and_its_adjoint_in_bands(back_end, rng, monkeypatch, reach, most_rays):
    # Rays that lean so much at the rim of the detector that bands there could be sampled otherwise than those in the middle.
    monkeypatch.setattr(projector, "_MOST_RAYS", most_rays)
    grid = Grid((20, 19, 18), (4.0, 4.0, 4.0))
    view = view_projection("AP", grid.centre, (30, 20), (reach / 15, reach / 10), 1000.0, 500.0)
    volume = rng.normal(size=grid.shape).astype(np.float32)
    found, expected = project(volume, grid, [view])[0], in_float64(volume, grid, [view])[0]
    assert difference(found, expected) < FLOAT32
    picture = found.numpy()
    back = (backproject([picture], grid, [view]).numpy().astype(np.float64) * volume).sum()
    assert abs((picture.astype(np.float64) ** 2).sum() - back) <= 1e-5 * (picture.astype(np.float64) ** 2).sum()


@pytest.mark.parametrize("axis", range(3))
def test_large_detectors_are_computed_in_bands(back_end, rng, monkeypatch, together, axis):
    grid = beams.grid_of("oblique")
    volume = rng.normal(size=grid.shape).astype(np.float32)
    views = views_of(grid, axis, 1)
    # A wide fan too, which leans at its rim only.
    views.append(view_projection(beams.along(grid, axis, 1, (0.01, 0.02)), grid.centre, (9, 11), 8.0, 90.0, 45.0))
    pictures = [rng.normal(size=view.size).astype(np.float32) for view in views]
    whole = project(volume, grid, views), backproject(pictures, grid, views)
    assert together == [99] * len(views)
    for most_rays in (60, 5):
        monkeypatch.setattr(projector, "_MOST_RAYS", most_rays)
        together.clear()
        for found, expected in zip(project(volume, grid, views), whole[0], strict=True):
            assert difference(found, expected) < 1e-6
        assert max(together) == (55 if most_rays == 60 else 11)
        assert difference(backproject(pictures, grid, views), whole[1]) < 1e-6


def test_views_of_a_large_volume_are_computed_together(back_end, rng, monkeypatch, together):
    grid = beams.grid_of("oblique")
    volume = rng.normal(size=grid.shape).astype(np.float32)
    kinds = [beams.beams(grid, axis, 1, LEANS["leaning"]) for axis in range(3)]
    aligned = view_projection(grid.direction[:, 1], grid.centre, (9, 11), 4.0, None)
    aligned = replace(aligned, row_direction=grid.direction[:, 0], column_direction=grid.direction[:, 2])
    views = [kinds[0]["cone"], kinds[1]["cone"], aligned, kinds[2]["off-centre"], kinds[2]["parallel"], kinds[1]["parallel"]]
    views += [kinds[0]["cone"].resampled((5, 11), (9.0, 8.0)), kinds[1]["cone"].resampled((11, 5), (8.0, 9.0))]
    expected = in_float64(volume, grid, views)
    for cache, most, groups in (
        (10**9, 600, [99] * 5 + [55] * 2),
        (0, 600, [297, 198, 55, 55]),
        (0, 200, [198, 99, 198, 55, 55]),
    ):
        monkeypatch.setattr(projector, "_CACHE_BYTES", cache)
        monkeypatch.setattr(projector, "_GROUP_RAYS", most)
        together.clear()
        for found, picture in zip(project(volume, grid, views), expected, strict=True):
            assert difference(found, picture) < FLOAT32
        assert back_end == "torch" or together == groups


def pose_of(parameters=(0.05, -0.04, 0.07, 1.3, -2.1, 0.7)) -> torch.Tensor:
    return rigid(torch.tensor(parameters, dtype=torch.float64))


@pytest.mark.parametrize("name", beams.DIRECTIONS)
@pytest.mark.parametrize("axis", range(3))
def test_a_pose_is_a_volume_elsewhere(back_end, rng, name, axis):
    grid, pose = beams.grid_of(name), pose_of()
    volume, views = rng.normal(size=grid.shape).astype(np.float32), views_of(grid, axis, 1)
    affine = pose.numpy() @ grid.affine
    elsewhere = Grid(grid.size, grid.spacing, tuple(affine[:3, 3]), affine[:3, :3] / np.array(grid.spacing))
    expected = in_float64(volume, elsewhere, views)
    for own in (pose, pose.numpy(), pose.to(torch.float32), pose.tolist(), pose.expand(len(views), 4, 4)):
        for found, picture in zip(project(volume, grid, views, own), expected, strict=True):
            assert difference(found, picture) < FLOAT32 * (1 if own is not pose.to(torch.float32) else 3)


@pytest.mark.parametrize("aligned", [False, True])
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


def numeric_gradient(value, at: torch.Tensor, step: float = 1e-7) -> np.ndarray:
    gradient = np.zeros(len(at))
    for k in range(len(at)):
        move = torch.zeros_like(at)
        move[k] = step
        with torch.no_grad():
            gradient[k] = (value(at + move) - value(at - move)).item() / (2 * step)
    return gradient


@pytest.mark.parametrize("kind", ["cone", "parallel", "tilted", "tilted parallel", "cone matrix", "parallel matrix"])
@pytest.mark.parametrize(("axis", "sign"), AXES)
def test_pose_gradients_are_those_of_finite_differences(back_end, rng, axis, sign, kind):
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
        for values in (volume, volume.double()):
            at = start.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(value(at, values), at)
            # Radians and millimetres are compared each with their own kind.
            assert difference(gradient[:3], expected[:3]) < 1e-3
            assert difference(gradient[3:], expected[3:]) < 1e-3


@pytest.mark.parametrize("step", [1e-7, 1e-5])
@pytest.mark.parametrize("distance", [None, 500.0])
@pytest.mark.parametrize("direction", DIRECTIONS[:3])
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
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


@pytest.mark.parametrize(("axis", "sign"), AXES)
def test_volume_gradients_are_those_of_finite_differences(back_end, rng, axis, sign):
    grid = beams.grid_of(list(beams.DIRECTIONS)[axis + (sign > 0)])
    views = views_of(grid, axis, sign)
    volume = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32).requires_grad_()
    weights = [torch.as_tensor(rng.normal(size=view.size)) for view in views]

    def value(pictures):
        return sum((picture * weight).sum() for picture, weight in zip(pictures, weights, strict=True))

    (gradient,) = torch.autograd.grad(value(project(volume, grid, views)), volume)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize("quality", projector.QUALITIES)
@pytest.mark.parametrize("axis", range(3))
def test_an_accelerator_finds_the_same(rng, axis, quality):
    grid, found = beams.grid_of("both"), {}
    views = views_of(grid, axis, 1)
    views.append(view_projection(grid.direction[:, axis], grid.centre, (9, 11), 3.0, None))
    values = torch.as_tensor(rng.random(grid.shape), dtype=torch.float32)
    for device in ("cpu", "cuda"):
        volume, pose = values.to(device).requires_grad_(), pose_of().to(device).requires_grad_()
        pictures = project(volume, grid, views, pose, quality)
        sum(picture.square().sum() for picture in pictures).backward()
        back = backproject([picture.detach() for picture in pictures], grid, views)
        plain = project(volume.detach(), grid, views, quality=quality)
        assert all(picture.device.type == device for picture in (*pictures, *plain, back, volume.grad, pose.grad))
        found[device] = [t.detach().cpu() for t in (*pictures, back, volume.grad, pose.grad)]
        found[device] += [picture.cpu() for picture in plain] if quality == "full" else []
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        assert difference(other, one) < 1e-4


SINGULAR, INFINITE = np.diag([1.0, 1, 0, 1]), np.diag([1.0, np.nan, 1, 1])
NO_POSES = [np.eye(3), np.zeros((3, 4)), np.zeros((0, 4, 4)), np.zeros(4), 1.0, SINGULAR, INFINITE]


@pytest.mark.parametrize("pose", [*NO_POSES, np.stack([np.eye(4), SINGULAR])])
@pytest.mark.parametrize("quality", projector.QUALITIES)
def test_poses_that_are_none(pose, quality):
    grid = beams.grid_of()
    with pytest.raises(InputError, match="finite, invertible 4x4"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], pose, quality)


@pytest.mark.parametrize("quality", projector.QUALITIES)
@pytest.mark.parametrize(("poses", "views"), [(2, 3), (3, 2), (3, 0)])
def test_as_many_poses_as_projections(quality, poses, views):
    grid = beams.grid_of()
    with pytest.raises(InputError, match=f"{poses} poses for {views} projections"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)] * views, np.stack([np.eye(4)] * poses), quality)


@pytest.mark.parametrize("quality", projector.QUALITIES)
def test_a_pose_with_a_perspective(quality):
    grid, pose = beams.grid_of(), np.eye(4)
    pose[3, 0] = 0.01
    with pytest.raises(InputError, match="last row of a pose must be 0 0 0 1"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], pose, quality)


def test_a_pose_of_whole_numbers(rng):
    grid, view = beams.grid_of(), beam([0, 1, 0.2], None)
    volume = rng.random(grid.shape)
    assert torch.equal(project(volume, grid, [view], np.eye(4, dtype=int))[0], project(volume, grid, [view], np.eye(4))[0])


def test_unknown_qualities():
    grid = beams.grid_of()
    with pytest.raises(InputError, match=r"'best' is not known.*full or preview"):
        project(np.zeros(grid.shape), grid, [beam([0, 1, 0], None)], quality="best")


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


def test_pictures_of_whole_numbers_are_spread(back_end):
    grid, view = beams.grid_of(), beam([0, 1, 0.2], None, (5, 6))
    back = backproject([np.full((5, 6), 3)], grid, [view])
    assert back.dtype == torch.float32
    assert torch.equal(back, backproject([np.full((5, 6), 3, np.float32)], grid, [view]))
