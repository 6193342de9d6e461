"""DICOM RT images: what the standard asks for, exact geometry, and geometry from the standard's attributes alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import DataElement
from pydicom.uid import ImplicitVRLittleEndian, RTImageStorage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.display import clinical_window
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph
from XRayTo3DLib.io.rtimage import write_rtimage

AIM = (1 / 3, -20.7, 131.123456789)
VIEWS = ("AP", "PA", "LAT", "RLAT", "LAO30CRAN15", "RAO20CAUD10", "AP+10", "CRAN30")


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-0.1, 6, (12, 16)).astype(np.float32)


def off_centre(view: str, distance: float | None) -> Projection:
    """A view whose detector was moved along its rows and columns."""
    centred = view_projection(view, AIM, (12, 16), (0.71, 0.3), distance, 700.0)
    return replace(centred, origin=centred.origin + 17.3 * centred.row_direction - 5.1 * centred.column_direction)


def apart(one: Projection, other: Projection) -> float:
    """The largest difference of two geometries of the same kind of beam, in mm."""
    beam = "source" if one.is_cone else "ray_direction"
    names = ("origin", "row_direction", "column_direction", "spacing", beam)
    return max(float(np.abs(np.subtract(getattr(one, name), getattr(other, name))).max()) for name in names)


def stripped(path):
    """The file without its private block, as an archive may pass it on."""
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("distance", [1020.0, None])
def test_a_radiograph_comes_back_with_its_exact_geometry(tmp_path, values, view, distance):
    made = Radiograph(values, off_centre(view, distance), view, (), ("One note.", "Änother: 5 kV."))
    write_radiograph(made, tmp_path / "a.dcm")
    found = read_radiograph(tmp_path / "a.dcm")
    assert apart(found.projection, made.projection) == 0
    assert (found.name, found.calibrated, found.notes) == (view, True, made.notes)
    half_step = np.ptp(values) / 65535 / 2
    assert np.abs(found.line_integrals - values).max() <= half_step + np.spacing(np.float32(6))
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize("view", VIEWS)
def test_the_standards_attributes_alone_place_a_cone_beam(tmp_path, values, view):
    made = Radiograph(values, off_centre(view, 1020.0), view)
    write_rtimage(made, tmp_path / "a.dcm", AIM)
    found = read_radiograph(stripped(tmp_path / "a.dcm"))
    assert apart(found.projection, made.projection) < 1e-6
    assert found.calibrated and found.notes == ()
    assert np.abs(found.line_integrals - values).max() < 1e-4
    # A word for the view, and an isocentre that the caller knows better.
    again = read_radiograph(tmp_path / "a.dcm", found.name, isocentre=np.add(AIM, (1, 2, 3)))
    np.testing.assert_allclose(again.projection.source, np.add(made.projection.source, (1, 2, 3)), atol=1e-6)
    assert again.name == found.name


def test_a_given_spacing_or_distance_keeps_the_beam_in_the_picture(tmp_path, values):
    made = off_centre("AP", 1020.0)
    write_rtimage(Radiograph(values, made, "AP"), tmp_path / "a.dcm", AIM)
    found = read_radiograph(tmp_path / "a.dcm", spacing=(1.42, 0.6)).projection
    assert found.spacing == (1.42, 0.6) and found.source_to_detector == pytest.approx(1020)
    assert found.project(np.array([AIM])) == pytest.approx(made.project(np.array([AIM])), abs=1e-6)
    found = read_radiograph(tmp_path / "a.dcm", source_to_detector=1500.0, source_to_isocentre=1000.0).projection
    assert found.source_to_detector == pytest.approx(1500)
    np.testing.assert_allclose(found.source, np.subtract(AIM, (0, 1000, 0)), atol=1e-6)
    assert not read_radiograph(tmp_path / "a.dcm", parallel=True).projection.is_cone


def test_another_view_than_the_files_is_centred_and_said(tmp_path, values):
    write_rtimage(Radiograph(values, off_centre("AP", 1020.0), "AP"), tmp_path / "a.dcm", AIM)
    with pytest.raises(InputError, match="choose the right file"):
        read_radiograph(tmp_path / "a.dcm", "LAT")
    found = read_radiograph(stripped(tmp_path / "a.dcm"), "LAT")
    assert found.projection.matrix == pytest.approx(view_projection("LAT", AIM, (12, 16), (0.71, 0.3), 1020.0, 700.0).matrix)
    assert any("LAT was given, although the file says AP" in note for note in found.notes)


def test_attributes_that_the_standard_requires(tmp_path, values):
    made = Radiograph(values, off_centre("AP", 1020.0), "AP", (), ("120 kV.",))
    uids = {"study_uid": "1.2.3", "series_uid": "1.2.4", "frame_of_reference_uid": "1.2.5"}
    write_rtimage(made, tmp_path / "a.dcm", AIM, PatientStudy("P-1", "Doe^Jane"), instance_number=7, **uids)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == RTImageStorage
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "DRR"]
    assert (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID) == tuple(uids.values())
    assert (dataset.PatientName, dataset.PatientID, dataset.InstanceNumber) == ("Doe^Jane", "P-1", 7)
    present = {"Modality": "RTIMAGE", "RTImageLabel": "AP", "RTImagePlane": "NORMAL", "ConversionType": "WSD"}
    assert {name: dataset[name].value for name in present} == present
    for name in (
        *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
        *("SeriesNumber", "OperatorsName", "Manufacturer", "RadiationMachineName", "PrimaryDosimeterUnit"),
        *("XRayImageReceptorAngle", "PositionReferenceIndicator"),
    ):
        assert name in dataset  # may be empty, must not be absent
    assert "not for diagnosis" in dataset.DerivationDescription
    assert dataset.RTImageDescription == "120 kV."
    assert (dataset.RTImageSID, dataset.RadiationMachineSAD, dataset.GantryAngle) == (1020, 700, 0)
    assert list(dataset.ImagePlanePixelSpacing) == [0.71, 0.3]
    assert [float(v) for v in dataset.IsocenterPosition] == pytest.approx(AIM)
    assert dataset.PatientPosition == "HFS" and list(dataset.PatientOrientation) == ["L", "F"]
    # The first pixel from the beam's axis: x along the rows, y against the columns.
    assert [float(v) for v in dataset.RTImagePosition] == pytest.approx([-7.5 * 0.3 + 17.3, 5.5 * 0.71 + 5.1])


def test_other_software_sees_line_integrals_with_bone_white(tmp_path, values):
    write_radiograph(Radiograph(values, off_centre("AP", 1020.0), "AP"), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    rescaled = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    assert np.abs(rescaled - values).max() <= float(dataset.RescaleSlope) * 0.5001
    assert (dataset.pixel_array.min(), dataset.pixel_array.max()) == (0, 65535)
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert (dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign) == ("LOG", -1)
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    assert (centre - width / 2, centre + width / 2) == pytest.approx(clinical_window(values))
    assert dataset.VOILUTFunction == "LINEAR_EXACT"
    image = sitk.ReadImage(str(tmp_path / "a.dcm"))
    np.testing.assert_allclose(sitk.GetArrayFromImage(image)[0], rescaled, atol=1e-9)
    assert image.GetSpacing()[:2] == pytest.approx((0.3, 0.71))


def test_a_parallel_beam_claims_no_distances(tmp_path, values):
    slanted = Projection((0, 0, 0), (1, 0, 0), (0, 0, -1), (1, 1), (12, 16), ray_direction=np.array([0.3, 1, 0]))
    for projection, plane in ((off_centre("LAT", None), "NORMAL"), (slanted, "NON_NORMAL")):
        write_radiograph(Radiograph(values, projection, "side"), tmp_path / "a.dcm")
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        assert dataset.RTImagePlane == plane
        for name in ("RTImageSID", "RadiationMachineSAD", "RTImagePosition"):
            assert dataset[name].value is None
        assert "IsocenterPosition" not in dataset and "PatientPosition" not in dataset
        assert apart(read_radiograph(tmp_path / "a.dcm").projection, projection) < 1e-15
        found = read_radiograph(stripped(tmp_path / "a.dcm"))
        np.testing.assert_allclose(found.projection.beam_direction, projection.ray_direction, atol=1e-9)
        assert sum("assumed" in note for note in found.notes) == 3  # two distances, and how the patient lies


def test_a_picture_of_unknown_scale_is_no_drr(tmp_path, values):
    write_radiograph(Radiograph(values, off_centre("AP", 1020.0), "AP", ("gain",)), tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm").ImageType[2] == "RADIOGRAPH"
    found = read_radiograph(tmp_path / "a.dcm")
    assert not found.calibrated and np.abs(found.line_integrals - values).max() < 1e-4
    assert not read_radiograph(tmp_path / "a.dcm", spacing=1.0).calibrated
    assert not read_radiograph(stripped(tmp_path / "a.dcm")).calibrated


def test_a_copy_that_lost_the_types_of_private_elements_is_still_exact(tmp_path, values):
    made = Radiograph(values, off_centre("LAO30CRAN15", 1020.0), "arm", (), ("Ä note.",))
    write_radiograph(made, tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    block = dataset.private_block(0x0021, "XRayTo3D")
    raw = block[1].value.encode()
    dataset[block.get_tag(1)] = DataElement(block.get_tag(1), "UN", raw + b" " * (len(raw) % 2))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "b.dcm", dataset, implicit_vr=True, little_endian=True, enforce_file_format=True)
    found = read_radiograph(tmp_path / "b.dcm")
    assert apart(found.projection, made.projection) == 0
    assert (found.name, found.notes) == ("arm", ("Ä note.",))


def test_a_damaged_private_block_is_said_and_can_be_passed_by(tmp_path, values):
    write_rtimage(Radiograph(values, off_centre("AP", 1020.0), "AP"), tmp_path / "a.dcm", AIM)
    good = pydicom.dcmread(tmp_path / "a.dcm")
    about = json.loads(good.private_block(0x0021, "XRayTo3D")[1].value)
    without = {name: value for name, value in about.items() if name != "projection"}
    stored = about["projection"]
    damaged = [
        {**stored, "source": [0, 1]},
        {**stored, "spacing": [0.0, 1.0]},
        {**stored, "size": [3, 3]},
        {**stored, "more": 1},
        [],
        None,
    ]
    texts = [json.dumps({**about, "projection": value}) for value in damaged]
    for text in (*texts, json.dumps(without), "[]", "{", "[" * 100_000, b"abcd"):
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        tag = dataset.private_block(0x0021, "XRayTo3D").get_tag(1)
        dataset[tag] = DataElement(tag, "UN" if isinstance(text, bytes) else "UT", text)
        dataset.save_as(tmp_path / "b.dcm")
        with pytest.raises(InputError, match=r"b\.dcm has a damaged geometry"):
            read_radiograph(tmp_path / "b.dcm")
        found = read_radiograph(tmp_path / "b.dcm", spacing=(0.71, 0.3), source_to_detector=1020.0, source_to_isocentre=700.0)
        assert apart(found.projection, off_centre("AP", 1020.0)) < 1e-6


def test_foreign_rt_images_are_placed_by_their_attributes(tmp_path, values):
    """As a portal imager writes them: a detector that was moved on its arm, and a receptor turned by a right angle."""
    write_rtimage(Radiograph(values, off_centre("AP", 1020.0), "AP"), tmp_path / "a.dcm", AIM)
    dataset = pydicom.dcmread(stripped(tmp_path / "a.dcm"))
    del dataset.RTImageOrientation, dataset.RTImagePosition, dataset.RescaleType
    dataset.XRayImageReceptorTranslation = ["20", "-30", "-320"]
    dataset.XRayImageReceptorAngle, dataset.GantryAngle = "90", "0"
    dataset.save_as(tmp_path / "b.dcm")
    found = read_radiograph(tmp_path / "b.dcm").projection
    # The middle of the detector: 20 mm to the patient's left and 30 mm towards the feet.
    np.testing.assert_allclose(found.centre, np.add(AIM, (20, 320, -30)), atol=1e-6)
    np.testing.assert_allclose(found.row_direction, (0, 0, 1), atol=1e-9)
    # Tilted by 37 degrees about its own rows, with its middle where it was.
    dataset.RTImageOrientation, dataset.XRayImageReceptorAngle = [1, 0, 0, 0, -0.8, 0.6], "0"
    dataset.save_as(tmp_path / "b.dcm")
    tilted = read_radiograph(tmp_path / "b.dcm").projection
    np.testing.assert_allclose(tilted.centre, np.add(AIM, (20, 320, -30)), atol=1e-6)
    np.testing.assert_allclose(tilted.column_direction, (0, -0.6, -0.8), atol=1e-9)


def test_what_dicom_cannot_hold_is_refused_and_nothing_is_written(tmp_path, values):
    projection = off_centre("AP", 1020.0)
    good = Radiograph(values, projection, "AP")
    for settings, words in (
        ({"study_uid": "hello"}, "StudyInstanceUID"),
        ({"series_uid": "1." * 40}, "SeriesInstanceUID"),
        ({"isocentre": (0, -5000, 0)}, "behind the source"),
    ):
        with pytest.raises(InputError, match=words):
            write_rtimage(good, tmp_path / "a.dcm", **settings)
    broken = values.copy()
    broken[3, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        write_radiograph(Radiograph(broken, projection, "AP"), tmp_path / "a.dcm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_names_and_values_of_any_kind_are_written(tmp_path, rng, scale):
    values = (rng.normal(size=(12, 16)) * scale).astype(np.float32)
    name = "view along 0.123 0.456 0.789\nÄ \\ " + "x" * 80
    write_radiograph(Radiograph(values, off_centre("AP", 1020.0), name), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert len(dataset.RTImageLabel) <= 16 and len(dataset.RTImageName) <= 64
    found = read_radiograph(tmp_path / "a.dcm")
    assert found.name == name
    assert np.abs(found.line_integrals - values).max() <= np.ptp(values) / 65535 * 0.501
    flat = Radiograph(np.full((12, 16), 3.25, dtype=np.float32), off_centre("AP", 1020.0), "")
    write_radiograph(flat, tmp_path / "flat.dcm")
    dataset = pydicom.dcmread(tmp_path / "flat.dcm")
    assert (dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept) == 3.25).all()
    assert dataset.RTImageLabel == "DRR"
    assert json.loads(dataset.private_block(0x0021, "XRayTo3D")[1].value)["name"] == ""
