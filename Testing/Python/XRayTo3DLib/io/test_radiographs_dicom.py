"""Radiographs read from DICOM: the geometry and the meaning of the pixels come from the tags."""

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from xray_files import GEOMETRY, write_dicom

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.iec import source_direction
from XRayTo3DLib.geometry.views import carm_direction, view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.dicom_geometry import KnownGeometry, projection_from_dicom
from XRayTo3DLib.io.radiograph_values import PICTURE_WHITE
from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph


def test_dx_geometry_comes_from_the_tags(tmp_path, pixels):
    path = write_dicom(tmp_path / "a.dcm", pixels, **GEOMETRY, DistanceSourceToPatient="1600")
    found = read_radiograph(path, isocentre=(10, 20, 30))
    expected = view_projection("PA", (10, 20, 30), (6, 8), (0.2, 0.3), 1800.0, 1600.0)
    assert found.name == "PA" and not found.calibrated
    assert found.projection.matrix == pytest.approx(expected.matrix)
    assert found.projection.spacing == (0.2, 0.3)
    assert not any("assumed" in note for note in found.notes)


def test_cr_without_distances_says_what_it_assumes(tmp_path, pixels):
    path = write_dicom(tmp_path / "a.dcm", pixels, "CR", PixelSpacing=[0.2, 0.3], ViewPosition="LL")
    found = read_radiograph(path)
    assert found.projection.beam_direction == pytest.approx([1, 0, 0])
    assert found.projection.source_to_detector == pytest.approx(1500)
    assert sum("assumed" in note for note in found.notes) == 2
    assert any("at the detector" in note for note in found.notes)


def test_xa_angles_and_distances(tmp_path, pixels):
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        "XA",
        ImagerPixelSpacing=[0.4, 0.4],
        DistanceSourceToDetector="1100",
        DistanceSourceToPatient="750",
        PositionerPrimaryAngle="30",
        PositionerSecondaryAngle="-15",
        PixelIntensityRelationship="DISP",
    )
    found = read_radiograph(path)
    expected = view_projection("LAO30CAUD15", (0, 0, 0), (6, 8), 0.4, 1100.0, 750.0)
    assert found.name == "LAO30CAUD15" and found.projection.matrix == pytest.approx(expected.matrix)
    assert found.projection.centre[0] > 0 > found.projection.centre[2]


def test_an_rt_image_has_its_gantry_angle(tmp_path, pixels):
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        "RTIMAGE",
        ImagePlanePixelSpacing=[0.8, 0.8],
        RTImageSID="1500",
        RadiationMachineSAD="1000",
        GantryAngle="90",
    )
    found = read_radiograph(path)
    assert found.projection.source == pytest.approx([1000, 0, 0], abs=1e-6)  # at the patient's left
    assert found.projection.source_to_detector == pytest.approx(1500)


def test_what_is_given_wins_over_the_tags(tmp_path, pixels):
    path = write_dicom(tmp_path / "a.dcm", pixels, **GEOMETRY, DistanceSourceToPatient="1600")
    found = read_radiograph(path, "LAT", spacing=1.5, source_to_detector=1000.0, source_to_isocentre=900.0)
    expected = view_projection("LAT", size=(6, 8), spacing=1.5, source_to_detector=1000.0, source_to_isocentre=900.0)
    assert found.projection.matrix == pytest.approx(expected.matrix)
    assert any("LAT was given, although the file says PA" in note for note in found.notes)
    assert not read_radiograph(path, parallel=True).projection.is_cone


def header(tags):
    """A header as it is after reading: texts that nobody checked."""
    dataset = Dataset()
    for keyword, text in tags.items():
        tag = tag_for_keyword(keyword)
        dataset[tag] = RawDataElement(BaseTag(tag), dictionary_VR(tag), len(text), text.encode(), 0, False, True)
    return dataset


