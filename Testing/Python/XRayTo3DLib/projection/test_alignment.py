from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from beams import AXES, DIRECTIONS, FLOAT32, difference, grid_of
from tables import each

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection import projector
from XRayTo3DLib.projection import rays as integration
from XRayTo3DLib.projection.alignment import aligned_detector
from XRayTo3DLib.projection.projector import backproject, project

#: How the detector's rows and columns lie along the two other index axes: swapped or not, each with its sign.
TURNS = list(product((False, True), (1, -1), (1, -1)))
KINDS = ("cone", "wide cone", "off-centre", "along", "leaning", "leaning more")


def detector(grid: Grid, axis: int, sign: int, kind: str, turn=(False, 1, 1), size=(19, 23), spacing=(1.9, 2.1)) -> Projection:
    """A detector along the voxel axes, behind the volume, and a beam that follows one of them."""
    minor = [a for a in (0, 1, 2) if a != axis]
    swapped, *signs = turn
    right, down = (s * grid.direction[:, a] for s, a in zip(signs, minor[::-1] if swapped else minor, strict=True))
    ahead, half = sign * grid.direction[:, axis], grid.size[axis] * grid.spacing[axis] / 2
    middle = grid.centre + 1.2 * half * ahead + 0.7 * right - 0.4 * down
    middle = middle + (9 * right - 6 * down if kind == "off-centre" else 0)
    origin = middle - (size[1] - 1) / 2 * spacing[1] * right - (size[0] - 1) / 2 * spacing[0] * down
    view = {"origin": origin, "row_direction": right, "column_direction": down, "spacing": spacing, "size": size}
    if kind in ("cone", "wide cone", "off-centre"):
        return Projection(**view, source=grid.centre - (1.7 if kind == "wide cone" else 6) * half * ahead + 0.5 * right)
    lean = {"along": (0.0, 0.0), "leaning": (0.2, -0.1), "leaning more": (0.6, 0.5)}[kind]
    return Projection(**view, ray_direction=ahead + lean[0] * right + lean[1] * down)


def aligned(grid: Grid, view: Projection):
    return aligned_detector(grid, view, np.linalg.inv(grid.affine))


def ray_by_ray(volume, grid: Grid, views, pose=None):
    """The reference, in float64: with a derivative asked for, no shortcut is taken."""
    values = torch.as_tensor(np.asarray(volume, dtype=np.float64)).requires_grad_()
    return [picture.detach() for picture in project(values, grid, views, pose)]


@pytest.fixture
def shortcuts(monkeypatch):
    """How many pictures were made by a shortcut since it was asked last."""
    made = []

    def count(*arguments):
        made.append(integration.integrate_aligned(*arguments))
        return made[-1]

    def taken():
        number = sum(picture is not None for picture in made)
        made.clear()
        return number

    monkeypatch.setattr(projector, "integrate_aligned", count)
    return taken


@each("name", DIRECTIONS)
@each(("axis", "sign"), AXES)
def test_where_the_pixels_of_a_detector_meet_the_planes(name, axis, sign):
    grid = grid_of(name)
    to_index, minor = np.linalg.inv(grid.affine), [a for a in (0, 1, 2) if a != axis]
    for turn, kind in product(TURNS, KINDS):
        view = detector(grid, axis, sign, kind, turn, (4, 5), (4.0, 3.0))
        found = aligned(grid, view)
        assert found is not None and found.axis == axis and found.swapped == turn[0]
        points, directions = view.rays()
        points, directions = points @ to_index[:3, :3].T + to_index[:3, 3], directions @ to_index[:3, :3].T
        for k in (0, 7):
            met = points + ((k - points[:, axis]) / directions[:, axis])[:, None] * directions
            u, v = (met[:, a].reshape(view.size) for a in minor)
            u, v = (u.T, v.T) if found.swapped else (u, v)
            assert u == pytest.approx(np.broadcast_to(found.u[0] + k * found.u[1], u.shape), abs=1e-9)
            assert v == pytest.approx(np.broadcast_to((found.v[0] + k * found.v[1])[:, None], v.shape), abs=1e-9)
        length = (1 / np.abs(directions[:, axis])).reshape(view.size)
        assert np.broadcast_to(found.length, u.shape) == pytest.approx(length.T if found.swapped else length, rel=1e-6)
        if view.is_cone:
            source = points[0, axis]
            assert found.planes == pytest.approx((source, np.inf) if directions[0, axis] > 0 else (-np.inf, source))
        slopes = (directions**2).sum(axis=1) / directions[:, axis] ** 2 - 1
        assert found.slope == pytest.approx(np.sqrt(slopes.mean()))


