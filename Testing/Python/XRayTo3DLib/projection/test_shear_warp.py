from dataclasses import replace

import numpy as np
import pytest
import torch
from beams import AXES, LEANS, along, beams, grid_of, rms_difference, smooth_volume
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection import preview as shear_warp
from XRayTo3DLib.projection.projector import Preview, project

#: What a preview may differ from the full picture: relative root mean square.
PREVIEW = 3e-3
#: No size is a multiple of 4, so that planes are left over when four are merged.
SIZE = (62, 61, 63)


@pytest.fixture
def swept(monkeypatch):
    """The sizes (rows, columns) of the pictures that were swept up."""
    sizes = []

    def sweep(*arguments):
        found = own(*arguments)
        sizes.append(tuple(found.shape))
        return found

    own = shear_warp.sweep
    monkeypatch.setattr(shear_warp, "sweep", sweep)
    return sizes


@pytest.fixture(scope="module")
def smooth():
    return smooth_volume(grid_of("straight", SIZE), fade=8).astype(np.float32)


@each("name", ["straight", "oblique", "both"])
@each(("axis", "sign"), AXES)
def test_previews_are_nearly_the_full_picture(back_end, smooth, swept, name, axis, sign):
    swept.clear()
    grid = grid_of(name, SIZE)
    views = [view for lean in LEANS.values() for view in beams(grid, axis, sign, lean, (36, 34)).values()]
    full, previews = project(smooth, grid, views), project(smooth, grid, views, quality="preview")
    for view, expected, found in zip(views, full, previews, strict=True):
        assert found.dtype == torch.float32 and tuple(found.shape) == view.size
        assert rms_difference(found, expected) < PREVIEW
    assert len(swept) == (len(views) if back_end == "numba" else 0)
    assert not any(torch.equal(found, expected) for found, expected in zip(previews, full, strict=True))


@each("distance", [None, 700.0])
@each("word", ["AP", "PA", "LAT", "RLAT", (0, 0.0, 1)])
def test_previews_of_detectors_along_the_voxel_axes(back_end, smooth, word, distance):
    for name in ("straight", "left-handed"):
        grid = grid_of(name, SIZE)
        view = view_projection(word, grid.centre, (60, 40), 4.0, distance)
        full, found = project(smooth, grid, [view])[0], project(smooth, grid, [view], quality="preview")[0]
        assert rms_difference(found, full) < PREVIEW


def test_float64_stays(smooth):
    grid = grid_of("oblique", SIZE)
    views = list(beams(grid, 1, 1, LEANS["leaning"], (20, 22)).values())
    for found, expected in zip(
        project(smooth.astype(np.float64), grid, views, quality="preview"), project(smooth, grid, views), strict=True
    ):
        assert found.dtype == torch.float64
        assert rms_difference(found, expected) < PREVIEW


def test_a_preview_is_kept_ready(back_end, smooth, monkeypatch):
    merged, own = [], shear_warp._merge
    monkeypatch.setattr(shear_warp, "_merge", lambda volume, dim, count: merged.append((dim, count)) or own(volume, dim, count))
    grid = grid_of("oblique", SIZE)
    views = [view_projection(along(grid, axis, 1, (0.05, 0.1)), grid.centre, (24, 20), 6.0) for axis in range(3)]
    views.append(view_projection(grid.direction[:, 1], grid.centre, (24, 20), 6.0))
    poses = torch.eye(4, dtype=torch.float64).repeat(len(views), 1, 1)
    poses[:, 0, 3] = torch.tensor([3.0, -5, 2, 0])
    preview = Preview(smooth, grid)
    first = preview.project(views), preview.project(views, list(poses))
    count = len(merged)
    assert count == len(set(merged)) >= 3
    again = preview.project(views), preview.project(views, list(poses))
    assert len(merged) == count
    expected = project(smooth, grid, views, quality="preview"), project(smooth, grid, views, poses, quality="preview")
    for found in (first, again):
        for one, other in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
            assert torch.equal(one, other)
    assert not torch.allclose(expected[0][0], expected[1][0], rtol=1e-2)


