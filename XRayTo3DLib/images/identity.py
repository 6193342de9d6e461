"""Whose picture it is: patient, study, frame of reference and the instances that something was made of.

It is no part of a volume or a radiograph, so that no report, log or node can say it by accident: a reader is asked for it
(:func:`XRayTo3DLib.io.identity.read_patient_study`), and a writer of DICOM is given it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PatientStudy:
    """Patient, study and frame of reference in the words of DICOM (PS3.3 C.7.1.1, C.7.2.1, C.7.4.1); empty where unknown.

    - ``patient_id``, ``study_uid``, ``study_date``, ``study_time``, ``study_id``: whose study it is;
    - ``patient_name``, ``birth_date``, ``sex``, ``accession_number``, ``study_description``, ``referring_physician``: what
      tells a person, which is read only when it is asked for;
    - ``frame_of_reference_uid``, ``position_reference``: in what coordinates (LPS mm) things lie; only those of one frame can
      be laid over one another;
    - ``series_uid`` and ``sources``, (class UID, instance UID) of each image that was read.
    """

    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_uid: str = ""
    study_date: str = ""
    study_time: str = ""
    study_id: str = ""
    accession_number: str = ""
    study_description: str = ""
    referring_physician: str = ""
    frame_of_reference_uid: str = ""
    position_reference: str = ""
    series_uid: str = ""
    sources: tuple[tuple[str, str], ...] = ()