@each("name", DIRECTIONS)
@each(("axis", "sign"), AXES)
def test_the_shortcut_gives_the_sums_of_single_rays(back_end, rng, shortcuts, name, axis, sign):
    grid = grid_of(name)
    volume = rng.normal(size=grid.shape).astype(np.float32)
    # All kinds of beam, and all turns of the detector in its plane, for one of them each.
    chosen = [(kind, TURNS[(3 * n + axis) % 8]) for n, kind in enumerate(KINDS)] + [("cone", turn) for turn in TURNS]
    views = [detector(grid, axis, sign, *how) for how in chosen]
    pictures = project(volume, grid, views)
    # Without the kernel a sum along an axis is the only one; a turned grid's rays lean by a rounding error.
    taken = shortcuts()
    assert taken == len(views) if back_end == "numba" else name in ("oblique", "both") or taken == 1
    for how, found, expected in zip(chosen, pictures, ray_by_ray(volume, grid, views), strict=True):
        assert found.dtype == torch.float32
        assert difference(found, expected) < FLOAT32, how


@each("distance", [None, 400.0])
@each("word", ["AP", "PA", "LAT", "RLAT"])
def test_the_views_of_a_ct(back_end, rng, shortcuts, word, distance):
    volume = rng.normal(size=grid_of().shape).astype(np.float32)
    for grid in (grid_of(), grid_of("left-handed")):
        view = view_projection(word, grid.centre, (24, 20), 2.5, distance)
        whole = view_projection(word, grid.centre, (24, 20), grid.spacing[0], distance)
        for chosen in (view, whole):
            assert difference(project(volume, grid, [chosen])[0], ray_by_ray(volume, grid, [chosen])[0]) < FLOAT32
    assert shortcuts() == (4 if back_end == "numba" or distance is None else 0)


def test_a_parallel_sum_in_float64(rng, shortcuts):
    grid = grid_of()
    volume = rng.normal(size=grid.shape)
    views = [detector(grid, axis, sign, "along", turn) for (axis, sign), turn in zip(AXES, TURNS, strict=False)]
    for found, expected in zip(project(volume, grid, views), ray_by_ray(volume, grid, views), strict=True):
        assert found.dtype == torch.float64
        assert difference(found, expected) < 1e-12
    assert shortcuts() == len(views)


@each("axis", range(3))
def test_pixels_on_voxels_are_the_sum_of_their_voxels(back_end, rng, axis):
    grid = grid_of()
    volume = rng.normal(size=grid.shape).astype(np.float32)
    column, row = (a for a in (0, 1, 2) if a != axis)
    spacing, size = ((values[row], values[column]) for values in (grid.spacing, grid.size))
    view = Projection(grid.origin, np.eye(3)[column], np.eye(3)[row], spacing, size, ray_direction=np.eye(3)[axis])
    found = project(volume, grid, [view])[0]
    assert difference(found, volume.astype(np.float64).sum(axis=2 - axis) * grid.spacing[axis]) < 1e-6


@each("kind", ["cone", "along", "leaning"])
@each("axis", range(3))
def test_detectors_beside_the_volume(back_end, rng, axis, kind):
    grid = grid_of()
    volume = rng.normal(size=grid.shape).astype(np.float32)
    view = detector(grid, axis, 1, kind)
    for right, down in ((12.0, 0.0), (-14.0, 15.0), (0.0, -13.0)):
        partly = replace(view, origin=view.origin + right * view.row_direction + down * view.column_direction)
        expected = ray_by_ray(volume, grid, [partly])[0]
        assert (expected == 0).any() and difference(project(volume, grid, [partly])[0], expected) < FLOAT32
    away = replace(view, origin=view.origin + 500 * view.row_direction)
    assert project(volume, grid, [away])[0].abs().max() == 0


@each("thin", [(1, 14, 12), (14, 1, 12), (12, 14, 1), (2, 14, 12), (1, 1, 12), (1, 1, 1)])
@each("axis", range(3))
def test_thin_volumes(back_end, rng, thin, axis):
    grid = grid_of("straight", thin)
    volume = rng.normal(size=grid.shape).astype(np.float32)
    for kind in KINDS:
        view = detector(grid, axis, -1, kind, size=(15, 21), spacing=(0.8, 0.9))
        assert difference(project(volume, grid, [view])[0], ray_by_ray(volume, grid, [view])[0]) < FLOAT32, kind


