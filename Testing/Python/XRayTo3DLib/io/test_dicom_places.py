"""Where an X-ray was taken, from the tags of each kind of file: tables of what is stated and the right value."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.iec import PATIENT_POSITIONS
from XRayTo3DLib.geometry.views import carm_direction
from XRayTo3DLib.io.dicom_frames import chosen_frame, frame_tags
from XRayTo3DLib.io.dicom_geometry import KnownGeometry, projection_from_dicom
from XRayTo3DLib.io.dicom_kinds import check_is_xray

AXES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
DX = {"Modality": "DX", "ImagerPixelSpacing": [0.5, 0.5], "DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1200}


def tags(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str = "", scheme: str = "SCT", **more) -> list[Dataset]:
    return [tags(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, **more)]


def placed(view=None, size=(40, 60), **values):
    return projection_from_dicom(tags(**{"ViewPosition": "AP", **DX, **values}), size, KnownGeometry(view))


def test_rows_and_columns_run_as_the_letters_say():
    """Bipeds and quadrupeds, turned, sideways, mirrored, oblique; about the middle of the detector, with its spacing."""
    for view, letters, row, column in (
        *(("AP", (a, b), a, b) for a in "LRHF" for b in "LRHF" if a in "LR" != b in "LR" and (a in "LR") != (b in "LR")),
        *(("LL", (a, b), a, b) for a in "APHF" for b in "APHF" if (a in "AP") != (b in "AP")),
        ("PA", ("RT", "CD"), "R", "F"),
        ("PA", ("LE", "CR"), "L", "H"),
        ("RL", ("CR", "V"), "H", "A"),
        ("LL", ("D", "CD"), "P", "F"),
        ("AP", ("LP", "FA"), "L", "F"),
        ("AP", ("LH", "FL"), "L", "F"),
    ):
        found = placed(ViewPosition=view, PatientOrientation=list(letters), ImagerPixelSpacing=[0.5, 0.25])
        usual = placed(ViewPosition=view, ImagerPixelSpacing=[0.5, 0.25])
        assert found.projection.row_direction == pytest.approx(AXES[row]), (view, letters)
        assert found.projection.column_direction == pytest.approx(AXES[column]), (view, letters)
        assert found.projection.centre == pytest.approx(usual.projection.centre), (view, letters)
        assert found.projection.source == pytest.approx(usual.projection.source) and found.projection.spacing == (0.5, 0.25)
        turned = not np.allclose(found.projection.matrix, usual.projection.matrix)
        assert any(f"PatientOrientation is {letters[0]}\\{letters[1]}" in note for note in found.notes) == turned
    rostral = placed(ViewPosition="PA", PatientOrientation=["LE", "R"], AnatomicalOrientationType="QUADRUPED").projection
    assert rostral.column_direction == pytest.approx(AXES["H"])  # R is rostral here, not right
    oblique = placed(ViewPosition="LAO40", PatientOrientation=["RP", "H"]).projection
    assert oblique.column_direction == pytest.approx(AXES["H"]) and oblique.row_direction @ np.array(AXES["R"]) > 0.7


def test_letters_that_cannot_be_those_of_the_view_are_refused_or_said():
    for view, letters in (("LL", ["L", "F"]), ("AP", ["A", "F"]), ("AP", ["L", "R"]), ("AP", ["DI", "M"]), ("PA", ["X", "Y"])):
        with pytest.raises(InputError, match="PatientOrientation"):
            placed(ViewPosition=view, PatientOrientation=letters)
        found = placed("LAT" if view == "LL" else view, ViewPosition=view, PatientOrientation=letters)
        assert any("PatientOrientation" in note and "not used" in note for note in found.notes)


def test_the_plane_in_the_patient_is_honoured():
    tilt = np.radians(10)
    row, column = [0.0, -1.0, 0.0], [np.sin(tilt), 0.0, -np.cos(tilt)]
    plane = {"ImageOrientationPatient": [*row, *column], "ImagePositionPatient": [310.0, 60.0, 44.0]}
    for view, side in (("LL", 1), ("RL", -1)):
        found = placed(ViewPosition=view, **plane).projection
        assert found.origin == pytest.approx([310, 60, 44]) and found.column_direction == pytest.approx(column)
        normal = side * np.array([np.cos(tilt), 0, np.sin(tilt)])
        assert found.source == pytest.approx(found.centre - 1500 * normal)
    only_turned = placed(ViewPosition="LL", ImageOrientationPatient=[*row, *column]).projection
    assert only_turned.centre == pytest.approx(300 * np.array([np.cos(tilt), 0, np.sin(tilt)]))
    with pytest.raises(InputError, match=r"80 degrees from facing|90 degrees from facing"):
        placed(ViewPosition="AP", **plane)
    contradicted = placed(ViewPosition="LL", PatientOrientation=["P", "F"], **plane)
    assert contradicted.projection.row_direction == pytest.approx(row)
    assert any("contradicts the plane" in note for note in contradicted.notes)


def test_views_by_words_and_codes():
    left, right = (1, 0, 0), (-1, 0, 0)
    ap, pa = (0, 1, 0), (0, -1, 0)
    for words, beam in (
        ("AP SUPINE", ap), ("CHEST PA ERECT", pa), ("ANTERO POSTERIOR", ap), ("POSTEROANTERIOR", pa), ("VD", ap), ("DV", pa),
        ("LL", left), ("RIGHT LAT", right), ("L LATERAL", left), ("RLAT", right), ("LAO 30", carm_direction(30)),
    ):  # fmt: skip
        assert placed(ViewPosition=words).projection.beam_direction == pytest.approx(beam), words
    for value, scheme, beam in (
        ("399348003", "SCT", ap), ("R-10206", "SRT", ap), ("272479007", "SCT", pa), ("399173006", "SCT", left),
        ("399198007", "SCT", right), ("R-10232", "SNM3", right),
    ):  # fmt: skip
        assert placed(ViewPosition="", ViewCodeSequence=code(value, "x", scheme)).projection.beam_direction == pytest.approx(
            beam
        ), value
    assert placed(ViewPosition="", ViewCodeSequence=code("17", "postero-anterior", "99X")).view == "PA"
    for side, said, beam in (
        ("L", "LATERAL", left), ("R", "LATERAL", right), ("", "LAT", left),
        ("L", "ML", left), ("R", "ML", right), ("R", "LM", left),
    ):  # fmt: skip
        found = placed(ViewPosition=said, ImageLaterality=side)
        assert found.projection.beam_direction == pytest.approx(beam), (side, said)
        assert any("side is at the detector" in note for note in found.notes) == said.startswith("LAT")
    assert any("frontal" in note for note in placed(ViewPosition="", ViewCodeSequence=code("399033003")).notes)
    cephalad = code("399348003", ViewModifierCodeSequence=code("399196006", "cephalad"))
    assert any("cephalad" in note for note in placed(ViewPosition="", ViewCodeSequence=cephalad).notes)
    for said, reason in (
        ("RLD", "how the patient lies"),
        ("RLO", "how many degrees"),
        ("ML", "which side"),
        ("SWIMMER", "not known"),
    ):
        with pytest.raises(InputError, match=reason):
            placed(ViewPosition=said)
    with pytest.raises(InputError, match="contradicts itself"):
        placed(ViewCodeSequence=code("399173006"))
    # The stand decides what angles mean.
    arm = {"PositionerPrimaryAngle": 90, "PositionerSecondaryAngle": 0}
    assert placed(PositionerType="CARM", **arm).projection.beam_direction == pytest.approx(left)
    named = placed(**arm)
    assert named.projection.beam_direction == pytest.approx(ap) and any("LAO90" in note for note in named.notes)


def test_distances_by_the_kind_of_file():
    """Source to detector and to the middle of the patient, and whether something is said of it."""
    for values, to_detector, to_patient, said in (
        ({"Modality": "XA", "DistanceSourceToDetector": 1100, "DistanceSourceToPatient": 750}, 1100, 750, ""),
        ({"Modality": "RF", "DistanceSourceToDetector": 1100, "DistanceSourceToPatient": 1050}, 1100, 1050, ""),
        ({"DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1746}, 1800, 1626, "table or bucky"),
        ({"Modality": "CR", "DistanceSourceToDetector": 1000, "DistanceSourceToPatient": 940}, 1000, 820, "table or bucky"),
        ({"DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1746, "BodyPartThickness": 200}, 1800, 1646, "Thickness"),
        ({"DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1200}, 1500, 1200, "more than any table"),
        ({"DistanceSourceToDetector": 1500, "DistanceSourceToPatient": None, "EstimatedRadiographicMagnificationFactor": 1.2},
         1500, 1250, ""),
        ({"DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1746, "EstimatedRadiographicMagnificationFactor": 1.1},
         1800, 1800 / 1.1, ""),
        ({"Modality": "XA", "DistanceSourceToPatient": None, "DistanceSourceToIsocenter": 810}, 1500, 810, ""),
    ):  # fmt: skip
        found = placed(**values)
        assert found.projection.source_to_detector == pytest.approx(to_detector), values
        assert np.linalg.norm(found.projection.source) == pytest.approx(to_patient), values
        assert any(said in note for note in found.notes) if said else not found.notes, values
    with pytest.raises(InputError, match="1000 mm from the detector but 1200 mm from the patient"):
        placed(DistanceSourceToDetector=1000)


def test_pixel_spacings_by_what_they_are_calibrated_for():
    none = {"ImagerPixelSpacing": None}
    for values, spacing, said in (
        ({"PixelSpacing": [0.4, 0.4], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.5, 0.5), ""),
        ({**none, "PixelSpacing": [0.4, 0.8], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.5, 1.0), "calibrated"),
        ({**none, "PixelSpacing": [0.4, 0.4], "PixelSpacingCalibrationType": "FIDUCIAL",
          "EstimatedRadiographicMagnificationFactor": 1.1}, (0.44, 0.44), "calibrated"),
        ({**none, "PixelSpacing": [0.4, 0.4]}, (0.4, 0.4), "at the detector"),
        ({**none, "NominalScannedPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.09, 0.09]}, (0.1, 0.1), "at the detector"),
        ({"PixelAspectRatio": [2, 1]}, (0.5, 0.5), "PixelAspectRatio"),
    ):  # fmt: skip
        found = placed(**values)
        assert found.projection.spacing == pytest.approx(spacing), values
        assert any(said in note for note in found.notes), values
    where = placed(DistanceSourceToPatient=None, PixelSpacing=[0.4, 0.4])
    assert np.linalg.norm(where.projection.source) == pytest.approx(1200)  # where the spacing is right
    oblong = tags(**{**DX, **none, "PixelAspectRatio": [2, 1], "ViewPosition": "AP"})
    for spacing in (None, 0.5):
        with pytest.raises(InputError, match="2:1"):
            projection_from_dicom(oblong, (40, 60), KnownGeometry(spacing=spacing))
    assert projection_from_dicom(oblong, (40, 60), KnownGeometry(spacing=(1.0, 0.5))).projection.spacing == (1.0, 0.5)


def test_tilted_columns_detectors_and_tables():
    for column, lies, towards in ((20, "HFS", 1), (-20, "HFS", -1), (20, "FFS", -1)):
        found = placed(Modality="RF", ColumnAngulation=column, PatientPosition=lies)
        expected = [0, np.cos(np.radians(20)), towards * np.sin(np.radians(20))]
        assert found.projection.beam_direction == pytest.approx(expected)
        assert found.projection.source == pytest.approx(-1200 * np.array(expected))  # aimed at the isocentre still
        assert found.projection.normal == pytest.approx([0, 1, 0]) and any("ColumnAngulation" in note for note in found.notes)
    arm = {"Modality": "XA", "PositionerPrimaryAngle": 30, "PositionerSecondaryAngle": 10}
    for across, down in ((12, 0), (0, -7), (5, 4)):
        found = placed(**arm, DetectorPrimaryAngle=across, DetectorSecondaryAngle=down).projection
        assert found.beam_direction == pytest.approx(carm_direction(30, 10))
        depth = abs(found.beam_direction @ found.normal)
        assert np.degrees(np.arctan2(found.beam_direction @ found.row_direction, depth)) == pytest.approx(across, abs=1e-6)
        assert np.degrees(np.arctan2(-found.beam_direction @ found.column_direction, depth)) == pytest.approx(down, abs=1e-6)
    assert any("TableAngle is 30" in note for note in placed(TableAngle=30).notes)


def test_rt_images_of_patients_in_every_position():
    """The way to the gantry and the way up, said by hand; the source stands 40 degrees from up, towards x = y cross z."""
    stated = {"Modality": "RTIMAGE", "ViewPosition": None, "GantryAngle": 40, "PatientSupportAngle": 0, "RTImageSID": 1500}
    stated |= {"RadiationMachineSAD": 1000, "IsocenterPosition": [10, -20, 30], "DistanceSourceToDetector": None}
    stated |= {"ImagePlanePixelSpacing": [2, 2], "ImagerPixelSpacing": None, "DistanceSourceToPatient": None}
    for lies, gantry, up in (
        ("HFS", "H", "A"), ("HFP", "H", "P"), ("HFDR", "H", "L"), ("HFDL", "H", "R"),
        ("FFS", "F", "A"), ("FFP", "F", "P"), ("FFDR", "F", "L"), ("FFDL", "F", "R"),
    ):  # fmt: skip
        x = np.cross(AXES[gantry], AXES[up])
        away = np.cos(np.radians(40)) * np.array(AXES[up]) + np.sin(np.radians(40)) * x
        found = placed(**stated, PatientPosition=lies).projection
        assert found.source == pytest.approx([10, -20, 30] + 1000 * away), lies
        assert found.column_direction == pytest.approx(-np.array(AXES[gantry])), lies
    assert len(PATIENT_POSITIONS) == 16
    with pytest.raises(InputError, match="'SITTING'"):
        placed(**stated, PatientPosition="SITTING")
    # The couch, pitched head up by a right angle, turns the patient's head to where the source is at 0.
    pitched = placed(**{**stated, "GantryAngle": 0}, PatientPosition="HFS", TableTopPitchAngle=90).projection
    assert pitched.source == pytest.approx([10, -20, 1030])
    # A picture of a plane before the isocentre; a receptor whose distance alone is told; an isocentre that is not.
    near = placed(**{**stated, "RTImageSID": 900}, PatientPosition="HFS").projection
    assert near.source_to_detector == pytest.approx(900) and np.linalg.norm(near.source - [10, -20, 30]) == pytest.approx(1000)
    assert placed("LAT", **{**stated, "RTImageSID": 900}).projection.source_to_detector == pytest.approx(900)
    told = {**stated, "RTImageSID": None, "XRayImageReceptorTranslation": [5, 3, -540]}
    assert placed(**told, PatientPosition="HFS").projection.source_to_detector == pytest.approx(1540)
    lost = placed(**{**stated, "IsocenterPosition": None}, PatientPosition="HFS")
    assert any("isocentre is not said" in note for note in lost.notes)


def test_frames_have_their_own_angles():
    run = {
        "Modality": "XA",
        "NumberOfFrames": 4,
        "PositionerPrimaryAngle": 10,
        "PositionerSecondaryAngle": 5,
        "PositionerMotion": "DYNAMIC",
    }
    for increments, angles in (([2], (14, 5)), ([0, 3, 7, 12], (17, 5)), (None, (10, 5))):
        notes: list[str] = []
        found = frame_tags(tags(**run, PositionerPrimaryAngleIncrement=increments), 2, notes)
        assert (found.PositionerPrimaryAngle, found.PositionerSecondaryAngle) == angles and not notes
    enhanced = tags(NumberOfFrames=2, Modality="XA")
    enhanced.SharedFunctionalGroupsSequence = [tags(XRayGeometrySequence=[tags(DistanceSourceToIsocenter=800)])]
    enhanced.PerFrameFunctionalGroupsSequence = [
        tags(PositionerPositionSequence=[tags(PositionerPrimaryAngle=angle, PositionerSecondaryAngle=0)]) for angle in (20, 25)
    ]
    found = frame_tags(enhanced, 1, [])
    assert found.PositionerPrimaryAngle == 25 and found.DistanceSourceToIsocenter == 800
    assert chosen_frame(1, None, "a") == 0 and chosen_frame(4, 3, "a") == 2
    for frame, words in ((None, "holds 4 frames"), (0, "no frame 0"), (5, "no frame 5"), (True, "no frame")):
        with pytest.raises(InputError, match=words):
            chosen_frame(4, frame, "a")


def test_what_is_no_x_ray_of_a_body_is_refused_by_its_name():
    base = "1.2.840.10008.5.1.4.1.1."
    for values, words in (
        ({"Modality": "MG"}, "mammogram"),
        ({"Modality": "DX", "SOPClassUID": base + "1.2"}, "mammogram"),
        ({"Modality": "CR", "BodyPartExamined": "BREAST"}, "mammogram"),
        ({"Modality": "DX", "ViewCodeSequence": code("399162004", "cranio-caudal")}, "mammogram"),
        ({"Modality": "DX", "AnatomicRegionSequence": code("T-04000", "Breast", "SRT")}, "mammogram"),
        ({"Modality": "IO"}, "teeth"),
        ({"Modality": "DX", "SOPClassUID": base + "1.3.1"}, "teeth"),
        ({"Modality": "PX"}, "panoramic"),
        ({"Modality": "US"}, "ultrasound"),
        ({"Modality": "XC"}, "photograph"),
        ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, "slice of a CT"),
    ):
        with pytest.raises(InputError, match=words):
            check_is_xray(tags(**values), "a.dcm")
    assert check_is_xray(tags(Modality="DX", SOPClassUID=base + "1.1"), "a.dcm") == ()
    assert check_is_xray(tags(Modality="DX", BodyPartExamined="KNEE", ViewCodeSequence=code("399162004")), "a.dcm") == ()
    assert "secondary capture" in check_is_xray(tags(Modality="OT", SOPClassUID=base + "7.2"), "a.dcm")[0]
