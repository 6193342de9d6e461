"""Radiographs read from pictures and images: what their values mean, and what is refused."""

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.pictures import write_picture
from XRayTo3DLib.io.radiograph_values import PICTURE_WHITE
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.simulation.drr import render_drr


def test_a_picture_is_uncalibrated_with_bright_bone(tmp_path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    found = read_radiograph(tmp_path / "a.png", "AP", (1.0, 2.0))
    assert not found.calibrated and found.projection.spacing == (1.0, 2.0)
    assert found.line_integrals.dtype == np.float32
    expected = (pixels - 100.0) / (47 * 80) * PICTURE_WHITE
    assert found.line_integrals == pytest.approx(expected, abs=1e-5)
    negative = read_radiograph(tmp_path / "a.png", "AP", 1.0, kind="inverted")
    assert negative.line_integrals == pytest.approx(PICTURE_WHITE - expected, abs=1e-5)


def test_grey_stored_as_colour_is_accepted(tmp_path, pixels):
    grey = (pixels // 16).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([grey] * 3, axis=-1), isVector=True), str(tmp_path / "a.png"))
    opaque = np.stack([grey] * 3 + [np.full_like(grey, 255)], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(opaque, isVector=True), str(tmp_path / "b.png"))
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(tmp_path / "c.png"))
    a, b, c = (read_radiograph(tmp_path / f"{name}.png", "AP", 1.0).line_integrals for name in "abc")
    assert np.array_equal(a, c) and np.array_equal(b, c)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_picture_needs_its_spacing(tmp_path, pixels, ending):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / f"a{ending}"))
    with pytest.raises(InputError, match="give the spacing in mm per pixel at the detector"):
        read_radiograph(tmp_path / f"a{ending}", "AP")


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
def test_float_images_are_line_integrals_unless_told_otherwise(tmp_path, rng, ending):
    truth = rng.uniform(0.1, 4, (6, 8)).astype(np.float32)
    image = sitk.GetImageFromArray(truth)
    image.SetSpacing((0.5, 0.75))
    sitk.WriteImage(image, str(tmp_path / f"p{ending}"))
    found = read_radiograph(tmp_path / f"p{ending}", "AP")
    assert found.calibrated and np.array_equal(found.line_integrals, truth)
    assert found.projection.spacing == pytest.approx((0.75, 0.5))
    sitk.WriteImage(sitk.GetImageFromArray(np.exp(-truth)), str(tmp_path / f"i{ending}"))
    found = read_radiograph(tmp_path / f"i{ending}", "AP", kind="transmission")
    assert found.calibrated and found.line_integrals == pytest.approx(truth, abs=1e-5)


def test_dark_pixels_stay_finite(tmp_path):
    beam = np.full((12, 12), 1000, dtype=np.uint16)
    beam[2:10, 2:10] = 10  # behind metal a few photons arrive, or none
    beam[4, 5] = beam[7, 3] = 0
    sitk.WriteImage(sitk.GetImageFromArray(beam), str(tmp_path / "a.png"))
    found = read_radiograph(tmp_path / "a.png", "AP", 1.0, kind="intensity")
    assert found.valid is None and found.line_integrals[4, 4:6] == pytest.approx(-np.log([0.01, 0.005]), abs=1e-5)


def test_what_is_not_an_x_ray_is_refused(tmp_path, pixels):
    (tmp_path / "notes.dcm").write_text("not an image")
    with pytest.raises(InputError, match="not an image"):
        read_radiograph(tmp_path / "notes.dcm", "AP", 1.0)
    with pytest.raises(InputError, match="does not exist"):
        read_radiograph(tmp_path / "gone.png", "AP", 1.0)
    with pytest.raises(InputError, match="is a folder"):
        read_radiograph(tmp_path, "AP", 1.0)
    values = pixels.astype(np.float32)
    values[2, 3] = np.nan
    for name, array, words in (
        ("nan", values, "NaN"),
        ("flat", np.full((6, 8), 7.0, dtype=np.float32), "constant"),
        ("ct", np.zeros((4, 6, 8), dtype=np.float32), "4 frames"),
    ):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
        with pytest.raises(InputError, match=words):
            read_radiograph(tmp_path / f"{name}.nrrd", "AP", 1.0)
    with pytest.raises(InputError, match="line_integral, transmission, intensity, inverted"):
        read_radiograph(tmp_path / "flat.nrrd", "AP", kind="photo")


def test_pixels_and_geometry_must_agree():
    with pytest.raises(InputError, match="its geometry has"):
        Radiograph(np.zeros((3, 4), dtype=np.float32), view_projection("AP", size=(4, 3)))


def test_a_picture_of_a_real_chest(real_ct, tmp_path):
    made = render_drr(real_ct, [view_projection("PA", real_ct.grid.centre, (90, 96), 5.0, 1800.0)], ["PA"])[0]
    write_picture(made, tmp_path / "chest.png", "film")
    found = read_radiograph(tmp_path / "chest.png", "PA", 5.0, 1800.0)
    assert found.name == "PA" and not found.calibrated
    assert 0 < found.line_integrals.mean() < PICTURE_WHITE
    assert np.corrcoef(found.line_integrals.ravel(), made.line_integrals.ravel())[0, 1] > 0.97  # bone is bright, air is not


def test_a_radiograph_cannot_be_made_of_pixels_that_are_no_numbers():
    view = view_projection("AP", (0, 0, 0), (4, 5), 1.0)
    for value in (np.nan, np.inf, -np.inf):
        for kind in (np.float32, np.float64):
            values = np.ones((4, 5), kind)
            values[2, 3] = value
            with pytest.raises(InputError, match="NaN or infinite"):
                Radiograph(values, view, "AP")
