"""The virtual detector removes everything about a radiograph but its view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.reconstruction.methods import virtual_detector
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((0, 0, 0), (48, 32, 48), 8.0)


def reference(volume, projection):
    return render_drr(volume, [virtual_detector.virtual_projection(projection, GRID)])[0].line_integrals


@each(("view", "distance"), [("AP", None), ("LAT+8", None), ("AP", 1400.0), ("LAO30CRAN10", 1000.0), ("PA", 1400.0)])
def test_fine_offset_turned_detectors_all_give_the_same_virtual_picture(phantom_volume, view, distance):
    real = view_projection(view, (15, -10, 5), (420, 420), 2.0, distance)
    turned = np.radians(20)
    rows = np.cos(turned) * real.row_direction + np.sin(turned) * real.column_direction
    columns = -np.sin(turned) * real.row_direction + np.cos(turned) * real.column_direction
    corner = real.centre - 209.5 * 2.0 * (rows + columns)
    turned_detector = replace(real, origin=corner, row_direction=rows, column_direction=columns)
    wanted = reference(phantom_volume, real)
    for projection in (real, turned_detector):
        picture = render_drr(phantom_volume, [projection])[0]
        found = virtual_detector.to_virtual(picture.line_integrals, projection, GRID)
        assert np.abs(found - wanted).mean() < 0.02 * wanted.mean()


def test_aligned_parallel_pixels_are_taken_unchanged(phantom_volume):
    real = view_projection("AP", GRID.centre, (48, 48), 8.0, None)
    picture = render_drr(phantom_volume, [real])[0].line_integrals
    found = virtual_detector.to_virtual(picture, real, GRID)
    margin = (found.shape[0] - 48) // 2
    np.testing.assert_allclose(found[margin : margin + 48, margin : margin + 48], picture, atol=1e-5)


@each("distance", [None, 1000.0])
def test_matrix_puts_points_on_pixels_and_measures_depth(distance):
    virtual = virtual_detector.virtual_projection(view_projection("LAT", GRID.centre, (8, 8), 4.0, distance), GRID)
    matrix = virtual_detector.matrix(virtual, GRID)
    point = np.array([40.0, -30.0, 20.0])  # 40 mm further along the left lateral beam
    column, row, depth, w = matrix @ np.append(point, 1)
    np.testing.assert_allclose([column / w, row / w], virtual.project(point[None])[0])
    assert depth == pytest.approx(40.0 / 8.0)
    assert (matrix @ np.append(GRID.centre, 1))[3] == pytest.approx(1.0)


def test_beam_names_the_axis_in_the_grids_own_frame(turn):
    turned = Grid(GRID.size, GRID.spacing, (0, 0, 0), turn)
    projection = view_projection(turn[:, 1], turned.centre, (8, 8), 4.0, 1000.0)
    told = virtual_detector.beam(virtual_detector.virtual_projection(projection, turned), turned)
    np.testing.assert_allclose(told[:3], [0, 1, 0], atol=1e-9)
    assert told[3] == pytest.approx(48 * 8.0 / 800.0)


@each(("view", "distance"), [("LAT+10", None), ("LAO30CRAN10", 1000.0)])
def test_mirrored_views_are_the_views_of_the_mirrored_patient(phantom_volume, turn, view, distance):
    """What the library would compute for the mirrored beam is what ``mirrored`` says."""
    projection = view_projection(view, GRID.centre, (8, 8), 4.0, distance)
    flip = np.diag([-1.0, 1.0, 1.0])
    opposite = view_projection(flip @ projection.beam_direction, GRID.centre, (8, 8), 4.0, distance)
    virtual, other = (virtual_detector.virtual_projection(p, GRID) for p in (projection, opposite))
    matrices, beams = virtual_detector.mirrored(
        virtual_detector.matrix(virtual, GRID)[None], virtual_detector.beam(virtual, GRID)[None], GRID, virtual.size[1]
    )
    np.testing.assert_allclose(matrices[0], virtual_detector.matrix(other, GRID), atol=1e-9)
    np.testing.assert_allclose(beams[0], virtual_detector.beam(other, GRID), atol=1e-12)
    flipped = Grid(GRID.size, GRID.spacing, GRID.origin)
    mirror = type(phantom_volume)(resample(phantom_volume, flipped).array[:, :, ::-1].copy(), flipped)
    straight = render_drr(resample(phantom_volume, flipped), [virtual])[0].line_integrals
    np.testing.assert_allclose(render_drr(mirror, [other])[0].line_integrals[:, ::-1], straight, atol=1e-4)
