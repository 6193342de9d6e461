"""What the pixels of a DICOM X-ray mean, from its tags alone (see :mod:`.radiograph_values` for the meanings and the standard)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import number, numbers, word, words
from XRayTo3DLib.io.dicom_kinds import is_localizer
from XRayTo3DLib.io.dicom_masks import burnt_in, outside_fields, padding
from XRayTo3DLib.io.dicom_pixels import DicomPixels, read_pixels
from XRayTo3DLib.io.dicom_views import sequence
from XRayTo3DLib.io.grey import grey_of
from XRayTo3DLib.io.radiograph_values import Reading
from XRayTo3DLib.io.rtimage import RESCALE_TYPE

#: Units of a dose or a fluence, in RescaleType and ModalityLUTType: calibrated units of a portal imager, and grays.
_DOSE = {"CU", "GY", "CGY", "MGY", "UGY", "DOSE", "MU", "FLUENCE"}
#: Modalities and classes of objects whose field the patient fills as a rule, and whose Modality LUT leads to the intensity.
_C_ARM = {"XA", "RF"}
_C_ARM_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.12.{n}" for n in ("1", "1.1", "2", "2.1"))


@dataclass(frozen=True)
class _Told:
    """What the header says: the relationship of stored values to the beam and its sign, and the unit of rescaled ones."""

    relationship: str
    sign: float | None
    unit: str
    for_display: bool
    c_arm: bool


def dicom_reading(path: str | Path, header: Dataset, frame: int = 0, kind: str = "auto") -> Reading:
    """A frame (from 0) of a DICOM file and what its numbers mean; ``kind`` as in :data:`.radiograph_values.KINDS`.

    ``header`` is that of the frame (:func:`.dicom_frames.frame_tags`).

    Raises :class:`InputError` for pixels that cannot be read, colour, and damaged transformations.
    """
    name = str(path)
    pixels = read_pixels(path, frame)
    told = _told(header)
    valid = np.ones(pixels.values.shape[:2], bool)
    notes = list(pixels.notes)
    if pixels.values.shape[2] > 1 or word(header, "PhotometricInterpretation") == "PALETTE COLOR":
        stored, valid = grey_of(*_colours(pixels, header, name), name)
        notes += [] if valid.all() else ["Coloured marks were left out."]
        told = _Told("", None, "", True, told.c_arm)
    else:
        stored = pixels.values[..., 0]
        hidden = {"padding": padding(pixels, header)} | outside_fields(header, stored.shape, name)
        for why, mask in hidden.items():
            if (mask & valid).any():
                notes.append(f"{(mask & valid).mean():.1%} of the picture is {why} and was left out.")
            valid = valid & ~mask
    if burnt_in(header):
        notes.append("The file says that letters are burnt into the picture.")
    rescaled, linear = _rescaled(stored, header, told, name)
    values, meaning = _meaning(stored, rescaled, linear, told, header, kind)
    saturated = _saturated(pixels, header, told) if meaning == "intensity" and values is not linear else None
    return Reading(values, valid, meaning, saturated, told.c_arm, tuple(notes))


def _told(header: Dataset) -> _Told:
    relationship, sign = word(header, "PixelIntensityRelationship").upper(), number(header, "PixelIntensityRelationshipSign")
    if sign not in (1, -1):
        sign = 1 if relationship in ("LIN", "LOG") else None
    lut = next(iter(sequence(header, "ModalityLUTSequence")), None)
    unit = word(header, "RescaleType") if lut is None else word(lut, "ModalityLUTType")
    for_display = word(header, "PresentationIntentType").upper() == "FOR PRESENTATION" or relationship == "DISP"
    c_arm = word(header, "Modality") in _C_ARM or word(header, "SOPClassUID") in _C_ARM_CLASSES
    return _Told(relationship, sign, unit.upper(), for_display, c_arm)


def _meaning(
    stored: np.ndarray, rescaled: np.ndarray, linear: np.ndarray | None, told: _Told, header: Dataset, kind: str
) -> tuple[np.ndarray, str]:
    """The values to go on with, and their meaning. ``linear``: what a LUT of the file says is proportional to the beam."""
    dose = _is_dose(stored, rescaled, told)
    if kind in ("line_integral", "transmission"):
        return rescaled, kind
    if kind == "intensity":
        return (linear if linear is not None else rescaled if dose else stored), kind
    dark_bone = word(header, "PhotometricInterpretation") == "MONOCHROME1" if told.sign is None else told.sign == 1
    shown = rescaled if told.sign is None else stored
    display = -shown if dark_bone else shown
    if kind == "inverted":
        return -display, "display"
    if told.unit == RESCALE_TYPE:
        return rescaled, "line_integral"
    if told.for_display:
        return display, "display"
    if linear is not None:
        return linear, "intensity"
    if dose:
        return rescaled, "intensity"
    if told.relationship == "LIN" and told.sign == 1:
        return stored, "intensity"
    if told.relationship == "LOG" or is_localizer(header):  # a scanner's detectors are read through a logarithm
        return display, "log"
    return display, "display"


def _is_dose(stored: np.ndarray, rescaled: np.ndarray, told: _Told) -> bool:
    """Whether rescaled values are a dose: by their unit, unless the relationship to the beam says that they fall with it."""
    if told.unit not in _DOSE or told.relationship == "LOG":
        return False
    if told.sign is None:
        return True
    low, high = int(stored.argmin()), int(stored.argmax())
    return (rescaled.flat[high] - rescaled.flat[low]) * told.sign > 0


def _rescaled(stored: np.ndarray, header: Dataset, told: _Told, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Values after the Modality LUT or slope and intercept, and those proportional to the beam where a LUT gives them."""
    slope, intercept = _rescale(header, "RescaleSlope", 1.0, name), _rescale(header, "RescaleIntercept", 0.0, name)
    rescaled = slope * stored + intercept
    to_linear = next((item for item in _tables(header) if word(item, "LUTFunction").upper() == "TO_LINEAR"), None)
    linear = None if to_linear is None else _looked_up(stored, to_linear, header, name)
    if header.get("ModalityLUTSequence"):
        looked_up = _looked_up(stored, header.ModalityLUTSequence[0], header, name)
        if not told.c_arm:  # there it is for going back to the intensity, and not for display
            rescaled = looked_up
        elif told.relationship == "LOG" and linear is None:
            linear = looked_up
    return rescaled, linear