@each("place", [-3.3, -0.4, 0.02, 4.3, 6.03, 11.9, 12.5])
@each(("axis", "sign"), AXES)
def test_sources_in_and_near_the_volume(back_end, rng, axis, sign, place):
    # Planes count that lie ahead of the source, however near it is: in index units it stands at ``place`` of 13 planes.
    grid = grid_of("straight", (13, 13, 13))
    volume = rng.normal(size=grid.shape).astype(np.float32)
    view = detector(grid, axis, sign, "cone")
    index = np.full(3, 6.2)
    index[axis] = place if sign > 0 else 12 - place
    source = grid.affine[:3, :3] @ index + grid.affine[:3, 3]
    ahead = 50.0 * sign * grid.direction[:, axis]
    view = replace(view, source=source, origin=view.origin - view.centre + source + ahead)
    found = aligned(grid, view)
    assert found is not None
    expected = ray_by_ray(volume, grid, [view])[0]
    if place < 12:
        assert difference(project(volume, grid, [view])[0], expected) < 2 * FLOAT32
    else:
        assert expected.abs().max() == project(volume, grid, [view])[0].abs().max() == 0


@each("side", [-1, 1])
def test_a_source_where_a_plane_is_sampled(back_end, rng, side):
    # Seen twice, a plane is looked at 0.41 gaps before it: there all pixels of a row meet in the source.
    grid = grid_of("straight", (13, 13, 13))
    volume = rng.normal(size=grid.shape).astype(np.float32)
    for place in range(3, 9):
        source = grid.affine[:3, :3] @ [6.2, place + side * 6**-0.5, 6.2] + grid.affine[:3, 3]
        view = Projection(source + np.array([-21, 30, 17]), [1, 0, 0], [0, 0, -1], (2.0, 2.1), (19, 21), source=source)
        assert aligned(grid, view) is not None
        assert difference(project(volume, grid, [view])[0], ray_by_ray(volume, grid, [view])[0]) < FLOAT32


def test_what_is_no_stand(rng):
    grid = grid_of()
    for axis, sign in AXES:
        for kind in KINDS:
            view = detector(grid, axis, sign, kind)
            # A parallel beam may lean as it likes, as long as its pixels keep to their rows and columns.
            for turn in (
                view.normal,
                view.row_direction + view.normal,
                view.row_direction + view.column_direction + 0.3 * view.normal,
            ):
                matrix = torch.linalg.matrix_exp(1e-3 * torch.as_tensor(np.cross(np.eye(3), turn))).numpy()
                assert aligned(grid, view.moved(matrix, grid.centre)) is None
    assert aligned(grid, replace(view, size=(1, 23))) is None
    cone = detector(grid, 1, 1, "cone")
    corner = cone.origin - 300 * (cone.row_direction + cone.column_direction)
    assert aligned(grid, replace(cone, spacing=(30.0, 30.0), origin=corner)) is None  # its outer rays follow other axes


@each("angle", [0, 1e-8, 1e-7, 1e-6, 5e-6, 1e-5, 1e-3])
@each("kind", KINDS)
def test_detectors_that_are_nearly_along_the_voxel_axes(back_end, rng, angle, kind):
    grid = grid_of("straight", (30, 28, 26))
    volume = rng.normal(size=grid.shape).astype(np.float32)
    pose = torch.eye(4, dtype=torch.float64)
    turn = torch.tensor([[0.0, -1, 0.5], [1, 0, 0.7], [-0.5, -0.7, 0]], dtype=torch.float64)
    pose[:3, :3] = torch.linalg.matrix_exp(angle * turn)
    for axis in range(3):
        view = detector(grid, axis, 1, kind, size=(30, 40))
        found = project(volume, grid, [view], pose)[0]
        assert difference(found, ray_by_ray(volume, grid, [view], pose)[0]) < 2 * FLOAT32


def test_few_pixels_are_looked_at_one_by_one(rng, shortcuts, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)
    grid = grid_of("straight", (30, 28, 26))
    volume = rng.normal(size=grid.shape).astype(np.float32)
    few, more = (detector(grid, 1, 1, "cone", size=(rows, 12), spacing=(4.0, 4.0)) for rows in (4, 12))
    assert difference(project(volume, grid, [few])[0], ray_by_ray(volume, grid, [few])[0]) < FLOAT32
    assert shortcuts() == 0
    project(volume, grid, [more])
    assert shortcuts() == 1


@each("kind", KINDS)
@each("axis", range(3))
def test_the_adjoint_of_a_shortcut(back_end, rng, axis, kind):
    # The adjoint goes ray by ray, and is the transpose all the same.
    grid = grid_of("left-handed")
    view = detector(grid, axis, 1, kind, TURNS[5])
    volume, picture = rng.normal(size=grid.shape).astype(np.float32), rng.normal(size=view.size).astype(np.float32)
    found = project(volume, grid, [view])[0].numpy().astype(np.float64)
    back = backproject([picture], grid, [view]).numpy().astype(np.float64)
    gap = (found * picture).sum() - (back * volume).sum()
    assert abs(gap) <= 1e-5 * np.linalg.norm(found) * np.linalg.norm(picture)