def test_tags_alone_make_a_projection():
    tags = {
        "ImagerPixelSpacing": "0.2\\0.3 ",
        "ViewPosition": "AP ",
        "DistanceSourceToDetector": "1000",
        "DistanceSourceToPatient": "",
        "EstimatedRadiographicMagnificationFactor": "1.25",
    }
    placed = projection_from_dicom(header(tags), (4, 5))
    assert placed.view == "AP" and placed.notes == ()
    assert np.linalg.norm(placed.projection.source) == pytest.approx(800)  # SID over magnification
    angles = {"PositionerPrimaryAngle": "-20", "PositionerSecondaryAngle": "0", "ImagerPixelSpacing": "1\\1"}
    assert projection_from_dicom(header(angles), (4, 5)).view == "RAO20"
    assert projection_from_dicom(header({**angles, "Modality": "XA", "ViewPosition": "AP"}), (4, 5)).view == "RAO20"
    assert projection_from_dicom(header({**angles, "Modality": "DX", "ViewPosition": "AP"}), (4, 5)).view == "AP"
    for gantry, axis in (("0", [0, 1, 0]), ("90", [-1, 0, 0]), ("180", [0, -1, 0]), ("270", [1, 0, 0])):
        tags = {"GantryAngle": gantry, "ImagePlanePixelSpacing": "1\\1"}
        assert projection_from_dicom(header(tags), (4, 5)).projection.beam_direction == pytest.approx(axis, abs=1e-9)


def test_damaged_tags_count_as_missing():
    tags = {"ImagerPixelSpacing": "0\\0", "PixelSpacing": "abc", "DistanceSourceToDetector": "-5", "ViewPosition": "PA"}
    with pytest.raises(InputError, match="pixel spacing"):
        projection_from_dicom(header(tags), (4, 5))
    placed = projection_from_dicom(header(tags), (4, 5), KnownGeometry(spacing=1.0))
    assert placed.projection.source_to_detector == pytest.approx(1500)


def test_patient_orientation_turns_the_picture_over():
    tags = {"ImagerPixelSpacing": "1\\1", "ViewPosition": "PA"}
    usual, same, flipped = (
        projection_from_dicom(header({**tags, **more}), (40, 60)).projection
        for more in ({}, {"PatientOrientation": "L\\F"}, {"PatientOrientation": "R\\F"})
    )
    left = np.array([[20.0, 0, 5]])
    assert same.project(left) == pytest.approx(usual.project(left))
    assert flipped.project(left)[0] == pytest.approx([59 - usual.project(left)[0, 0], usual.project(left)[0, 1]])
    upside_down = projection_from_dicom(header({**tags, "PatientOrientation": "L\\H"}), (40, 60))
    assert upside_down.projection.project(left)[0, 1] == pytest.approx(39 - usual.project(left)[0, 1])
    assert any("turned over" in note for note in upside_down.notes)


def test_monochrome1_and_2_show_the_same_bone(tmp_path, pixels):
    # MONOCHROME2 shows high values white, MONOCHROME1 low ones: white is bone in both.
    two = read_radiograph(write_dicom(tmp_path / "two.dcm", pixels, **GEOMETRY))
    one = read_radiograph(write_dicom(tmp_path / "one.dcm", 4095 - pixels, photometric="MONOCHROME1", **GEOMETRY))
    assert two.line_integrals.argmax() == pixels.argmax() and two.line_integrals.argmin() == pixels.argmin()
    assert one.line_integrals == pytest.approx(two.line_integrals, abs=1e-5)
    assert (two.line_integrals.min(), two.line_integrals.max()) == pytest.approx((0, PICTURE_WHITE))
    signed = (pixels.astype(np.int16) - 2000)[:, ::-1]
    path = write_dicom(tmp_path / "s.dcm", np.ascontiguousarray(signed), photometric="MONOCHROME1", bits=16, **GEOMETRY)
    assert read_radiograph(path).line_integrals.argmax() == signed.argmin()


def test_the_sign_of_a_logarithm_decides_over_the_photometric_word(tmp_path, pixels):
    for sign, brightest in ((-1, pixels.argmax()), (1, pixels.argmin())):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            tags = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": sign}
            path = write_dicom(tmp_path / "a.dcm", pixels, photometric=photometric, **GEOMETRY, **tags)
            found = read_radiograph(path)
            assert found.line_integrals.argmax() == brightest and not found.calibrated


def test_rescaled_monochrome1_intensity_is_what_was_stored(tmp_path):
    beam = np.repeat(np.repeat(np.array([[1000, 500], [250, 125]], dtype=np.uint16), 9, axis=0), 9, axis=1)
    rescale = {"RescaleSlope": "2", "RescaleIntercept": "0", "RescaleType": "US"}
    path = write_dicom(tmp_path / "a.dcm", beam, "CR", "MONOCHROME1", **rescale, **GEOMETRY)
    found = read_radiograph(path, kind="intensity")
    assert found.line_integrals[::9, ::9] == pytest.approx(np.log(2) * np.array([[0, 1], [2, 3]]), abs=1e-5)