def _tables(header: Dataset) -> Iterator[Dataset]:
    """The tables between stored values and the beam, of the object or of all its frames."""
    for holder in (header, *sequence(header, "SharedFunctionalGroupsSequence")):
        yield from sequence(holder, "PixelIntensityRelationshipLUTSequence")


def _looked_up(stored: np.ndarray, item: Dataset, header: Dataset, name: str) -> np.ndarray:
    """Stored values through a table of the file; those before its first and after its last entry get that entry."""
    descriptor, data = numbers(item, "LUTDescriptor"), item.get("LUTData")
    if isinstance(data, bytes):
        count = int(descriptor[0]) % (1 << 16) or 1 << 16 if len(descriptor) == 3 else 0
        order = "<" if getattr(header, "original_encoding", (None, True))[1] is not False else ">"
        table = np.frombuffer(data, np.uint8 if len(data) < 2 * count else np.dtype(f"{order}u2"))
    else:
        table = np.array(numbers(item, "LUTData"))
        count = len(table)
    if len(descriptor) != 3 or count < 2 or len(table) < count:
        raise InputError(f"The Modality LUT of {name} is damaged: export the image again.")
    first = descriptor[1]
    if number(header, "PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16
    return table[np.clip(stored - first, 0, count - 1).astype(np.int64)].astype(np.float64)


def _rescale(header: Dataset, keyword: str, neutral: float, name: str) -> float:
    """Slope or intercept, ``neutral`` when it is absent; :class:`InputError` for anything but one number."""
    if not words(header, keyword):
        return neutral
    value = number(header, keyword)
    if value is None:
        told = "\\".join(words(header, keyword))
        raise InputError(f"{name} has the {keyword} {told!r}, which is not one number: correct its header.")
    return value


def _saturated(pixels: DicomPixels, header: Dataset, told: _Told) -> np.ndarray | None:
    """Where the stored value of an intensity is the last that there is."""
    bits = number(header, "BitsStored")
    if bits is None or pixels.allocated.dtype.kind == "f":
        return None
    signed = number(header, "PixelRepresentation") == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    stored = pixels.values[..., 0]
    return np.asarray(stored <= low if told.sign == -1 else stored >= high)


def _colours(pixels: DicomPixels, header: Dataset, name: str) -> tuple[np.ndarray, float]:
    """Three channels of colour [row, column, 3] and their full scale."""
    photometric = word(header, "PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        try:
            channels = apply_color_lut(pixels.values[..., 0].astype(np.int64), header)
        except Exception as error:
            raise InputError(f"The palette of {name} is damaged ({type(error).__name__}): export the image again.") from None
        return channels.astype(np.float64)[..., :3], float(np.iinfo(channels.dtype).max)
    return pixels.values[..., :3], 2.0 ** int(number(header, "BitsStored") or 8) - 1
