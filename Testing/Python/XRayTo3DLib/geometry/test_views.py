"""What the words for views mean, checked by where landmarks of the patient land on the picture."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec, carm_direction, fit_projection, parse_view, view_projection

LEFT, RIGHT = [50.0, 0, 0], [-50.0, 0, 0]
FRONT, BACK = [0, -50.0, 0], [0, 50.0, 0]
HEAD, FEET = [0, 0, 50.0], [0, 0, -50.0]


def land(view: str, *points, **settings):
    """(column, row) of each point relative to the middle of the picture, and depth from the source along the beam."""
    projection = view_projection(view, size=(101, 101), spacing=2.0, **settings)
    at = projection.project(np.array(points)) - 50
    depth = (np.array(points) - projection.source) @ projection.beam_direction if projection.is_cone else None
    return at, depth


@each("view", ["AP", "PA", "LAT", "LLAT", "RLAT", "LAO30", "RAO20", "LAO30CRAN15", "RAO20CAUD10", "AP+10"])
def test_every_picture_stands_upright_around_the_isocentre(view):
    at, _ = land(view, HEAD, FEET, [0, 0, 0])
    assert at[0, 1] < -10 and at[1, 1] > 10
    assert at[2] == pytest.approx(0, abs=1e-9)


@each("view", ["AP", "PA", "LAO30", "RAO20", "CRAN20"])
def test_frontal_pictures_have_the_patients_left_on_the_right(view):
    at, _ = land(view, LEFT, RIGHT)
    assert at[0, 0] > 10 and at[1, 0] < -10


def test_ap_and_pa_magnify_opposite_sides():
    # The side nearer to the tube is larger: the back in PA, the front in AP.
    for view, near, far in (("AP", FRONT, BACK), ("PA", BACK, FRONT)):
        at, depth = land(view, np.add(near, LEFT), np.add(far, LEFT))
        assert depth[0] < depth[1] and at[0, 0] > at[1, 0] > 0


def test_the_left_lateral_has_the_left_side_on_the_detector():
    at, depth = land("LAT", LEFT, RIGHT, FRONT, BACK)
    assert depth[0] > depth[1]
    assert at[2, 0] > 0 > at[3, 0]
    at, depth = land("RLAT", LEFT, RIGHT, FRONT, BACK)
    assert depth[0] < depth[1]
    assert at[2, 0] < 0 < at[3, 0]


def test_c_arm_angles_say_where_the_detector_stands():
    def detector(view):
        return view_projection(view, source_to_detector=1000.0, source_to_isocentre=700.0).centre

    assert detector("LAO30") == pytest.approx([300 * 0.5, -300 * np.sqrt(3) / 2, 0])
    assert detector("RAO20")[0] < 0
    assert detector("CRAN20") == pytest.approx([0, -300 * np.cos(np.radians(20)), 300 * np.sin(np.radians(20))])
    assert detector("LAO10CAUD25")[2] < 0 < detector("LAO10CRAN25")[2]
    assert carm_direction(0, 0) == pytest.approx([0, -1, 0])
    assert carm_direction(90, 0) == pytest.approx([1, 0, 0])


def test_a_turn_goes_from_ap_towards_the_left_lateral():
    assert parse_view("AP+90")[0] == pytest.approx(parse_view("LAT")[0])
    assert parse_view("AP-90")[0] == pytest.approx(parse_view("RLAT")[0])
    a, b = view_projection("AP"), view_projection("AP+10")
    assert a.angle_to(b) == pytest.approx(10) and b.beam_direction[0] > 0


def test_words_are_forgiving_about_case_and_space_only():
    assert parse_view(" lao 30 cran 15 ")[0] == pytest.approx(parse_view("LAO30CRAN15")[0])
    assert parse_view("frontal")[0] == pytest.approx(parse_view("AP")[0])
    for word in ("", "AXIAL", "LAO", "AP10", "LAO30XYZ5", "LAT++5"):
        with pytest.raises(InputError, match="AP, PA, LAT"):
            parse_view(word)


def test_distances_and_magnification():
    projection = view_projection("AP", (0, 0, 0), (101, 101), 1.0, 1000.0, 800.0)
    assert np.linalg.norm(projection.source) == pytest.approx(800)
    at = projection.project(np.array([[40.0, 0, 0]])) - 50
    assert at[0] == pytest.approx([40 * 1000 / 800, 0])
    parallel = view_projection("AP", source_to_detector=None, size=(101, 101), spacing=1.0)
    assert parallel.project(np.array([[40.0, 33, 0]]))[0] - 50 == pytest.approx([40, 0])
    for bad in (0.0, 1001.0, -5.0):
        with pytest.raises(InputError, match="source-to-isocentre"):
            view_projection("AP", source_to_detector=1000.0, source_to_isocentre=bad)


def test_an_axis_from_above_needs_another_up():
    at = view_projection([0, 0, -1], size=(11, 11), spacing=10.0).project(np.array([FRONT, BACK]))
    assert np.isfinite(at).all() and abs(at[0, 1] - at[1, 1]) > 5


def test_rows_and_columns_have_their_own_spacing():
    projection = view_projection("AP", spacing=(2.0, 5.0), source_to_detector=None, size=(11, 11))
    at = projection.project(np.array([LEFT, HEAD])) - 5
    assert at == pytest.approx(np.array([[10, 0], [0, -25]]))


@each("size", [64, (64,), (64, 64, 1), "64", (64.5, 64), (0, 64), (-1, 64), None, ("a", "b"), (True, True)])
def test_sizes_that_no_detector_has_are_refused(size):
    with pytest.raises(InputError, match=r"detector size .* must be \(rows, columns\)"):
        view_projection("AP", size=size)


@each("spacing", [0, -1.0, "a", None, (1.0, 2.0, 3.0), (1.0, "b"), float("nan"), (1.0, float("inf"))])
def test_spacings_that_no_detector_has_are_refused(spacing):
    with pytest.raises(InputError, match=r"pixel spacing .* must be one or two positive numbers"):
        view_projection("AP", spacing=spacing)


def test_wrong_types_are_one_sentence():
    for isocentre in ("middle", None, (1.0, 2.0), ("a", "b", "c"), ("1", "2", "3")):
        with pytest.raises(InputError, match="isocentre must be three finite numbers"):
            view_projection("AP", isocentre)
    for distance in ("far", "1500", (1000.0,), True, {}, 0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError, match="source-to-detector distance"):
            view_projection("AP", source_to_detector=distance)
        with pytest.raises(InputError, match="source-to-isocentre distance"):
            view_projection("AP", source_to_isocentre=distance)
    for distance in ("far", (1.0,), True, float("nan"), 1e9):
        with pytest.raises(InputError, match="source-to-isocentre distance"):
            view_projection("AP", source_to_detector=None, source_to_isocentre=distance)
    for angles in (("30", 0), (None, 0), (float("nan"), 0), (0, float("inf")), ([1, 2], 0)):
        with pytest.raises(InputError, match="C-arm angles"):
            carm_direction(*angles)
    for view in (None, 5, {}, (0, 1), (0, 0, 0), ("a", "b", "c")):
        with pytest.raises(InputError):
            view_projection(view)
    for word in (None, 5, ("AP",)):
        with pytest.raises(InputError, match="AP, PA, LAT"):
            parse_view(word)


def test_a_view_is_one_value_and_its_numbers_do_not_go_through_words():
    spec = ViewSpec.parse("LAT+10", size=(30, 40), spacing=1.5, isocentre=(1, 2, 3))
    assert spec == ViewSpec.parse("LAT+10", size=(30, 40), spacing=(1.5, 1.5), isocentre=np.array([1.0, 2, 3]))
    assert len({spec, replace(spec), replace(spec, spacing=2.0)}) == 2
    assert spec.name == "LAT+10" and spec.projection() == view_projection("LAT+10", (1, 2, 3), (30, 40), 1.5)
    with pytest.raises(FrozenInstanceError):
        spec.size = (3, 3)
    for primary, secondary in ((0.0, 0.0), (1e-7, -3e-9), (33.123456789012, -12.000000001), (-179.5, 64.25)):
        view = ViewSpec.from_angles(primary, secondary)
        assert view.angles == pytest.approx((primary, secondary), abs=1e-12) and view.mirrored
    assert ViewSpec.parse("LAO30CRAN15").angles == pytest.approx((30, 15))
    # Words hold small numbers too, as a format like {:g} writes them.
    assert ViewSpec.parse(f"LAO{1e-5:g}").angles[0] == pytest.approx(1e-5) and ViewSpec.parse("RAO2E+1").angles[0] == -20
    assert parse_view(f"AP{-2e-5:+g}")[0][0] == pytest.approx(np.sin(np.radians(-2e-5)), rel=1e-9)


def test_a_view_is_aimed_and_sized_by_what_is_x_rayed():
    grid = Grid.centred((10, 20, 30), (30, 20, 40), 10.0)
    for isocentre in (None, (0, 0, 0), (40, -30, 60)):
        for distance in (None, 1500.0):
            view = ViewSpec.parse("LAO20", isocentre=isocentre, spacing=3.0, source_to_detector=distance)
            projection = view.projection(grid)
            corners = projection.project(grid.corners)
            assert (corners > -0.5).all() and (corners < np.array(projection.size[::-1]) - 0.5).all()
            # The ray through the detector's middle passes through the isocentre.
            middle = (np.array(projection.size[::-1]) - 1) / 2
            aim = grid.centre if isocentre is None else np.array(isocentre)
            np.testing.assert_allclose(projection.project(aim[None]), [middle], atol=1e-6)
    assert fit_projection("AP", grid, 3.0) == ViewSpec.parse("AP", spacing=3.0).projection(grid)
    inside = ViewSpec.parse("AP", source_to_detector=150.0, source_to_isocentre=20.0)
    with pytest.raises(InputError, match="source of AP stands inside"):
        inside.projection(grid)
    assert replace(inside, size=(4, 4)).projection(grid).size == (4, 4)
    with pytest.raises(InputError, match="no detector size"):
        inside.projection()