@each("count", [2, 4])
@each("dim", range(3))
def test_merged_planes_hold_the_same_in_all(rng, dim, count):
    volume = torch.as_tensor(rng.normal(size=(9, 10, 11)))
    merged = shear_warp._merge(volume, dim, count)
    assert merged.shape[dim] == -(-volume.shape[dim] // count)
    assert torch.allclose(merged.sum(dim=dim) * count, volume.sum(dim=dim))
    assert torch.allclose(merged.select(dim, 1), volume.narrow(dim, count, count).mean(dim=dim))


@each(("axis", "sign"), AXES)
def test_gradients_flow_through_previews(back_end, smooth, rng, axis, sign):
    grid = grid_of("both", SIZE)
    view = beams(grid, axis, sign, LEANS["leaning"], (20, 22))["cone"]
    weights = torch.as_tensor(1 + 0.2 * rng.normal(size=view.size), dtype=torch.float32)
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.1, 0.05], [0.1, 0, 0.02], [-0.05, -0.02, 0]], dtype=torch.float64))
    found = {}
    for quality in ("full", "preview"):
        volume, pose = torch.as_tensor(smooth).clone().requires_grad_(), torch.eye(4, dtype=torch.float64)
        pose[:3, :3], pose[:3, 3] = turn, torch.tensor([4.0, -6.0, 5.0])
        pose.requires_grad_()
        picture = project(volume, grid, [view], pose, quality)[0]
        (picture * weights).square().sum().backward()
        assert volume.grad.shape == grid.shape and volume.grad.dtype == torch.float32
        assert pose.grad.shape == (4, 4) and pose.grad.dtype == torch.float64
        found[quality] = picture.detach(), volume.grad, pose.grad[:3]
    (picture, by_volume, by_pose), (full, full_by_volume, full_by_pose) = found["preview"], found["full"]
    assert rms_difference(picture, full) < PREVIEW
    assert rms_difference(by_pose[:, :3], full_by_pose[:, :3]) < 0.1 and rms_difference(by_pose[:, 3], full_by_pose[:, 3]) < 0.1
    # One voxel's share in a thick plane is coarse, but what the gradient says of a smooth change is not.
    for change in (smooth, smooth * np.linspace(-1, 1, SIZE[1])[:, None].astype(np.float32)):
        change = torch.as_tensor(change)
        expected, size = (full_by_volume * change).sum().item(), (full_by_volume * change.abs()).sum().item()
        assert (by_volume * change).sum().item() == pytest.approx(expected, abs=5e-3 * size)


def fan(grid: Grid, width: int, first: float, last: float) -> Projection:
    """From beside the volume along y; it leans towards x by ``first`` mm a mm at its first column, by ``last`` at its last."""
    source = grid.centre + np.array([-1.2 * grid.size[0], -1.2 * grid.size[1] * grid.spacing[1], 3.0])
    row = np.array([np.sign(last - first), 0.02, 0])
    origin = source + np.array([200 * first, 200.0, -60.0])
    return Projection(origin, row, [0, 0, 1], (6.0, abs(last - first) * 200 / (width - 1)), (21, width), source=source)


@each(("first", "last"), [(6.0, 0.15), (0.15, 6.0)])
@each("width", [31, 61, 62, 122])
def test_steep_fans_are_integrated_ray_by_ray(back_end, smooth, swept, width, first, last):
    # Where planes are crossed too steeply, a preview is nearly as good as the full picture.
    grid = grid_of("straight", SIZE)
    view = fan(grid, width, first, last)
    full = project(smooth, grid, [view])[0]
    assert full.max() > 0.1
    assert rms_difference(project(smooth, grid, [view], quality="preview")[0], full) < 1e-3
    assert not swept


@each(("first", "last"), [(0.7, 0.0), (0.0, 1.2)])
def test_wide_fans(back_end, smooth, swept, first, last):
    swept.clear()
    grid = grid_of("straight", SIZE)
    view = fan(grid, 50, first, last)
    full = project(smooth, grid, [view])[0]
    assert full.max() > 0.1
    assert rms_difference(project(smooth, grid, [view], quality="preview")[0], full) < 2e-2
    assert back_end == "torch" or len(swept) == 1


