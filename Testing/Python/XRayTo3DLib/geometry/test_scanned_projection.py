"""The third kind of projection: source and detector travel along one axis of the picture."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.iec import to_iec
from XRayTo3DLib.geometry.overlap import check_overlap, chord_lengths
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import ViewSpec, beam_fields, view_projection

ISOCENTRE = (10.0, -20.0, 300.0)


def scanned(view="AP", axis="column", size=(60, 50), spacing=(2.0, 3.0)):
    return view_projection(view, ISOCENTRE, size, spacing, 1085.0, 595.0, scan_axis=axis)


def test_perspective_across_and_parallel_along():
    # 40 mm to the side and 30 mm up, in the isocentre's plane and 100 mm nearer to the source.
    for axis, up, aside in (("column", 1.0, 1085 / 595), ("row", 1085 / 595, 1.0)):
        view, nearer = scanned(axis=axis), 1085 / 495 * 595 / 1085
        for depth, more in ((0.0, 1.0), (-100.0, nearer)):
            column, row = view.project(np.add(ISOCENTRE, [[40.0, depth, 30.0]]))[0]
            more_up, more_aside = (1.0, more) if axis == "column" else (more, 1.0)
            assert (column - 24.5) * 3 == pytest.approx(40 * aside * more_aside)
            assert (29.5 - row) * 2 == pytest.approx(30 * up * more_up)
        assert view.magnification(ISOCENTRE) == pytest.approx((up, aside))
        assert np.isnan(view.project(np.add(ISOCENTRE, [[0.0, -600.0, 0.0]]))).all()


def test_every_ray_is_at_right_angles_to_the_scan_and_lands_on_its_pixel(rng):
    for view in ("LAT", "AP+20", "LAO30CRAN15"):
        for axis in ("column", "row"):
            pose = scanned(view, axis)
            points, directions = pose.rays()
            assert np.abs(directions @ pose.scan_direction).max() < 1e-12
            rows, columns = np.divmod(np.arange(len(points)), pose.size[1])
            landed = pose.project(points + rng.uniform(100, 1500, (len(points), 1)) * directions)
            assert landed == pytest.approx(np.stack([columns, rows], axis=1), abs=1e-9)


def test_one_form_whatever_is_given():
    view = scanned()
    # The source's place along the scan says nothing; leaning axes are set straight; every way of keeping it gives it back.
    assert replace(view, source=np.add(view.source, [0, 0, 77.0])) == view
    lean = replace(view, row_direction=view.row_direction + 3e-5 * view.column_direction)
    assert lean == view and lean.row_direction @ lean.column_direction == 0
    assert Projection.from_dict(view.to_dict()) == view == pickle.loads(pickle.dumps(view))
    assert hash(view) == hash(Projection.from_dict(view.to_dict()))
    others = view, scanned(axis="row"), replace(view, scan_axis=None)
    assert len({*others}) == 3 and [v.beam for v in others] == ["scanned", "scanned", "cone"]
    assert [v.is_cone for v in others] == [False, False, True]


def test_parts_and_motions_keep_the_rays(rng):
    points = np.add(ISOCENTRE, rng.uniform(-80, 80, (20, 3)))
    for axis in ("column", "row"):
        view = scanned("LAO20CRAN10", axis)
        there = view.project(points)
        assert view.cropped((slice(7, 31), slice(-4, 20))).project(points) == pytest.approx(there - [-4, 7])
        coarse = view.coarsened((4, 3)).project(points)
        assert coarse == pytest.approx((there - [1.0, 1.5]) / [3, 4])
        assert view.resampled((120, 100), (1.0, 1.5)).project(points) == pytest.approx(2 * there + 0.5)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn *= np.linalg.det(turn)
        shift = np.array([5.0, -9.0, 31.0])
        moved = view.transformed(np.vstack([np.column_stack([turn, shift]), [0, 0, 0, 1]]))
        assert moved.scan_axis == axis and moved.project(points @ turn.T + shift) == pytest.approx(there)


def test_what_cannot_be_is_refused():
    view = scanned()
    for wrong in ({"scan_axis": "diagonal"}, {"source": None, "ray_direction": (0, 1, 0)}):
        with pytest.raises(InputError, match="scanned along"):
            replace(view, **wrong)
    with pytest.raises(InputError, match="no 3x4 projection matrix"):
        _ = view.matrix
    with pytest.raises(InputError, match="scanned beam has no source that stands still"):
        to_iec(view)
    with pytest.raises(InputError, match="cone beam stands still"):
        _ = replace(view, scan_axis=None).scan_direction
    with pytest.raises(InputError, match="source-to-detector"):
        ViewSpec.parse("AP", source_to_detector=None, scan_axis="column")
    with pytest.raises(InputError, match="use one of cone, parallel, scanned"):
        beam_fields("fan")
    with pytest.raises(InputError, match="parallel beam"):
        beam_fields("parallel", 1000.0)


def test_a_view_of_a_volume_just_holds_it():
    grid = Grid.centred(ISOCENTRE, (50, 40, 90), 4.0)
    spec = ViewSpec.parse("AP", spacing=1.0, **beam_fields("scanned"))
    view = spec.projection(grid)
    assert view.source_to_detector == pytest.approx(1085) and np.linalg.norm(view.source - grid.centre) == pytest.approx(595)
    low, high = view.project(grid.corners).min(axis=0), view.project(grid.corners).max(axis=0)
    assert (low > -0.5).all() and (low < 2).all() and (high < np.array(view.size[::-1]) - 0.5).all()
    assert view.size[0] == pytest.approx(360, abs=3)  # 1:1 along the scan
    assert view.size[1] == pytest.approx(200 * 1085 / (595 - 80), abs=3)


def test_where_it_meets_a_volume():
    grid = Grid.centred(ISOCENTRE, 40, 4.0)
    check_overlap(grid, scanned(), "AP")
    # The source travels past: level with the volume only far from the middle of the scan.
    near = view_projection("AP", (10.0, -20.0, 700.0), (600, 50), 2.0, 400.0, 40.0, scan_axis="column")
    with pytest.raises(InputError, match="stands inside the volume"):
        check_overlap(grid, near, "AP")
    check_overlap(grid, replace(near, scan_axis=None, source=near.source - [0, 200, 0]), "AP")
    above = view_projection("AP", (10.0, -20.0, 500.0), (60, 50), 2.0, 1085.0, 595.0, scan_axis="column")
    with pytest.raises(InputError, match="misses the volume"):  # a cone's rays would reach down to it
        check_overlap(grid, above, "AP")
    chords = chord_lengths(grid, scanned(size=(61, 51)))
    assert chords[30, 25] == pytest.approx(160) and chords[0, 25] == pytest.approx(160)
    assert chords[30, 35] == pytest.approx(160 * np.hypot(1085, 30) / 1085)
