from dataclasses import replace

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import unit
from XRayTo3DLib.geometry.views import view_projection

CONE = view_projection("LAO30CRAN15", (10, -20, 30), (40, 50), (1.5, 2.0), 1000.0, 700.0)
PARALLEL = view_projection("AP+10", (10, -20, 30), (40, 50), (1.5, 2.0), None, 100.0)
UNMIRRORED = view_projection("RLAT", (10, -20, 30), (40, 50), (1.5, 2.0), 1000.0, 700.0)
ALL = [CONE, PARALLEL, UNMIRRORED]


def same(a: Projection, b: Projection) -> None:
    for name in ("origin", "row_direction", "column_direction", "source", "ray_direction", "spacing"):
        own, other = getattr(a, name), getattr(b, name)
        assert (own is None) == (other is None), name
        if own is not None:
            assert np.asarray(own) == pytest.approx(np.asarray(other), abs=1e-6), name
    assert a.size == b.size


@each("projection", ALL)
def test_the_matrix_follows_the_rays(projection, rng):
    points, directions = projection.rays()
    picks = rng.integers(0, len(points), 30)
    along = rng.uniform(50, 900, (30, 1))
    landing = projection.project(points[picks] + along * directions[picks])
    assert landing == pytest.approx(np.stack([picks % 50, picks // 50], axis=1), abs=1e-6)


@each("projection", [CONE, UNMIRRORED])
def test_a_cone_matrix_there_and_back(projection):
    for scale in (1.0, -3.0, 1e-4):
        back = Projection.from_matrix(
            scale * projection.matrix, projection.size, projection.spacing, (10, -20, 30), projection.is_mirrored
        )
        same(back, projection)


def test_a_parallel_matrix_there_and_back_with_the_detector_in_the_isocentre():
    back = Projection.from_matrix(2.0 * PARALLEL.matrix, PARALLEL.size, isocentre=(10, -20, 30))
    same(back, view_projection("AP+10", (10, -20, 30), (40, 50), (1.5, 2.0), None))


def test_without_a_spacing_the_rays_are_still_those():
    back = Projection.from_matrix(CONE.matrix, CONE.size, None, (10, -20, 30), mirrored=True)
    assert back.spacing == pytest.approx((0.75, 1.0)) and back.source == pytest.approx(CONE.source)
    points = np.random.default_rng(0).normal(0, 100, (20, 3))
    assert back.project(points) == pytest.approx(CONE.project(points))


def test_a_mirrored_matrix_is_refused_unless_it_is_meant():
    flip = np.array([[-1.0, 0, 49], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(InputError, match="mirrored"):
        Projection.from_matrix(flip @ UNMIRRORED.matrix, UNMIRRORED.size, UNMIRRORED.spacing)
    found = Projection.from_matrix(flip @ UNMIRRORED.matrix, UNMIRRORED.size, UNMIRRORED.spacing, mirrored=True)
    assert found.is_mirrored
    assert found.source == pytest.approx(UNMIRRORED.source)
    with pytest.raises(InputError, match="not mirrored"):
        Projection.from_matrix(UNMIRRORED.matrix, UNMIRRORED.size, UNMIRRORED.spacing, mirrored=True)


def test_a_parallel_matrix_does_not_know_which_way_the_beam_goes():
    # Opposite parallel beams are mirror images of each other: the caller's word decides.
    flip = np.array([[-1.0, 0, 49], [0, 1, 0], [0, 0, 1]])
    one, other = (
        Projection.from_matrix(flip @ PARALLEL.matrix, PARALLEL.size, isocentre=(10, -20, 30), mirrored=mirrored)
        for mirrored in (False, True)
    )
    assert other.is_mirrored and not one.is_mirrored
    assert other.ray_direction == pytest.approx(PARALLEL.ray_direction)
    assert one.ray_direction == pytest.approx(-PARALLEL.ray_direction)


def test_matrices_that_are_no_projection_are_refused():
    size = (40, 50)
    singular = CONE.matrix.copy()
    singular[1] = singular[0]
    parallel_singular = PARALLEL.matrix.copy()
    parallel_singular[1] = parallel_singular[0]
    empty_row = PARALLEL.matrix.copy()
    empty_row[2] = 0
    for matrix in (singular, parallel_singular, empty_row, np.zeros((3, 4))):
        with pytest.raises(InputError, match="singular"):
            Projection.from_matrix(matrix, size)
    with pytest.raises(InputError, match="3x4"):
        Projection.from_matrix(np.eye(4), size)
    with pytest.raises(InputError, match="3x4"):
        Projection.from_matrix(np.full((3, 4), np.nan), size)
    skew = np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]])
    for projection in (UNMIRRORED, PARALLEL):
        with pytest.raises(InputError, match="skewed"):
            Projection.from_matrix(skew @ projection.matrix, size, isocentre=(10, -20, 30))
        with pytest.raises(InputError, match="does not fit"):
            Projection.from_matrix(projection.matrix, size, (1.0, 3.0), (10, -20, 30))


def test_impossible_projections_are_refused():
    for change, words in (
        ({"row_direction": [0, 0, 0]}, "length zero"),
        ({"column_direction": CONE.row_direction}, "right angles"),
        ({"spacing": (0.0, 1.0)}, "positive"),
        ({"size": (0, 4)}, "at least 1"),
        ({"source": None}, "either a source"),
        ({"ray_direction": [0, 1, 0]}, "either a source"),
        ({"source": CONE.centre + 5 * CONE.row_direction}, "detector plane"),
        ({"origin": [np.nan, 0, 0]}, "three finite numbers"),
    ):
        with pytest.raises(InputError, match=words):
            replace(CONE, **change)
    with pytest.raises(InputError, match="along the detector plane"):
        replace(PARALLEL, ray_direction=PARALLEL.row_direction)
    with pytest.raises(InputError, match="length zero"):
        unit([0, 0, 0])


def test_a_projection_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        CONE.origin[0] = 1


def test_points_behind_the_source_have_no_image():
    assert np.isnan(CONE.project(CONE.source - 10 * CONE.beam_direction[None])).all()


def test_distances_and_resampling():
    assert CONE.source_to_detector == pytest.approx(1000) and PARALLEL.source_to_detector is None
    finer = CONE.resampled((80, 100), (0.75, 1.0))
    assert finer.centre == pytest.approx(CONE.centre)
    point = np.array([[13.0, -10, 22]])
    assert (finer.project(point) + 0.5) / 2 == pytest.approx(CONE.project(point) + 0.5)
    assert CONE.angle_to(finer) == pytest.approx(0, abs=1e-5)


def test_a_grid_knows_its_places(turn):
    grid = Grid((4, 5, 6), (1.0, 2.0, 3.0), (7, 8, 9), turn * [1, -1, 1])
    assert grid.shape == (6, 5, 4)
    assert grid.affine @ [3, 4, 5, 1] == pytest.approx([*(np.array([7, 8, 9]) + (turn * [1, -1, 1]) @ [3.0, 8.0, 15.0]), 1])
    assert grid.voxel_volume == pytest.approx(6)
    assert grid.corners.mean(axis=0) == pytest.approx(grid.centre)
    lengths = np.linalg.norm(grid.corners - grid.centre, axis=1)
    assert lengths == pytest.approx(np.linalg.norm([2, 5, 9]))
    assert grid.same_as(Grid((4, 5, 6), (1.0, 2.0, 3.0), (7, 8, 9.0001), turn * [1, -1, 1]))
    assert not grid.same_as(Grid((4, 5, 6), (1.0, 2.0, 3.0), (7, 8, 9.1), turn * [1, -1, 1]))


def test_impossible_grids_are_refused():
    with pytest.raises(InputError, match="positive"):
        Grid((4, 4, 4), (1.0, 0.0, 1.0))
    with pytest.raises(InputError, match="singular"):
        Grid((4, 4, 4), (1.0, 1.0, 1.0), direction=np.diag([1.0, 1.0, 0.0]))


def test_a_centred_grid_is_centred():
    grid = Grid.centred((1, 2, 3), (8, 6, 4), 2.0)
    assert grid.centre == pytest.approx([1, 2, 3]) and grid.spacing == (2, 2, 2)


def test_the_matrix_of_a_calibration_gives_the_nearest_rectangular_detector():
    """Askew, of unequal sides, or both: the middle stays, no rectangular detector is nearer, and the misfit is said."""
    points = np.random.default_rng(0).normal(0, 30, (40, 3)) + np.array([10, -20, 30])
    for projection in (UNMIRRORED, CONE, PARALLEL):
        mirrored, (rows, columns) = projection.is_mirrored, projection.size
        for skew, stretch in ((2e-4, 0), (3e-3, 0), (-1e-2, 0), (0, 3e-3), (4e-3, -5e-3)):
            bend = np.array([[1 + stretch, skew, 7], [0, 1, -3], [0, 0, 1]])
            matrix = -2.5 * bend @ projection.matrix
            for spacing in (None, projection.spacing):
                found = Projection.from_matrix(matrix, projection.size, spacing, (10, -20, 30), mirrored)
                misfit = found.misfit(matrix)
                assert misfit <= (abs(skew) + (abs(stretch) if spacing else 0)) * np.hypot(rows, columns) / 2 + 1e-9
                if spacing is None and not skew:
                    assert misfit < 1e-9
                homogeneous = points @ matrix[:, :3].T + matrix[:, 3]
                assert found.project(points) == pytest.approx(homogeneous[:, :2] / homogeneous[:, 2:], abs=3 * misfit + 1e-9)
                at = found.pixel_positions(np.array([[(rows - 1) / 2, (columns - 1) / 2]]))[0]
                exact = matrix @ [*at, 1]
                assert exact[:2] / exact[2] == pytest.approx([(columns - 1) / 2, (rows - 1) / 2])
        bent = np.array([[1, 4e-3, 0], [0, 1, 0], [0, 0, 1]]) @ projection.matrix
        half = Projection.from_matrix(bent, (101, 101), isocentre=(10, -20, 30), mirrored=mirrored)
        assert 0.1 < half.misfit(bent) < 0.2  # of 4e-3 x 50 pixels, turning takes a part
        for angle in (-5e-4, 5e-4):
            row, column = (half.row_direction + angle * half.column_direction, half.column_direction - angle * half.row_direction)
            turned = replace(half, row_direction=row, column_direction=column)
            turned = replace(turned, origin=turned.origin + half.centre - turned.centre)
            assert turned.misfit(bent) > half.misfit(bent)