@each(("axis", "sign"), AXES)
def test_a_source_inside_the_volume(back_end, smooth, axis, sign):
    # What lies behind the source does not count; merged planes would be too thick for that, and so close to it.
    grid = grid_of("straight", SIZE)
    depth = grid.spacing[axis] * (SIZE[axis] - 1) / 2
    for lean in LEANS.values():
        direction = along(grid, axis, sign, lean)
        for distance in (12.3, 0.9 * depth, depth - 1.5, depth + 1.0, depth + 7.0):
            view = view_projection(direction, grid.centre, (20, 22), 12.0, 200.0, distance)
            full, found = project(smooth, grid, [view])[0], project(smooth, grid, [view], quality="preview")[0]
            assert rms_difference(found, full) < PREVIEW, distance
    behind = replace(view, source=grid.centre + 400 * view.beam_direction, origin=view.origin + 600 * view.beam_direction)
    assert project(smooth, grid, [behind], quality="preview")[0].abs().max() == 0


@pytest.mark.parametrize("kind", ["cone", "parallel"])
def test_the_picture_that_is_warped_is_no_larger_than_the_shadow(smooth, swept, monkeypatch, kind):
    pytest.importorskip("numba")
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)
    grid = grid_of("oblique", SIZE)
    view = beams(grid, 0, 1, LEANS["steep"], (16, 18))[kind]
    wide = view.resampled((60, 60), (25.0, 25.0))  # far larger than the volume
    found = project(smooth, grid, [wide], quality="preview")[0]
    assert found.max() > 0
    assert max(swept[0]) < 3 * max(SIZE)
    beside = replace(view, origin=view.origin + 3000 * view.row_direction)
    assert project(smooth, grid, [beside], quality="preview")[0].abs().max() == 0


@each("size", [(1, 20, 20), (20, 1, 20), (20, 20, 1), (5, 21, 22)])
def test_thin_volumes(back_end, rng, size):
    grid = grid_of("oblique", size)
    volume = rng.random(grid.shape).astype(np.float32)
    for axis, sign in AXES:
        for view in beams(grid, axis, sign, LEANS["steep"], (40, 41)).values():
            (found,), (full,) = project(volume, grid, [view], quality="preview"), project(volume, grid, [view])
            assert bool(torch.isfinite(found).all()) and full.max() > 0
            assert found.sum().item() == pytest.approx(full.sum().item(), rel=0.1)


@each("dtype", [np.int16, np.uint8])
def test_whole_numbers(back_end, smooth, dtype):
    grid = grid_of("straight", SIZE)
    counts = (smooth * 1000).astype(dtype)
    view = beams(grid, 1, 1, LEANS["leaning"], (20, 22))["cone"]
    found = Preview(counts, grid).project([view])[0]
    assert torch.equal(found, project(counts, grid, [view], quality="preview")[0])
    assert found.dtype == torch.float32 and rms_difference(found, project(counts, grid, [view])[0]) < 2e-2


def test_what_a_preview_cannot_be_made_of(smooth):
    grid = grid_of("straight", SIZE)
    view = view_projection("AP", grid.centre, (8, 8), 20.0)
    with pytest.raises(InputError, match="pass both alike"):
        Preview(smooth[1:], grid)
    with pytest.raises(InputError, match="2 poses for 3 projections"):
        Preview(smooth, grid).project([view] * 3, np.stack([np.eye(4)] * 2))
    with pytest.raises(InputError, match="finite, invertible 4x4"):
        Preview(smooth, grid).project([view], np.zeros((4, 4)))


def test_poses_of_a_preview(smooth):
    # As those of ``project``: one for all views or one a view, as an array or a tensor.
    grid = grid_of("straight", SIZE)
    views = [view_projection(word, grid.centre, (12, 13), 15.0) for word in ("AP+10", "LAO30")]
    pose = np.eye(4)
    pose[:3, 3] = 10.0, -5.0, 20.0
    expected = project(smooth, grid, views, pose, quality="preview")
    for own in (pose, torch.as_tensor(pose), np.stack([pose, pose]), [torch.as_tensor(pose)] * 2):
        for one, other in zip(Preview(smooth, grid).project(views, own), expected, strict=True):
            assert torch.equal(one, other)
