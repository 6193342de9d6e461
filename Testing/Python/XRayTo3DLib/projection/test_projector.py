"""The pictures: against closed forms and the exact integral, in both precisions, one by one and many together."""

import sys
from dataclasses import replace
from pathlib import Path

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
    in_float64,
    isotropic_grid,
    pose_of,
    rms_difference,
    views_of,
)
from tables import each

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection import rays as integration
from XRayTo3DLib.projection.projector import backproject, project
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "Benchmarks"))

from exact import index_rays, trilinear_integrals


@each("distance", [None, 700.0])
@each("direction", BEAM_DIRECTIONS[:4])
def test_integrals_converge_to_the_closed_form(turn, distance, direction):
    # A smooth object, made of nested shells, so that the error is that of the projector and not of the voxels' edges.
    shells = [Ellipsoid((7, -11, 4), (1.0 * r, 0.8 * r, 0.9 * r), 0.0015, (20, 10, 30)) for r in range(20, 52, 2)]
    phantom, view = Phantom(tuple(shells)), beam(direction, distance)
    exact = phantom.line_integrals(view)
    errors = []
    for spacing in (8.0, 4.0):
        volume = (phantom.volume(isotropic_grid(spacing, turn), 3).array + 1000) / 1000 * 0.0193
        picture = project(volume.astype(np.float64), isotropic_grid(spacing, turn), [view])[0].numpy()
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


def test_the_real_ct_absorbs_like_a_chest(real_ct):
    mu = np.maximum(real_ct.array / 1000 + 1, 0).astype(np.float32) * 0.0193
    view = view_projection("AP", real_ct.grid.centre, (32, 32), 12.0)
    picture = project(Volume(mu, real_ct.grid, "1/mm").array, real_ct.grid, [view])[0]
    assert 4 < picture.max() < 9  # 20 to 40 cm of water


def test_every_axis_order_and_sign_gives_the_same_picture(rng):
    # The same voxels, stored along other axes: exactly the same object.
    grid = isotropic_grid(12.0)
    array = rng.random(grid.shape)
    views = [beam(direction, 700.0) for direction in BEAM_DIRECTIONS]
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


def test_types_are_kept_and_whole_numbers_accepted(rng):
    grid, views = isotropic_grid(12.0), [beam([0, 1, 0], None)]
    for dtype in (torch.float32, torch.float64):
        assert project(torch.ones(grid.shape, dtype=dtype), grid, views)[0].dtype == dtype
    counts = project(np.ones(grid.shape, dtype=np.int16), grid, views)[0]
    assert counts.dtype == torch.float32 and counts.max() > 0


@each("name", beams.DIRECTIONS)
def test_views_of_every_kind_measure_the_exact_integral(name):
    grid = beams.grid_of(name, (28, 26, 30))
    volume = beams.smooth_volume(grid)
    for axis in range(3):
        for kind, view in beams.beams(grid, axis, 1, LEANS["leaning"], (12, 13)).items():
            points, directions = index_rays(grid, view, np.arange(12 * 13))
            exact, _ = trilinear_integrals(volume, points, directions, view.is_cone)
            assert rms_difference(project(volume, grid, [view])[0].ravel(), exact) < 8e-4, (kind, axis)


@each("name", beams.DIRECTIONS)
@each(("axis", "sign"), AXES)
def test_float32_is_as_good_as_the_float64_reference(back_end, rng, name, axis, sign):
    grid = beams.grid_of(name)
    volume, views = rng.normal(size=grid.shape).astype(np.float32), views_of(grid, axis, sign)
    together = project(volume, grid, views)
    for view, found, expected in zip(views, together, in_float64(volume, grid, views), strict=True):
        assert found.dtype == torch.float32 and tuple(found.shape) == view.size
        assert difference(found, expected) < FLOAT32
        assert difference(project(volume, grid, [view])[0], expected) < FLOAT32


@pytest.fixture
def together(monkeypatch):
    """How many rays went through the volume together, call by call."""
    sizes = []

    def integrate(volume, rays):
        sizes.append(len(rays.directions))
        return integration.integrate(volume, rays)

    monkeypatch.setattr(projector, "integrate", integrate)
    return sizes


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
