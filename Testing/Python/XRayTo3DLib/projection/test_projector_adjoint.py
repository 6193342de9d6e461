"""The backprojection is the transpose of the projection."""

import beams
import numpy as np
import pytest
import torch
from beams import AXES, BEAM_DIRECTIONS, FLOAT32, beam, difference, in_float64, isotropic_grid, views_of
from tables import each

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection import rays as integration
from XRayTo3DLib.projection.projector import backproject, project


@each("mirror", [1, -1])
@each("distance", [None, 700.0])
@each("direction", BEAM_DIRECTIONS)
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
    grid, views = isotropic_grid(12.0), [beam(BEAM_DIRECTIONS[4], 700.0)]
    volume, picture = rng.normal(size=grid.shape), rng.normal(size=views[0].size)
    whole = project(volume, grid, views)[0], backproject([picture], grid, views)
    monkeypatch.setattr(integration, "_CHUNK_SAMPLES", 2500)
    assert torch.allclose(project(volume, grid, views)[0], whole[0], atol=1e-12)
    assert torch.allclose(backproject([picture], grid, views), whole[1], atol=1e-12)


@each("name", beams.DIRECTIONS)
@each(("axis", "sign"), AXES)
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


def test_the_gradient_of_the_volume_is_the_backprojection(rng):
    grid, views = isotropic_grid(12.0), [beam(BEAM_DIRECTIONS[3], 700.0)]
    volume = torch.zeros(grid.shape, dtype=torch.float64, requires_grad=True)
    weights = torch.as_tensor(rng.normal(size=views[0].size))
    (gradient,) = torch.autograd.grad((project(volume, grid, views)[0] * weights).sum(), volume)
    assert torch.allclose(gradient, backproject([weights], grid, views))
    index = tuple(int(n) // 2 for n in grid.shape)
    one = np.zeros(grid.shape)
    one[index] = 1
    assert gradient[index].item() == pytest.approx((project(one, grid, views)[0] * weights).sum().item())


def test_pictures_of_whole_numbers_are_spread(back_end):
    grid, view = beams.grid_of(), beam([0, 1, 0.2], None, (5, 6))
    back = backproject([np.full((5, 6), 3)], grid, [view])
    assert back.dtype == torch.float32
    assert torch.equal(back, backproject([np.full((5, 6), 3, np.float32)], grid, [view]))
