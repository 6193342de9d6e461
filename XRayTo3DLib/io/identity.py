"""Patient, study and frame of reference of DICOM files, and names of files without the patient's.

What tells a person (name, birth date, sex, accession number, descriptions in free text) is read only when it is asked for;
UIDs, dates of the study and the patient's identifier are what an archive needs to put a picture beside the one that it came
from. Sources: DICOM PS3.3 C.7.1.1 (patient), C.7.2.1 (study), C.7.4.1 (frame of reference), C.12.4 (references).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from pydicom.config import RAISE, disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_name, readable_file
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.io.dicom_headers import read_header, word
from XRayTo3DLib.io.dicom_series import series_files

#: Fields of a PatientStudy and their keywords in DICOM.
KEYWORDS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "study_uid": "StudyInstanceUID",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "study_id": "StudyID",
    "accession_number": "AccessionNumber",
    "study_description": "StudyDescription",
    "referring_physician": "ReferringPhysicianName",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "position_reference": "PositionReferenceIndicator",
    "series_uid": "SeriesInstanceUID",
}
#: Those that tell a person.
_PERSONAL = {"patient_name", "birth_date", "sex", "accession_number", "study_description", "referring_physician"}
#: Parts of a name that are shorter say nothing of a person.
_SHORTEST_PART = 2
#: Parts of at least so many letters are taken out of names of files even inside other words.
_SURELY_A_NAME = 4
#: Longer texts are not shown in the sentence of an error.
_SHOWN = 64


def read_patient_study(path: str | Path | Sequence[str | Path], keep_identity: bool = False) -> PatientStudy | None:
    """Whose picture a DICOM file, some files, or the one series of a folder, is; ``None`` when one is not DICOM.

    Without ``keep_identity`` the patient's name, birth date and sex, the accession number, the study's description and the
    referring physician stay unread. What is missing, or is no valid value, stays empty, as do a study and a frame of
    reference that the files of a series do not agree on (some anonymizers give each file its own). Raises :class:`InputError` for
    files of several patients, and for what cannot be read.
    """
    several = [path] if isinstance(path, (str, Path)) else list(path)
    files: list[Path] = []
    for source in map(Path, several):
        files += map(Path, series_files(source)) if source.is_dir() else [readable_file(source, "image")]
    if not files:
        return None
    headers: list[Dataset] = []
    for file in files:
        header = read_header(file)
        if header is None:
            return None
        headers.append(header)
    with disable_value_validation():  # pydicom would warn of wrong values, and show them
        return _study(files, headers, keep_identity)


def _study(files: Sequence[Path], headers: Sequence[Dataset], keep_identity: bool) -> PatientStudy:
    for file, header in zip(files, headers, strict=True):
        if word(header, "PatientID") != word(headers[0], "PatientID"):
            raise InputError(f"{file} has another PatientID than {files[0]}: keep the images of one patient in a folder.")
    wanted = {name: keyword for name, keyword in KEYWORDS.items() if keep_identity or name not in _PERSONAL}
    found = {name: _valid(headers[0], keyword) for name, keyword in wanted.items()}
    for name in ("study_uid", "frame_of_reference_uid"):
        if len({word(header, KEYWORDS[name]) for header in headers}) > 1:
            found[name] = ""
    sources = ((_valid(header, "SOPClassUID"), _valid(header, "SOPInstanceUID")) for header in headers)
    return PatientStudy(**found, sources=tuple(pair for pair in sources if all(pair)))


def why_not(keyword: str, text: str) -> str:
    """Why a text cannot be the value of a DICOM element, by its keyword; empty when it can."""
    if "\\" in text or any(not c.isprintable() for c in text):
        return "it holds a backslash, a line end or another sign that is not printed"
    if keyword == "PatientSex":
        return "" if text in ("", "M", "F", "O") else "it is none of M, F and O"
    try:
        validate_value(dictionary_VR(keyword), text, RAISE)
    except (ValueError, TypeError) as error:
        return str(error).splitlines()[0].rstrip(".") if len(text) <= _SHOWN else f"it has {len(text)} letters"
    return ""


def name_without_patient(path: str | Path) -> str:
    """The name of a file or folder for reports and nodes: parts of the patient's name, where it is DICOM, become "patient".

    Exports are often called after the patient. A name that is not told by the file itself cannot be known.
    """
    source = Path(path)
    name = source.name or source.resolve().name
    for part in _name_parts(source):
        pattern = re.escape(part) if len(part) >= _SURELY_A_NAME else _word(part)
        name = re.sub(pattern, "patient", name, flags=re.IGNORECASE)
    return name


def without_patient(sentences: Iterable[str], path: str | Path) -> tuple[str, ...]:
    """Notes on a DICOM file or folder without the words that are parts of the patient's name; files may be called so."""
    found = list(sentences)
    for part in _name_parts(Path(path)) if found else []:
        found = [re.sub(_word(part), "patient", sentence, flags=re.IGNORECASE) for sentence in found]
    return tuple(found)


def _word(part: str) -> str:
    """A pattern for a part of a name where it is no part of another word."""
    return rf"(?<![^\W\d_]){re.escape(part)}(?![^\W\d_])"


def same_patient(studies: Sequence[PatientStudy | None]) -> bool:
    """Whether nothing speaks against one patient: identifiers that are known are equal."""
    return len({study.patient_id for study in studies if study is not None and study.patient_id}) < 2


def _name_parts(source: Path) -> list[str]:
    """The parts of the patient's name in a DICOM file, or the first one of a folder, the longest first."""
    header = None
    with suppress(InputError, OSError):
        for file in sorted(source.iterdir()) if source.is_dir() else [source]:
            check_name(file)
            header = read_header(file) if file.is_file() else None
            if header is not None:
                break
    if header is None:
        return []
    with disable_value_validation():
        name = str(header.get("PatientName") or "")
    parts = {part for part in re.split(r"[\s^=,._-]+", name) if len(part) >= _SHORTEST_PART}
    return sorted(parts, key=len, reverse=True)


def _valid(header: Dataset, keyword: str) -> str:
    """The value of an element, empty where there are several, or where DICOM would not take it."""
    try:
        value = header.get(keyword)
    except (TypeError, ValueError):
        return ""
    found = "" if value is None else str(value).strip()  # not word(): a name is a row of letters to it
    if keyword.endswith("Date"):
        found = found.replace(".", "")  # as ACR-NEMA wrote dates
    return "" if isinstance(value, MultiValue) or why_not(keyword, found) else found