def test_one_frame_is_read_and_colour_is_refused(tmp_path, pixels, rng):
    arm = {"PositionerPrimaryAngle": "10", "PositionerSecondaryAngle": "0", "PositionerPrimaryAngleIncrement": "5"}
    run = np.stack([pixels, pixels[::-1], pixels[:, ::-1]])
    path = write_dicom(tmp_path / "run.dcm", run, "XA", **GEOMETRY, **arm, PositionerMotion="DYNAMIC")
    with pytest.raises(InputError, match=r"run\.dcm holds 3 frames"):
        read_radiograph(path)
    found = read_radiograph(path, frame=3)
    assert found.line_integrals.argmax() == run[2].argmax() and found.name == "LAO20"
    colour = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    path = write_dicom(tmp_path / "photo.dcm", colour, "OT", "RGB", 8, **GEOMETRY)
    with pytest.raises(InputError, match=r"photo\.dcm is a colour image"):
        read_radiograph(path)
    sitk.WriteImage(sitk.GetImageFromArray(colour, isVector=True), str(tmp_path / "photo.png"))
    with pytest.raises(InputError, match="colour"):
        read_radiograph(tmp_path / "photo.png", "AP", 1.0)


def test_an_unknown_view_is_refused_with_the_words_that_are_known(tmp_path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(tmp_path / "a.png", spacing=1.0)
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(tmp_path / "a.png", "SIDEWAYS", 1.0)
    path = write_dicom(tmp_path / "a.dcm", pixels, ImagerPixelSpacing=[1, 1], ViewPosition="RLO")
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(path)


def test_angles_are_read_as_exactly_as_they_are_written(tmp_path, pixels):
    """Far below 1e-4 degrees, and beyond six digits; two angles that differ by 1e-5 degrees are two views."""
    for modality, primary, secondary in (("XA", 2e-5, -3e-6), ("XA", -0.00005, 12.3456789), ("XA", 31.4159265, 0.0)):
        path = tmp_path / "angles.dcm"
        tags = {"PositionerPrimaryAngle": f"{primary:.10f}", "PositionerSecondaryAngle": f"{secondary:.10f}"}
        write_dicom(path, pixels, modality, ImagerPixelSpacing=[0.2, 0.2], **tags)
        found = read_radiograph(path)
        assert found.projection.beam_direction == pytest.approx(carm_direction(primary, secondary), abs=1e-12)
        assert "e-" not in found.name
    for gantry, couch in ((33.3333333, 0.0), (1e-5, 0.0), (12.5, 20.0000001)):
        tags = {"GantryAngle": f"{gantry:.8f}", "PatientSupportAngle": f"{couch:.8f}", "ImagePlanePixelSpacing": "1\\1"}
        found = projection_from_dicom(header(tags), (4, 5)).projection
        assert found.beam_direction == pytest.approx(-source_direction(gantry, couch), abs=1e-12)


def test_a_slope_of_two_numbers_is_refused_in_a_sentence(tmp_path, pixels):
    path = tmp_path / "slope.dcm"
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        write_dicom(path, pixels, photometric=photometric, ViewPosition="PA", ImagerPixelSpacing=[0.2, 0.2], RescaleSlope=[1, 2])
        with pytest.raises(InputError, match="not one number"):
            read_radiograph(path)


def test_an_isocentre_shifts_a_stored_geometry_across_its_beam(tmp_path):
    values = np.ones((8, 10), np.float32)
    values[3, 4] = 2
    for distance in (1500.0, None):
        view = view_projection("LAT", (5, 6, 7), (8, 10), 1.5, distance)
        for ending in (".dcm", ".nrrd", ".nii.gz"):
            write_radiograph(Radiograph(values, view, "LAT"), tmp_path / f"x{ending}")
            found = read_radiograph(tmp_path / f"x{ending}", isocentre=(100, 26, -13)).projection
            moved = found.centre - view.centre
            assert moved == pytest.approx([0, 20, -20], abs=2e-3), (ending, distance)
            assert found.source is None or found.source - view.source == pytest.approx([0, 20, -20], abs=2e-3)
