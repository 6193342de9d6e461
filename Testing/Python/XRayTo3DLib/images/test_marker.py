"""Scale from a marker: the disc is found to a tenth of a pixel, and its height above the detector counts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.marker import GUESSED_MM, find_disc, rescaled, scaled_by_marker
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.radiographs import read_radiograph


def shown(row: float, column: float, diameter: float, step: float, size: int = 160, sphere: bool = False) -> Radiograph:
    """A slope with a disc or sphere on it, its edge drawn to a part of a pixel, pixels called 1 mm."""
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    away = np.hypot(rows - row, columns - column)
    disc = np.clip(diameter / 2 - away + 0.5, 0, 1)
    if sphere:
        disc = np.minimum(1, 4 * np.sqrt(np.maximum(1 - (2 * away / diameter) ** 2, 0)))
    values = 2 + 0.004 * rows + step * disc
    return Radiograph(values.astype(np.float32), view_projection("AP", (0, 0, 0), (size, size), 1.0, 1500.0, 1200.0), "AP")


def test_discs_are_found_to_a_part_of_a_pixel():
    for row, column, diameter, step in ((60.0, 70.0, 20.0, 3.0), (33.4, 90.7, 13.3, 3.0), (100.2, 50.5, 31.6, -1.5)):
        found = find_disc(shown(row, column, diameter, step))
        assert np.hypot(found.row - row, found.column - column) < 0.15
        assert abs(found.diameter - diameter) < 0.02 * diameter


def test_the_clicked_disc_is_taken_and_what_is_none_is_refused():
    picture = shown(60.0, 40.0, 20.0, 4.0)
    other = shown(60.0, 110.0, 16.0, 3.0)
    both = Radiograph(np.maximum(picture.line_integrals, other.line_integrals), picture.projection, "AP")
    assert abs(find_disc(both, at=(61, 112)).diameter - 16) < 0.4
    assert abs(find_disc(both, at=(58, 41)).diameter - 20) < 0.4
    for wrong, at in ((both, (130.0, 20.0)), (shown(0, 0, 1, 0), None)):
        with pytest.raises(InputError, match="No disc was found"):
            find_disc(wrong, at)


def test_the_height_of_the_marker_magnifies_it():
    for height, sphere in ((0.0, False), (300.0, False), (300.0, True)):
        scaled = scaled_by_marker(shown(60.0, 70.0, 25.0, 3.0, sphere=sphere), 25.0, height)
        expected = 1500 / (1500 - height)
        np.testing.assert_allclose(scaled.projection.spacing, (expected, expected), rtol=0.03 if sphere else 0.01)
        np.testing.assert_allclose(scaled.projection.centre, shown(0, 0, 1, 0).projection.centre, atol=1e-9)
        assert scaled.projection.source_to_detector == pytest.approx(1500) and "magnified" in scaled.notes[-1]
    for diameter, height in ((0.0, 0.0), (-1.0, 0.0), (10.0, -5.0), (10.0, 1500.0), (float("nan"), 0.0)):
        with pytest.raises(InputError, match="marker"):
            scaled_by_marker(shown(60.0, 70.0, 25.0, 3.0), diameter, height)


def test_rescaled_pixels_keep_the_middle():
    projection = shown(0, 0, 1, 0).projection
    back = rescaled(rescaled(projection, 1.7), 1 / 1.7)
    np.testing.assert_allclose(back.matrix / back.matrix[2, 3], projection.matrix / projection.matrix[2, 3], rtol=1e-9, atol=1e-9)


def test_the_mm_of_a_picture_are_a_guess_until_a_marker_gives_them(tmp_path):
    values = shown(60.0, 70.0, 25.0, 3.0).line_integrals
    Image.fromarray((40 * values).astype(np.uint8)).save(tmp_path / "a.png")
    guessed = read_radiograph(tmp_path / "a.png", "AP", 1.0)
    assert GUESSED_MM in guessed.notes
    assert GUESSED_MM not in scaled_by_marker(guessed, 25.0).notes
