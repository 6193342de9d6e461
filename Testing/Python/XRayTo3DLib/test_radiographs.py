import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from XRayTo3DLib import radiographs
from XRayTo3DLib.dicom_geometry import projection_from_dicom
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.radiographs import PICTURE_WHITE, Radiograph, read_radiograph, write_radiograph
from XRayTo3DLib.views import view_projection

SOP = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "RTIMAGE": "1.2.840.10008.5.1.4.1.1.481.1",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
}


def write_dicom(path, pixels, modality="DX", photometric="MONOCHROME2", bits=12, **tags):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SOP[modality]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation = modality, photometric
    colour = photometric == "RGB"
    dataset.Rows, dataset.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for key, value in tags.items():
        setattr(dataset, key, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture
def pixels() -> np.ndarray:
    """12-bit values that differ everywhere, 6 rows x 8 columns."""
    return (np.arange(48, dtype=np.uint16).reshape(6, 8) * 80 + 100).astype(np.uint16)


GEOMETRY = {"ImagerPixelSpacing": [0.2, 0.3], "DistanceSourceToDetector": "1800", "ViewPosition": "PA"}


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


def test_tags_alone_make_a_projection():
    tags = {"0018|1164": "0.2\\0.3 ", "0018|5101": "AP ", "0018|1110": "1000", "0018|1111": "", "0018|1114": "1.25"}
    placed = projection_from_dicom(tags, (4, 5))
    assert placed.view == "AP" and placed.notes == ()
    assert np.linalg.norm(placed.projection.source) == pytest.approx(800)  # SID over magnification
    angles = {"0018|1510": "-20", "0018|1511": "0", "0018|1164": "1\\1"}
    assert projection_from_dicom(angles, (4, 5)).view == "RAO20"
    assert projection_from_dicom({**angles, "0008|0060": "XA", "0018|5101": "AP"}, (4, 5)).view == "RAO20"
    assert projection_from_dicom({**angles, "0008|0060": "DX", "0018|5101": "AP"}, (4, 5)).view == "AP"
    for gantry, axis in (("0", [0, 1, 0]), ("90", [-1, 0, 0]), ("180", [0, -1, 0]), ("270", [1, 0, 0])):
        tags = {"300a|011e": gantry, "3002|0011": "1\\1"}
        assert projection_from_dicom(tags, (4, 5)).projection.beam_direction == pytest.approx(axis, abs=1e-9)


def test_damaged_tags_count_as_missing():
    tags = {"0018|1164": "0\\0", "0028|0030": "abc", "0018|1110": "-5", "0018|5101": "PA"}
    with pytest.raises(InputError, match="pixel spacing"):
        projection_from_dicom(tags, (4, 5))
    placed = projection_from_dicom(tags, (4, 5), spacing=1.0)
    assert placed.projection.source_to_detector == pytest.approx(1500)


def test_patient_orientation_turns_the_picture_over():
    tags = {"0018|1164": "1\\1", "0018|5101": "PA"}
    usual, same, flipped = (
        projection_from_dicom({**tags, **more}, (40, 60)).projection for more in ({}, {"0020|0020": "L\\F"}, {"0020|0020": "R\\F"})
    )
    left = np.array([[20.0, 0, 5]])
    assert same.project(left) == pytest.approx(usual.project(left))
    assert flipped.project(left)[0] == pytest.approx([59 - usual.project(left)[0, 0], usual.project(left)[0, 1]])
    upside_down = projection_from_dicom({**tags, "0020|0020": "L\\H"}, (40, 60))
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


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("modality", ["DX", "XA"])
def test_pixels_proportional_to_the_beam_become_line_integrals(tmp_path, photometric, modality):
    truth = np.linspace(0, 3, 48).reshape(6, 8)
    beam = np.round(4000 * np.exp(-truth)).astype(np.uint16)
    tags = {"PixelIntensityRelationship": "LIN"}
    if modality == "DX":
        tags |= {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1}
    path = write_dicom(tmp_path / "a.dcm", beam, modality, photometric, **GEOMETRY, **tags)
    found = read_radiograph(path)
    assert found.calibrated
    assert found.line_integrals == pytest.approx(truth, abs=4e-3)
    assert any("open beam" in note for note in found.notes)


def test_the_sign_of_a_logarithm_decides_over_the_photometric_word(tmp_path, pixels):
    for sign, brightest in ((-1, pixels.argmax()), (1, pixels.argmin())):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            tags = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": sign}
            path = write_dicom(tmp_path / "a.dcm", pixels, photometric=photometric, **GEOMETRY, **tags)
            found = read_radiograph(path)
            assert found.line_integrals.argmax() == brightest and not found.calibrated


def test_rescaled_monochrome1_intensity_is_what_was_stored(tmp_path):
    beam = np.array([[1000, 500], [250, 125]], dtype=np.uint16)
    rescale = {"RescaleSlope": "2", "RescaleIntercept": "0", "RescaleType": "US"}
    path = write_dicom(tmp_path / "a.dcm", beam, "CR", "MONOCHROME1", **rescale, **GEOMETRY)
    found = read_radiograph(path, kind="intensity")
    assert found.line_integrals == pytest.approx(np.log(2) * np.array([[0, 1], [2, 3]]), abs=1e-5)


def test_multi_frame_and_colour_are_refused(tmp_path, pixels, rng):
    path = write_dicom(tmp_path / "run.dcm", np.stack([pixels] * 3), "XA", **GEOMETRY)
    with pytest.raises(InputError, match=r"run\.dcm holds 3 frames"):
        read_radiograph(path)
    colour = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    path = write_dicom(tmp_path / "photo.dcm", colour, "OT", "RGB", 8, **GEOMETRY)
    with pytest.raises(InputError, match=r"photo\.dcm is a colour image"):
        read_radiograph(path)
    sitk.WriteImage(sitk.GetImageFromArray(colour, isVector=True), str(tmp_path / "photo.png"))
    with pytest.raises(InputError, match="colour"):
        read_radiograph(tmp_path / "photo.png", "AP", 1.0)


def test_grey_stored_as_colour_is_accepted(tmp_path, pixels):
    grey = (pixels // 16).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([grey] * 3, axis=-1), isVector=True), str(tmp_path / "a.png"))
    opaque = np.stack([grey] * 3 + [np.full_like(grey, 255)], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(opaque, isVector=True), str(tmp_path / "b.png"))
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(tmp_path / "c.png"))
    a, b, c = (read_radiograph(tmp_path / f"{name}.png", "AP", 1.0).line_integrals for name in "abc")
    assert np.array_equal(a, c) and np.array_equal(b, c)


def test_a_picture_is_uncalibrated_with_bright_bone(tmp_path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    found = read_radiograph(tmp_path / "a.png", "AP", (1.0, 2.0))
    assert not found.calibrated and found.projection.spacing == (1.0, 2.0)
    assert found.line_integrals.dtype == np.float32
    expected = (pixels - 100.0) / (47 * 80) * PICTURE_WHITE
    assert found.line_integrals == pytest.approx(expected, abs=1e-5)
    negative = read_radiograph(tmp_path / "a.png", "AP", 1.0, kind="inverted")
    assert negative.line_integrals == pytest.approx(PICTURE_WHITE - expected, abs=1e-5)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_picture_needs_its_spacing(tmp_path, pixels, ending):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / f"a{ending}"))
    with pytest.raises(InputError, match="give the spacing in mm per pixel at the detector"):
        read_radiograph(tmp_path / f"a{ending}", "AP")


