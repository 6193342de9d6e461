"""Looks: bone white or black as asked, a window that air does not set, and never NaN."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.display import LOOKS, clinical_window, to_display
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.pictures import write_picture


def radiograph(values: np.ndarray) -> Radiograph:
    values = np.asarray(values, dtype=np.float32)
    return Radiograph(values, view_projection("AP", size=values.shape, spacing=(0.5, 0.7)), "AP")


@pytest.fixture
def patient(rng: np.random.Generator) -> Radiograph:
    """A body with 1.0 to 5.0 in the middle third of the picture, surrounded by air with a little noise."""
    values = np.abs(rng.normal(0, 0.02, (60, 60)))
    values[20:40, 20:40] = np.linspace(1, 5, 400).reshape(20, 20)
    return radiograph(values)


def test_bone_is_white_on_film_and_black_when_inverted(patient):
    film, inverted = to_display(patient, "film"), to_display(patient, "inverted")
    assert film.dtype == inverted.dtype == np.float32
    assert film[39, 39] == 1 and film[0, 0] < 0.01
    np.testing.assert_allclose(film, 1 - inverted, atol=1e-6)


def test_dicom_words_name_the_same_looks_in_any_case(patient):
    np.testing.assert_array_equal(to_display(patient, "MONOCHROME1"), to_display(patient, "inverted"))
    np.testing.assert_array_equal(to_display(patient, "Monochrome2"), to_display(patient))
    np.testing.assert_array_equal(to_display(patient, "Clinical"), to_display(patient, "clinical"))


def test_opacity_is_the_share_of_the_beam_that_is_stopped():
    shown = to_display(radiograph([[0, np.log(2)], [-0.5, 50]]), "opacity")
    np.testing.assert_allclose(shown, [[0, 0.5], [0, 1]], atol=1e-7)


def test_clinical_window_is_set_by_the_patient_and_not_by_the_air(patient):
    inside = patient.line_integrals[20:40, 20:40]
    low, high = clinical_window(patient.line_integrals, (2, 98))
    assert (low, high) == pytest.approx(tuple(np.percentile(inside, [2, 98])))
    # The same patient on a much larger detector.
    wide = np.zeros((300, 300), dtype=np.float32)
    wide[100:160, 100:160] = patient.line_integrals
    assert clinical_window(wide, (2, 98)) == pytest.approx((low, high), abs=1e-6)
    shown = to_display(radiograph(wide), "clinical", (2, 98))
    assert shown[0, 0] == 0 and shown[139, 139] == 1
    middle = np.abs(patient.line_integrals - (low + high) / 2).argmin()
    assert to_display(patient, "clinical", (2, 98)).flat[middle] == pytest.approx(0.5, abs=0.01)


def test_clinical_look_of_a_chest_is_neither_white_nor_black(phantom, phantom_volume):
    from XRayTo3DLib.geometry.views import fit_projection

    for view in ("AP", "LAT"):
        projection = fit_projection(view, phantom_volume.grid, 6.0)
        values = phantom.line_integrals(projection).astype(np.float32)
        shown = to_display(Radiograph(values, projection, view), "clinical")
        body = shown[values > 0.5]
        assert 0.3 < body.mean() < 0.8 and body.std() > 0.15
        assert (shown[values == 0] == 0).all()


@each("look", LOOKS)
@each("value", [0.0, 3.0, -2.0, 1e-30, 1e30])
def test_constant_pictures_have_one_grey(look, value):
    shown = to_display(radiograph(np.full((4, 5), value)), look)
    assert shown.dtype == np.float32
    assert np.isfinite(shown).all() and np.ptp(shown) == 0 and 0 <= shown[0, 0] <= 1


def test_one_bright_pixel_is_seen():
    values = np.zeros((50, 50))
    values[3, 4] = 0.2
    for look in LOOKS:
        shown = to_display(radiograph(values), look)
        assert np.isfinite(shown).all() and shown[3, 4] != shown[0, 0]


@each("percentiles", [(99, 1), (50, 50), (-1, 99), (1, 101), (1, float("nan")), (1, 2, 3), ("a", 5)])
def test_bad_percentiles_are_refused(patient, percentiles):
    with pytest.raises(InputError, match="0 <= low < high <= 100"):
        to_display(patient, "clinical", percentiles)


def test_unknown_looks_and_broken_pixels_are_refused(patient):
    with pytest.raises(InputError, match="film, inverted, opacity, clinical"):
        to_display(patient, "sepia")
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="NaN or infinite"):
            to_display(radiograph([[0, 1], [bad, 2]]))


def test_a_picture_has_16_bits_the_look_and_the_spacing(tmp_path, patient):
    for look in LOOKS:
        write_picture(patient, tmp_path / f"{look}.png", look, (5, 95))
        image = sitk.ReadImage(str(tmp_path / f"{look}.png"))
        pixels = sitk.GetArrayFromImage(image)
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels / 65535, to_display(patient, look, (5, 95)), atol=1 / 65535)
        assert image.GetSpacing() == pytest.approx((0.7, 0.5))
    with pytest.raises(InputError, match=r"end the name in \.png"):
        write_picture(patient, tmp_path / "a.jpg")
    with pytest.raises(InputError, match="look"):
        write_picture(patient, tmp_path / "b.png", "sepia")
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(LOOKS)
