"""Which DICOM objects are X-rays of a body from one place, and which look like one but are not: told before they are read."""

from __future__ import annotations

from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import word, words
from XRayTo3DLib.io.dicom_views import sequence

_MAMMOGRAM, _TEETH = "a mammogram", "an X-ray of teeth, taken from inside or around the mouth"
#: Modalities (PS3.3 C.7.3.1.1.1) of pictures that are no such X-ray.
_MODALITIES = {
    "MG": _MAMMOGRAM,
    "IO": _TEETH,
    "PX": "a panoramic X-ray, whose source went around the head",
    "US": "an ultrasound picture",
    "IVUS": "an ultrasound picture",
    "XC": "a photograph",
    "GM": "a photograph through a microscope",
    "SM": "a photograph through a microscope",
    "ES": "an endoscopic picture",
    "OP": "a photograph of an eye",
    "OPT": "a scan of an eye",
    "MR": "a slice of magnetic resonance",
    "NM": "a picture of nuclear medicine",
    "PT": "a slice of positron emission tomography",
    "ECG": "an electrocardiogram",
    "SR": "a report",
    "RTDOSE": "a dose distribution",
    "RTSTRUCT": "a set of contours",
    "SEG": "a segmentation",
}
_BASE = "1.2.840.10008.5.1.4.1.1."
#: The same by SOP class, whatever the modality says (PS3.4 B.5).
_CLASSES = {
    **dict.fromkeys((f"{_BASE}1.2", f"{_BASE}1.2.1", f"{_BASE}13.1.3", f"{_BASE}13.1.4", f"{_BASE}13.1.5"), _MAMMOGRAM),
    **dict.fromkeys((f"{_BASE}1.3", f"{_BASE}1.3.1"), _TEETH),
    **dict.fromkeys((f"{_BASE}6.1", f"{_BASE}3.1", f"{_BASE}6.2"), _MODALITIES["US"]),
    **dict.fromkeys((f"{_BASE}77.1.4", f"{_BASE}77.1.4.1"), _MODALITIES["XC"]),
    **dict.fromkeys((f"{_BASE}4", f"{_BASE}4.1"), _MODALITIES["MR"]),
}
_CAPTURE = f"{_BASE}7"
#: Codes of breasts (CID 4013) and of views that are of breasts alone (CID 4014): SNOMED CT and RT.
_BREAST = {"76752008", "T-04000"}
_BREAST_VIEWS = {
    *("399368009", "R-10226", "399162004", "R-10242", "399192008", "R-1024A", "399101009", "R-1024B"),
    *("399188001", "R-102D0", "441555000", "399099002"),
}


def is_localizer(tags: Dataset) -> bool:
    """Whether a header is that of a CT localizer (topogram, scout, surview), by its ImageType or AcquisitionType."""
    types = {part.upper() for text in words(tags, "ImageType") for part in text.split()}
    still = word(tags, "AcquisitionType") == "CONSTANT_ANGLE"  # enhanced CT, of a frame
    return word(tags, "Modality") == "CT" and (still or bool(types & {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "TOP"}))


def check_is_xray(tags: Dataset, name: str) -> tuple[str, ...]:
    """Raise :class:`InputError` for a DICOM object that is no X-ray of a body from one place; notes of what is only a picture."""
    what = _CLASSES.get(word(tags, "SOPClassUID")) or _MODALITIES.get(word(tags, "Modality"))
    if what is None and _is_breast(tags):
        what = _MAMMOGRAM
    if what is None and word(tags, "Modality") == "CT" and "AXIAL" in words(tags, "ImageType"):
        what = "a slice of a CT"
    if what is not None:
        raise InputError(
            f"{name} is {what}, from which nothing can be reconstructed here: give an X-ray (CR, DX, XA, RF, RT image)."
        )
    if f"{word(tags, 'SOPClassUID')}.".startswith(f"{_CAPTURE}."):
        return ("This is a secondary capture, a picture: what its values mean and where it was taken from is not part of it.",)
    return ()


def _is_breast(tags: Dataset) -> bool:
    regions = {word(item, "CodeValue") for item in sequence(tags, "AnatomicRegionSequence")}
    asked = {word(item, "CodeValue") for item in sequence(tags, "ViewCodeSequence")}
    positions = word(tags, "PositionerType") == "MAMMOGRAPHIC" or word(tags, "ViewPosition") in ("CC", "MLO", "XCCL", "XCCM", "LMO")
    part = word(tags, "BodyPartExamined")
    # The views of breasts have a meaning elsewhere too (a patella from above), so another part of the body speaks against them.
    unsaid = not part and not regions
    return part == "BREAST" or bool(regions & _BREAST) or (unsaid and (bool(asked & _BREAST_VIEWS) or positions))