def test_an_unknown_view_is_refused_with_the_words_that_are_known(tmp_path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(tmp_path / "a.png", spacing=1.0)
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(tmp_path / "a.png", "SIDEWAYS", 1.0)
    path = write_dicom(tmp_path / "a.dcm", pixels, ImagerPixelSpacing=[1, 1], ViewPosition="RLO")
    with pytest.raises(InputError, match="AP, PA, LAT"):
        read_radiograph(path)


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
    with pytest.raises(InputError, match="line_integral, intensity, inverted"):
        read_radiograph(tmp_path / "flat.nrrd", "AP", kind="photo")


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
    found = read_radiograph(tmp_path / f"i{ending}", "AP", kind="intensity")
    assert found.line_integrals == pytest.approx(truth, abs=1e-5)  # a fraction: I0 is 1, not the brightest pixel


def test_dark_pixels_stay_finite(tmp_path):
    beam = np.array([[0, 1000], [10, 500]], dtype=np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(beam), str(tmp_path / "a.png"))
    found = read_radiograph(tmp_path / "a.png", "AP", 1.0, kind="intensity")
    assert found.line_integrals == pytest.approx(-np.log([[0.005, 1], [0.01, 0.5]]), abs=1e-5)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("distance", [1234.5, None])
@pytest.mark.parametrize("calibrated", [True, False])
def test_a_written_radiograph_comes_back_exactly(tmp_path, rng, ending, distance, calibrated):
    projection = view_projection("LAO33CRAN7", (1 / 3, -20.7, 31), (6, 8), (0.71, 0.3), distance)
    values = rng.uniform(-0.1, 5, (6, 8)).astype(np.float32)
    values[0, 0] = 1e30
    path = tmp_path / f"a{ending}"
    notes = ('A beam of 90 kV ("hard").', "Ä = 2\n3.")
    write_radiograph(Radiograph(values, projection, "LAO33CRAN7", calibrated, notes), path)
    found = read_radiograph(path)
    assert np.array_equal(found.line_integrals, values)
    assert (found.name, found.calibrated, found.notes) == ("LAO33CRAN7", calibrated, notes)
    for name in ("origin", "row_direction", "column_direction", "source", "ray_direction", "spacing"):
        own, other = getattr(found.projection, name), getattr(projection, name)
        assert (own is None) == (other is None)
        if own is not None:
            assert np.abs(np.subtract(own, other)).max() < 1e-12
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("view", ["AP", "PA", "RLAT", "LAO33CRAN7", "CAUD40"])
@pytest.mark.parametrize("distance", [1234.5, None])
def test_nifti_keeps_the_geometry_to_a_thousandth_of_a_millimetre(tmp_path, rng, ending, view, distance):
    projection = view_projection(view, (123 / 3, -220.7, 1031.123), (300, 400), (0.71, 0.3), distance)
    values = rng.uniform(-0.1, 5, (300, 400)).astype(np.float32)
    write_radiograph(Radiograph(values, projection, view, distance is None, ("lost",)), tmp_path / f"a{ending}")
    found = read_radiograph(tmp_path / f"a{ending}")
    assert np.array_equal(found.line_integrals, values)
    assert (found.name, found.calibrated, found.notes) == (view, distance is None, ())
    corners = np.array([[0, 0], [0, 399], [299, 0], [299, 399]])
    assert np.abs(found.projection.pixel_positions(corners) - projection.pixel_positions(corners)).max() < 1e-3
    for name in ("source", "ray_direction"):
        own, other = getattr(found.projection, name), getattr(projection, name)
        assert (own is None) == (other is None)
        assert own is None or np.abs(own - other).max() < (1e-3 if name == "source" else 1e-8)
    with pytest.raises(InputError, match="choose the right file"):
        read_radiograph(tmp_path / f"a{ending}", "LLAT" if view != "LLAT" else "AP")


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("name", ["", "Ä" * 20, "two\nlines", "a = b: c", '"AP"'])
def test_names_of_any_kind_are_written(tmp_path, rng, ending, name):
    projection = view_projection("AP", size=(6, 8), spacing=2.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, name), tmp_path / f"a{ending}")
    found = read_radiograph(tmp_path / f"a{ending}").name
    assert found == (name if ending != ".nii.gz" else name.replace("\n", " ").encode()[:23].decode(errors="ignore"))


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_damaged_geometry_is_said_and_can_be_passed_by(tmp_path, rng, ending):
    image = sitk.GetImageFromArray(rng.random((1, 6, 8), dtype=np.float32))
    image.SetSpacing((0.5, 0.75, 1))
    for numbers in ("1 2", "1 2 x", "1 2 nan"):
        image.SetMetaData("XRayTo3D.source", numbers)
        image.SetMetaData("ITK_FileNotes", f"XRayTo3D.source {numbers}")
        sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
        with pytest.raises(InputError, match="damaged geometry"):
            read_radiograph(tmp_path / f"a{ending}")
        found = read_radiograph(tmp_path / f"a{ending}", "AP", (0.75, 0.5), 1000.0)
        assert found.projection.source_to_detector == pytest.approx(1000)
    flat = sitk.GetImageFromArray(rng.random((6, 8), dtype=np.float32))
    flat.SetMetaData("XRayTo3D.source", "1 2 3")
    flat.SetMetaData("ITK_FileNotes", "XRayTo3D.source 1 2 3")
    sitk.WriteImage(flat, str(tmp_path / f"b{ending}"))
    with pytest.raises(InputError, match="lost the plane of its detector"):
        read_radiograph(tmp_path / f"b{ending}", "AP")


