"""CT localizers and slot scans: which headers are scanned, where they put the picture, and where its tube travelled."""

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.io.scanned import view_word

ROWS, COLUMNS = 40, 30


def written(path, **tags):
    """A small 12-bit DICOM file with these attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage if tags["Modality"] == "CT" else DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope = (-1024, 1) if tags["Modality"] == "CT" else (0, 1)
    dataset.PixelData = (np.arange(ROWS * COLUMNS) % 3000).astype("<u2").tobytes()
    for keyword, value in tags.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def localizer(path, **tags):
    """An AP topogram of a supine patient: rows to the left, columns to the feet, 570 mm before the tube."""
    usual = {
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
        "ImagePositionPatient": [-29, 130, 700],
        "PixelSpacing": [1.5, 2],
        "DistanceSourceToDetector": 1040,
        "DistanceSourceToPatient": 570,
    }
    return written(path, **(usual | tags))


def slot(path, **tags):
    usual = {
        "Modality": "DX",
        "ViewPosition": "AP",
        "ImagerPixelSpacing": [0.5, 0.5],
        "DistanceSourceToDetector": 1300,
        "DistanceSourceToPatient": 987,
        "PatientOrientation": ["L", "F"],
    }
    return written(path, **(usual | tags))


def said(found, *parts):
    return all(any(part in note for note in found.notes) for part in parts)


#: Orientation, view that is named, the way the rays ran, and the word for it.
PLANES = [
    ([1, 0, 0, 0, 0, -1], None, (0, 1, 0), "AP"),
    ([1, 0, 0, 0, 0, -1], "PA", (0, -1, 0), "PA"),
    ([-1, 0, 0, 0, 0, -1], None, (0, -1, 0), "PA"),
    ([-1, 0, 0, 0, 0, -1], "AP", (0, 1, 0), "AP"),
    ([1, 0, 0, 0, 0, 1], None, (0, -1, 0), "PA"),
    ([0, 1, 0, 0, 0, -1], None, (-1, 0, 0), "RLAT"),
    ([0, -1, 0, 0, 0, -1], None, (1, 0, 0), "LLAT"),
    ([0, 1, 0, 0, 0, -1], "LAT", (1, 0, 0), "LAT"),
    ([0, 0, -1, 0, 1, 0], None, (1, 0, 0), "LLAT"),
]


def test_a_localizer_stands_where_its_plane_says_and_its_tube_travels(tmp_path):
    for orientation, view, ray, word in PLANES:
        path = localizer(tmp_path / "a.dcm", ImageOrientationPatient=orientation)
        found = read_radiograph(path, view)
        projection, row, column = found.projection, np.array(orientation[:3]), np.array(orientation[3:])
        assert found.name == word and found.unknown == ("offset", "gain")  # read through a logarithm
        assert projection.beam_direction == pytest.approx(ray)
        assert projection.row_direction == pytest.approx(row) and projection.column_direction == pytest.approx(column)
        assert projection.scan_direction == pytest.approx(column if column[2] else row)
        # In the isocentre a point lies where the plane says; 100 mm behind it only the coordinate across shrinks.
        middle = np.array([-29, 130, 700]) + 29 * row + 29.25 * column
        there = middle + 12 * row + 9 * column
        assert projection.project(there[None])[0] == pytest.approx([14.5 + 6, 19.5 + 6])
        deeper = projection.project(there[None] + 100 * np.array(ray))[0]
        across, along = (0, 1) if column[2] else (1, 0)
        assert deeper[along] == pytest.approx([14.5, 19.5][along] + 6)
        assert deeper[across] == pytest.approx([14.5, 19.5][across] + 6 * 570 / 670)
        assert np.linalg.norm(projection.source - middle) == pytest.approx(570)


def test_what_the_header_of_a_localizer_says_counts_and_what_it_leaves_out_is_said(tmp_path):
    def read(view=None, **tags):
        given = {key: tags.pop(key) for key in ("isocentre", "source_to_isocentre", "spacing", "beam") if key in tags}
        return read_radiograph(localizer(tmp_path / "a.dcm", **tags), view, **given)

    usual = np.array([0, 130 - 570, 700 - 29.25])
    assert read().projection.source == pytest.approx(usual)
    assert said(read(), "on which side the tube stood", "middle of the picture", "CT localizer")
    # The side of the tube, by the description of the series.
    for text, word in (("Topogram PA 0.6", "PA"), ("SCOUT AP", "AP"), ("Surview", "AP")):
        assert read(SeriesDescription=text).name == word, text
    # The same by the angle of the tube, and of a lateral; an enhanced object says that in its functional groups.
    side = [0, 1, 0, 0, 0, -1]
    for lies, angle, orientation, ray in (
        ("HFS", 0, None, (0, 1, 0)),
        ("HFS", 180, None, (0, -1, 0)),
        ("HFP", 0, None, (0, -1, 0)),
        ("FFP", 180, None, (0, 1, 0)),
        ("HFS", 90, side, (-1, 0, 0)),
        ("FFS", 90, side, (1, 0, 0)),
        ("HFDR", 0, side, (-1, 0, 0)),
        ("FFDL", 0, side, (1, 0, 0)),
        ("HFS", 90, None, (0, 1, 0)),  # it cannot be that of this plane
    ):
        tags = {} if orientation is None else {"ImageOrientationPatient": orientation}
        found = read(PatientPosition=lies, TubeAngle=angle, **tags).projection
        assert found.beam_direction == pytest.approx(ray), (lies, angle)
    details = Dataset()
    details.TubeAngle, details.AcquisitionType = 180.0, "CONSTANT_ANGLE"
    group = Dataset()
    group.CTAcquisitionDetailsSequence = group.CTAcquisitionTypeSequence = [details]
    enhanced = {"ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "SharedFunctionalGroupsSequence": [group]}
    assert read(PatientPosition="HFS", **enhanced).name == "PA"
    # Distances: enhanced attributes first, what cannot be a tube's not at all, and the maker's own without any.
    without = {"DistanceSourceToPatient": None, "DistanceSourceToDetector": None}
    for tags, distance in (
        ({"DistanceSourceToDataCollectionCenter": 595.0}, 595),
        ({"DistanceSourceToPatient": 40}, 595),
        ({**without, "Manufacturer": "GE MEDICAL SYSTEMS"}, 541),
        ({**without, "Manufacturer": "Philips"}, 570),
        ({**without, "Manufacturer": "Storage AG"}, 595),
        ({"source_to_isocentre": 600.0}, 600),
    ):
        found = read(**tags)
        assert found.projection.source[1] == pytest.approx(130 - distance), tags
        assert said(found, "is assumed") == ("Manufacturer" in tags or tags.get("DistanceSourceToPatient") == 40)
    # A centre that is told: the fan's axis passes it, and the spacing holds in its plane.
    for tags in ({"DataCollectionCenterPatient": [10.0, 110.0, 0.0]}, {"isocentre": (10.0, 110.0, 0.0)}):
        moved = read(**tags)
        assert moved.projection.source == pytest.approx([10, 110 - 570, 700 - 29.25])
        assert moved.projection.project(np.array([[15.0, 110.0, 691.0]]))[0] == pytest.approx([22, 6])
        assert not said(moved, "middle of the picture")
    assert read(spacing=(3.0, 1.0)).projection.spacing == (3.0, 1.0)
    turned = read("AP+10")
    assert turned.projection.beam_direction == pytest.approx([0, 1, 0]) and said(turned, "runs across the picture's plane, AP.")
    further = read_radiograph(localizer(tmp_path / "a.dcm"), source_to_detector=1085.0)
    assert further.projection == read().projection and said(further, "changes nothing")
    assert read(view="PA", beam="parallel").projection.beam == "parallel"
    lost = read("AP", ImagePositionPatient=None, isocentre=(5, 6, 7)).projection
    assert lost.centre == pytest.approx([5, 6, 7]) and lost.source == pytest.approx([5, -564, 7])
    upright = read("LAT", ImageOrientationPatient=None).projection
    assert upright.scan_axis == "column" and upright.source == pytest.approx([-570, 0, 0])


def test_localizers_that_cannot_be_are_refused(tmp_path):
    for tags, view, words in (
        ({}, "LAT", "ImageOrientationPatient shows AP, 90 degrees elsewhere"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, None, "does not run along the table"),
        ({"ImageOrientationPatient": None}, None, "name its view"),
        ({"PixelSpacing": None}, None, "give the spacing in mm per pixel in the isocentre"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, None, "slice of a CT"),
    ):
        with pytest.raises(InputError, match=words):
            read_radiograph(localizer(tmp_path / "a.dcm", **tags), view)
    with pytest.raises(InputError, match="use one of cone, parallel, scanned"):
        read_radiograph(localizer(tmp_path / "a.dcm"), beam="fan")


def test_a_slot_scan_is_not_magnified_along_the_patient(tmp_path):
    for tags, scanned in (
        ({"DetectorConfiguration": "SLOT"}, True),
        ({"Manufacturer": "EOS imaging"}, True),
        ({"DetectorConfiguration": "AREA"}, False),
        ({}, False),
    ):
        found = read_radiograph(slot(tmp_path / "a.dcm", **tags))
        assert said(found, "scanned") == scanned
        zero, up, left = found.projection.project(np.array([[0, 0, 0.0], [0, 0, 8.0], [5.0, 0, 0]]))
        assert (zero[1] - up[1]) * 0.5 == pytest.approx(8 if scanned else 8 * 1300 / 987)
        assert (left[0] - zero[0]) * 0.5 == pytest.approx(5 * 1300 / 987)
    # What the caller knows better, both ways; a picture that lies on its side is scanned along its rows.
    path = slot(tmp_path / "a.dcm", DetectorConfiguration="SLOT")
    assert read_radiograph(path, beam="cone").projection.is_cone
    assert read_radiograph(path, parallel=True).projection.beam == "parallel"
    assert read_radiograph(slot(tmp_path / "b.dcm"), beam="scanned").projection.scan_axis == "column"
    # Distances that nobody states; a spacing that is calibrated in the patient is magnified to the detector across alone.
    for tags, distances in (({"Manufacturer": "EOS imaging"}, (1300, 987)), ({}, (1085, 595))):
        bare = {"DistanceSourceToDetector": None, "DistanceSourceToPatient": None, **tags}
        found = read_radiograph(slot(tmp_path / "d.dcm", **bare), beam="scanned")
        assert (found.projection.source_to_detector, -found.projection.source[1]) == pytest.approx(distances)
        assert said(found, f"{distances[0]} mm is assumed", f"{distances[1]} mm is assumed")
    calibrated = {"ImagerPixelSpacing": None, "PixelSpacing": [0.4, 0.4], "PixelSpacingCalibrationType": "GEOMETRY"}
    found = read_radiograph(slot(tmp_path / "e.dcm", DetectorConfiguration="SLOT", **calibrated)).projection
    assert found.spacing == pytest.approx((0.4, 0.4 * 1300 / 987)) and found.centre == pytest.approx([0, 313, 0])
    lying = read_radiograph(slot(tmp_path / "c.dcm", DetectorConfiguration="SLOT", PatientOrientation=["F", "R"])).projection
    assert lying.scan_axis == "row" and abs(lying.scan_direction[2]) == pytest.approx(1)


def test_a_picture_of_a_scanned_beam_has_a_ct_s_distances_unless_others_are_given(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray((np.arange(1200).reshape(40, 30) % 250).astype(np.uint8)), str(tmp_path / "a.png"))
    given = read_radiograph(tmp_path / "a.png", "AP", (1.0, 2.0), 1300.0, 987.0, beam="scanned").projection
    usual = read_radiograph(tmp_path / "a.png", "AP", (1.0, 2.0), beam="scanned").projection
    for projection, distances in ((given, (1300, 987)), (usual, (1085, 595))):
        assert projection.scan_axis == "column" and projection.spacing == (1.0, 2.0)
        assert (projection.source_to_detector, -projection.source[1]) == pytest.approx(distances)


def test_words_for_beams_between_the_views():
    for degrees, word in ((0, "AP"), (10, "AP+10"), (-30, "AP-30"), (90, "LLAT"), (100, "LLAT+10"), (180, "PA"), (200, "PA+20")):
        turn = np.radians(degrees)
        assert view_word([np.sin(turn), np.cos(turn), 0]) == word
