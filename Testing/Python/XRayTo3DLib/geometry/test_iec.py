"""Angles of radiotherapy: checked against where a person would point, and round trips of any pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.iec import IecPose, from_iec, gantry_and_couch, is_aimed_at, source_direction, to_iec
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection


@each(
    ("gantry", "couch", "source"),
    [
        (0, 0, (0, -1, 0)),  # above a patient who lies supine
        (90, 0, (1, 0, 0)),  # at the patient's left
        (180, 0, (0, 1, 0)),
        (270, 0, (-1, 0, 0)),
        # The couch turned counter-clockwise, seen from above, by 90 degrees: the feet are where the left side was.
        (90, 90, (0, 0, -1)),
        (90, -90, (0, 0, 1)),
        (0, 57, (0, -1, 0)),  # turning about the beam
    ],
)
def test_where_the_source_is(gantry, couch, source):
    np.testing.assert_allclose(source_direction(gantry, couch), source, atol=1e-12)


def test_every_direction_has_angles(rng):
    for axis in rng.normal(size=(200, 3)):
        axis = axis / np.linalg.norm(axis)
        gantry, couch = gantry_and_couch(axis)
        assert 0 <= gantry < 360 and -90 <= couch <= 90
        np.testing.assert_allclose(source_direction(gantry, couch), axis, atol=1e-9)


@each(("view", "gantry"), [("AP", 0), ("PA", 180), ("LLAT", 270), ("RLAT", 90), ("AP+10", 350)])
def test_named_views(view, gantry):
    projection = view_projection(view, (10, 20, 30), (40, 30), (1.0, 2.0), 1020.0, 700.0)
    pose = to_iec(projection, (10, 20, 30))
    assert (pose.gantry, pose.couch, pose.receptor) == pytest.approx((gantry, 0, 0), abs=1e-9)
    assert (pose.source_to_axis, pose.source_to_image) == pytest.approx((700, 1020))
    assert pose.isocentre == pytest.approx((10, 20, 30))
    # A picture that is seen from the detector has its first pixel at the other side.
    side = 1 if view == "PA" else -1
    assert pose.position == pytest.approx((side * 29, 19.5))
    assert (pose.row, pose.column) == ((-side, 0), (0, -1))


def test_a_receptor_turned_counter_clockwise_seen_from_the_source():
    pose = IecPose(0, 0, 90, 1000, 1500, (0, 0, 0), (0, 0), (1, 1))
    projection = from_iec(pose, (4, 5))
    # Seen from above the patient, the patient's left is to the right and the head up: x of the receptor turns to the head.
    np.testing.assert_allclose(projection.row_direction, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(projection.column_direction, (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(projection.source, (0, -1000, 0), atol=1e-9)


@each("known", [True, False])
def test_any_pose_comes_back(rng, known):
    for _ in range(100):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        row, column, normal = turn
        origin = rng.normal(size=3) * 300
        height = rng.choice([-1, 1]) * rng.uniform(300, 2000)
        source = origin + rng.normal() * 100 * row + rng.normal() * 100 * column + height * normal
        projection = Projection(origin, row, column, (0.3, 0.7), (40, 30), source=source)
        aim = source - np.sign(height) * rng.uniform(50, 2500) * normal + rng.normal() * 50 * row if known else None
        pose = to_iec(projection, aim)
        found = from_iec(pose, (40, 30))
        for name in ("origin", "source"):
            np.testing.assert_allclose(getattr(found, name), getattr(projection, name), atol=1e-9)
        for name in ("row_direction", "column_direction"):
            np.testing.assert_allclose(getattr(found, name), getattr(projection, name), atol=1e-12)
        axis = np.array(pose.isocentre) - source
        assert np.linalg.norm(np.cross(axis, normal)) < 1e-9  # the isocentre is on the beam's axis
        if aim is not None:
            assert abs((aim - pose.isocentre) @ normal) < 1e-9  # and the nearest such point


def test_what_has_no_gantry_is_refused():
    with pytest.raises(InputError, match="parallel beam"):
        to_iec(view_projection("AP", source_to_detector=None))
    with pytest.raises(InputError, match="behind the source"):
        to_iec(view_projection("AP"), (0, -2000, 0))


def test_a_beam_is_aimed_at_points_of_its_axis_before_the_source():
    centred = view_projection("LAO30CRAN15", (1, 2, 3), (12, 16), 2.0, 1000.0, 700.0)
    moved = replace(centred, origin=centred.origin + 40 * centred.row_direction)  # the axis stays where it is
    towards, aside = centred.beam_direction, centred.row_direction
    for projection in (centred, moved):
        aims = [
            is_aimed_at(projection, np.array((1, 2, 3)) + a * towards + b * aside)
            for a, b in ((0, 0), (99, 0.4), (0, 0.6), (-701, 0))
        ]
        assert aims == [True, True, False, False]
    assert not is_aimed_at(view_projection("AP", (0, 0, 0), (12, 16), 2.0, None), (0, 0, 0))
