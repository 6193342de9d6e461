"""Patient, study and frame of reference: what is read, what is written, and what is left empty."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import asdict, replace

import numpy as np
import pydicom
import pytest
from dicom_files import IDENTITY, SECRET, write_ct_series

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.identity import KEYWORDS, name_without_patient, read_patient_study, same_patient, without_patient
from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph
from XRayTo3DLib.io.rtimage import write_rtimage
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.simulation.devices import write_as

PERSONAL = {"patient_name", "birth_date", "sex", "accession_number", "study_description", "referring_physician"}
AIR = np.full((3, 4, 5), -1000)


def test_a_series_says_whose_it_is_and_names_no_person_unless_asked(tmp_path):
    folder = write_ct_series(AIR, tmp_path / "ct")
    expected = {name: IDENTITY[keyword] for name, keyword in KEYWORDS.items()}
    asked, plain = read_patient_study(folder, keep_identity=True), read_patient_study(folder)
    assert asked is not None and plain is not None
    assert asked == PatientStudy(**expected, sources=plain.sources)
    assert {name for name in expected if not getattr(plain, name)} == PERSONAL
    assert replace(asked, **dict.fromkeys(PERSONAL, "")) == plain and "SECRET" not in str(asdict(plain))
    assert [uid for _, uid in plain.sources] == ["1.2.3.4.7.1", "1.2.3.4.7.2", "1.2.3.4.7.3"]
    (tmp_path / "a.txt").write_text("text")
    assert read_patient_study(tmp_path / "a.txt") is None


def test_what_cannot_be_a_value_is_left_empty_and_mixed_series_are_refused(tmp_path):
    wrong = {
        "StudyDate": "2024.02.29",
        "StudyTime": "noon",
        "PatientSex": "female",
        "PatientID": "x" * 65,
        "StudyInstanceUID": "1.a",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about these values
        folder = write_ct_series(AIR, tmp_path / "ct", **wrong, FrameOfReferenceUID=None)
    found = read_patient_study(folder, keep_identity=True)
    assert found is not None and found.study_date == "20240229"  # as ACR-NEMA wrote dates
    assert (found.study_time, found.sex, found.patient_id, found.study_uid, found.frame_of_reference_uid) == ("",) * 5
    for keyword, value in (("PatientID", "P-78"), ("StudyInstanceUID", "1.2.9"), ("FrameOfReferenceUID", "1.2.9")):
        folder = write_ct_series(AIR, tmp_path / keyword)
        odd = pydicom.dcmread(folder / "slice001.dcm")
        setattr(odd, keyword, value)
        odd.save_as(folder / "slice001.dcm")
        files = [folder / f"slice00{number}.dcm" for number in range(3)]
        if keyword == "PatientID":
            with pytest.raises(InputError, match=r"slice001\.dcm has another PatientID"):
                read_patient_study(files)
            continue
        name = next(name for name, own in KEYWORDS.items() if own == keyword)
        assert getattr(read_patient_study(files), name) == "" and getattr(read_patient_study(files[::2]), name) == IDENTITY[keyword]


def test_names_of_files_hold_no_part_of_the_patients(tmp_path):
    file = write_ct_series(AIR, tmp_path / "Secret, name 2024", stem="NAME_SECRET") / "NAME_SECRET000.dcm"
    assert name_without_patient(file) == "patient_patient000.dcm"
    assert name_without_patient(file.parent) == "patient, patient 2024"
    (tmp_path / "SECRET.nrrd").write_text("no DICOM")
    assert name_without_patient(tmp_path / "SECRET.nrrd") == "SECRET.nrrd"
    # Notes name files, and quote what is typed into a header.
    folder = write_ct_series(np.arange(60).reshape(3, 4, 5) * 20 - 1000, tmp_path / "SECRET_1", stem="Secret_Name")
    shutil.copy(folder / "Secret_Name001.dcm", folder / "Secret_Name_copy.dcm")
    notes = read_volume(folder).notes
    assert len(notes) == 1 and "is a copy of the slice patient_patient" in notes[0] and "secret" not in notes[0].lower()
    assert without_patient(["Names of secretaries: name, NAME2."], file) == ("Names of secretaries: patient, patient2.",)
    one, other = PatientStudy(patient_id="1"), PatientStudy(patient_id="2")
    assert same_patient([one, None, PatientStudy(), one]) and not same_patient([one, other])


@pytest.fixture
def radiograph() -> Radiograph:
    values = np.linspace(0, 4, 12 * 16, dtype=np.float32).reshape(12, 16)
    return Radiograph(values, view_projection("LAO30CRAN15", (1, 2, 3), (12, 16), 2.0, 1020.0, 700.0), "arm")


def test_an_rt_image_keeps_what_it_is_given_and_invents_nothing(tmp_path, radiograph):
    identity = read_patient_study(write_ct_series(AIR, tmp_path / "ct"), keep_identity=True)
    assert identity is not None
    write_rtimage(radiograph, tmp_path / "a.dcm", (1, 2, 3), identity)
    found = pydicom.dcmread(tmp_path / "a.dcm")
    kept = {keyword: value for keyword, value in IDENTITY.items() if keyword != "SeriesInstanceUID"}
    assert {keyword: str(found[keyword].value) for keyword in kept} == kept
    assert [item.ReferencedSOPInstanceUID for item in found.SourceImageSequence] == [uid for _, uid in identity.sources]
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == IDENTITY["SeriesInstanceUID"] != found.SeriesInstanceUID
    assert "is new" not in found.DerivationDescription
    assert (found.RadiationMachineSAD, list(found.IsocenterPosition)) == (700, [1, 2, 3])

    write_rtimage(radiograph, tmp_path / "b.dcm")
    found = pydicom.dcmread(tmp_path / "b.dcm")
    present = {"StudyInstanceUID", "FrameOfReferenceUID"}
    assert not any(found.get(keyword) for keyword in kept if keyword not in present)
    assert "No study or frame of reference was known: its UID is new." in found.DerivationDescription
    assert found.StudyInstanceUID != found.FrameOfReferenceUID and "SourceImageSequence" not in found
    # Where the beam is aimed is not known, and so not said, nor how far the source is from there.
    assert found["RadiationMachineSAD"].value is None
    assert not {"IsocenterPosition", "XRayImageReceptorTranslation", "PatientPosition"} & {element.keyword for element in found}
    assert found.RTImageSID == 1020


def test_values_that_dicom_cannot_hold_are_refused(tmp_path, radiograph):
    for wrong, words in (
        ({"patient_name": "x" * 65}, "PatientName"),
        ({"patient_id": "a\\b"}, "PatientID"),
        ({"patient_id": "a\nb"}, "PatientID"),
        ({"birth_date": "3 Dec 1948"}, "PatientBirthDate"),
        ({"sex": "female"}, "PatientSex"),
        ({"study_uid": "hello"}, "StudyInstanceUID"),
        ({"frame_of_reference_uid": "1." * 40}, "FrameOfReferenceUID"),
    ):
        with pytest.raises(InputError, match=f"The {words} .* cannot stand in DICOM"):
            write_rtimage(radiograph, tmp_path / "a.dcm", identity=PatientStudy(**wrong))
    for point, words in (((0, 5000, 0), "behind the source|beside the beam"), ((1, 2, 13), "mm beside the beam's axis")):
        with pytest.raises(InputError, match=words):
            write_rtimage(radiograph, tmp_path / "a.dcm", point)
    assert list(tmp_path.iterdir()) == []


def test_pixels_that_are_no_measurement_become_padding(tmp_path, radiograph):
    valid = np.ones((12, 16), dtype=bool)
    valid[:3] = False
    values = np.where(valid, radiograph.line_integrals, 1e6).astype(np.float32)
    write_rtimage(replace(radiograph, line_integrals=values, valid=valid), tmp_path / "a.dcm")
    found = pydicom.dcmread(tmp_path / "a.dcm")
    np.testing.assert_array_equal(found.pixel_array != found.PixelPaddingValue, valid)
    scaled = found.pixel_array * float(found.RescaleSlope) + float(found.RescaleIntercept)
    np.testing.assert_allclose(scaled[valid], radiograph.line_integrals[valid], atol=4e-5)
    assert float(found.WindowCenter) < 4  # the values of the others count in nothing
    assert SECRET not in str(found)


def test_no_text_about_a_person_reaches_what_is_read_or_written_again(tmp_path, radiograph):
    """Every element of free text, and every person, is the same secret."""
    write_as(replace(radiograph, name="AP"), "DX", tmp_path / "a.dcm", (1, 2, 3))
    tags = pydicom.dcmread(tmp_path / "a.dcm")
    for keyword in (
        *("PatientName", "PatientID", "OtherPatientNames", "PatientComments", "PatientAddress", "PatientMotherBirthName"),
        *("StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "PerformedProcedureStepDescription"),
        *("OperatorsName", "PerformingPhysicianName", "ReferringPhysicianName", "NameOfPhysiciansReadingStudy"),
        *(
            "InstitutionName",
            "InstitutionAddress",
            "StationName",
            "AcquisitionDeviceProcessingDescription",
            "DerivationDescription",
        ),
        *("RequestedProcedureDescription", "AdditionalPatientHistory", "Occupation", "ViewName", "AccessionNumber"),
    ):
        setattr(tags, keyword, SECRET)
    tags.save_as(tmp_path / "b.dcm")
    found = read_radiograph(tmp_path / "b.dcm")
    assert found.name == "AP" and found.notes and "SECRET" not in repr((found.name, found.notes))
    for ending in ("nrrd", "mha", "nii", "dcm", "png"):
        write_radiograph(found, tmp_path / f"c.{ending}")
        assert b"SECRET" not in (tmp_path / f"c.{ending}").read_bytes(), ending


def test_a_mask_comes_back_from_an_rt_image(tmp_path, radiograph):
    valid = np.ones((12, 16), dtype=bool)
    valid[:3] = False
    write_rtimage(replace(radiograph, valid=valid), tmp_path / "a.dcm")
    back = read_radiograph(tmp_path / "a.dcm")
    np.testing.assert_array_equal(back.valid, valid)
    np.testing.assert_allclose(back.line_integrals[valid], radiograph.line_integrals[valid], atol=4e-5)
