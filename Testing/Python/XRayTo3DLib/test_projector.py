import numpy as np
import pytest
import torch

from XRayTo3DLib import integration
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid
from XRayTo3DLib.images import Volume, resample
from XRayTo3DLib.phantom import Ellipsoid, Phantom
from XRayTo3DLib.projector import backproject, project
from XRayTo3DLib.views import view_projection

DIRECTIONS = [[0, 1, 0], [1, 0, 0], [0, 0, -1], [1, 1, 0.05], [0.6, -0.5, 0.62]]


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