def test_a_written_radiograph_stands_at_its_detector(tmp_path, rng):
    projection = view_projection("RLAT", (5, 6, 7), (6, 8), (0.5, 0.25), 1000.0, 700.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, "RLAT"), tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    for row, column in ((0, 0), (5, 7), (2, 6)):
        point = image.TransformIndexToPhysicalPoint((column, row, 0))
        assert point == pytest.approx(projection.pixel_positions(np.array([[row, column]]))[0])


def test_a_named_view_must_agree_with_the_stored_geometry(tmp_path, rng):
    projection = view_projection("AP+10", size=(6, 8), spacing=2.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, "front"), tmp_path / "a.nrrd")
    found = read_radiograph(tmp_path / "a.nrrd", "AP")
    assert found.name == "AP" and found.projection.matrix == pytest.approx(projection.matrix)
    for wrong in ("LAT", "PA"):
        with pytest.raises(InputError, match="choose the right file"):
            read_radiograph(tmp_path / "a.nrrd", wrong)
    anew = read_radiograph(tmp_path / "a.nrrd", "LAT", source_to_detector=1000.0)
    assert anew.projection.beam_direction == pytest.approx([1, 0, 0]) and anew.projection.spacing == (2, 2)


def test_a_display_picture_is_16_bit_with_bright_bone(tmp_path, pixels):
    projection = view_projection("AP", size=pixels.shape, spacing=2.0)
    write_radiograph(Radiograph(pixels.astype(np.float32) / 1000, projection, "AP"), tmp_path / "a.png")
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))
    assert image.dtype == np.uint16 and (image.min(), image.max()) == (0, 65535)
    assert image.argmax() == pixels.argmax()


def test_a_radiograph_that_cannot_be_written_leaves_nothing(tmp_path, pixels, monkeypatch):
    radiograph = Radiograph(pixels.astype(np.float32), view_projection("AP", size=pixels.shape), "AP")
    with pytest.raises(InputError, match=r"\.nrrd or \.mha"):
        write_radiograph(radiograph, tmp_path / "a.tif")

    def die(image, name, **settings):
        raise RuntimeError("disk full")

    monkeypatch.setattr(radiographs.sitk, "WriteImage", die)
    with pytest.raises(InputError, match="disk full"):
        write_radiograph(radiograph, tmp_path / "a.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_pixels_and_geometry_must_agree():
    with pytest.raises(InputError, match="its geometry has"):
        Radiograph(np.zeros((3, 4), dtype=np.float32), view_projection("AP", size=(4, 3)))


def test_a_real_picture(shared):
    path = sorted((shared / "data" / "xray").glob("*_pa_*.png"))[0]
    found = read_radiograph(path, "PA", 0.5)
    assert found.name == "PA" and not found.calibrated
    assert 0 < found.line_integrals.mean() < PICTURE_WHITE
