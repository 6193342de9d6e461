"""What the words for views mean, checked by where landmarks of the patient land on the picture."""

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import carm_direction, parse_view, view_projection

LEFT, RIGHT = [50.0, 0, 0], [-50.0, 0, 0]
FRONT, BACK = [0, -50.0, 0], [0, 50.0, 0]
HEAD, FEET = [0, 0, 50.0], [0, 0, -50.0]


def land(view: str, *points, **settings):
    """(column, row) of each point relative to the middle of the picture, and depth from the source along the beam."""
    projection = view_projection(view, size=(101, 101), spacing=2.0, **settings)
    at = projection.project(np.array(points)) - 50
    depth = (np.array(points) - projection.source) @ projection.beam_direction if projection.is_cone else None
    return at, depth


@pytest.mark.parametrize("view", ["AP", "PA", "LAT", "LLAT", "RLAT", "LAO30", "RAO20", "LAO30CRAN15", "RAO20CAUD10", "AP+10"])
def test_every_picture_stands_upright_around_the_isocentre(view):
    at, _ = land(view, HEAD, FEET, [0, 0, 0])
    assert at[0, 1] < -10 and at[1, 1] > 10
    assert at[2] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("view", ["AP", "PA", "LAO30", "RAO20", "CRAN20"])
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


@pytest.mark.parametrize("size", [64, (64,), (64, 64, 1), "64", (64.5, 64), (0, 64), (-1, 64), None, ("a", "b"), (True, True)])
def test_sizes_that_no_detector_has_are_refused(size):
    with pytest.raises(InputError, match=r"detector size .* must be \(rows, columns\)"):
        view_projection("AP", size=size)


@pytest.mark.parametrize("spacing", [0, -1.0, "a", None, (1.0, 2.0, 3.0), (1.0, "b"), float("nan"), (1.0, float("inf"))])
def test_spacings_that_no_detector_has_are_refused(spacing):
    with pytest.raises(InputError, match=r"pixel spacing .* must be one or two positive numbers"):
        view_projection("AP", spacing=spacing)


@pytest.mark.parametrize("isocentre", ["middle", None, (1.0, 2.0), ("a", "b", "c")])
def test_an_isocentre_that_is_no_point_is_refused(isocentre):
    with pytest.raises(InputError, match="isocentre must be three finite numbers"):
        view_projection("AP", isocentre)
