"""The header of one DICOM file as pydicom's dataset, and its values as numbers and words that can be trusted.

Numbers never go through words of our own: a decimal string becomes the float it says, a sequence stays a sequence.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import IGNORE, settings
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.memory import check_memory

#: The length of an element that ends by a delimiter.
_UNDEFINED = 0xFFFFFFFF
_PIXELS = 0x7FE00010
#: Elements longer than this, in bytes, are left in the file.
_DEFERRED = 1 << 16


def read_header(path: str | Path, pixels: bool = False) -> Dataset | None:
    """Everything of a DICOM file but its pixels; ``None`` for a file that is not DICOM.

    With ``pixels`` the element of the pixels is there, with its length, and still unread.

    Raises :class:`InputError` for a header that is cut off or cannot be decoded.
    """
    mode, settings.reading_validation_mode = settings.reading_validation_mode, IGNORE
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels, defer_size=_DEFERRED if pixels else None)
    except InvalidDicomError:
        return None
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except Exception as error:  # pydicom has no one class for what a damaged file can raise
        raise InputError(f"The DICOM header of {path} is damaged ({type(error).__name__}): export the image again.") from None
    finally:
        settings.reading_validation_mode = mode


def bare_header(path: Path) -> Dataset | None:
    """The header of a DICOM file without the usual preamble, as old systems wrote them; ``None`` for any other file."""
    mode, settings.reading_validation_mode = settings.reading_validation_mode, IGNORE
    try:
        found = pydicom.dcmread(path, force=True, defer_size=_DEFERRED)
        return found if number(found, "Rows") and number(found, "Columns") and words(found, "Modality") else None
    except Exception:  # pydicom has no one class for what a file that is no DICOM can raise
        return None
    finally:
        settings.reading_validation_mode = mode


def check_dicom(path: str | Path) -> Dataset | None:
    """The header of a DICOM file that holds all it declares; ``None`` for a file that is not DICOM.

    GDCM allocates whatever length an element declares. Raises :class:`InputError` for a file that is cut off or damaged, or
    declares more pixels than the machine can hold.
    """
    source = Path(path)
    with source.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return None
    header = read_header(source, pixels=True)
    if header is None:
        return None
    held = source.stat().st_size
    if not len(header):
        raise InputError(f"The DICOM file {source} is cut off or damaged (its header is empty): copy or export it again.")
    pixels = 0
    for element in header.values():
        told, value = getattr(element, "length", 0), getattr(element, "value", None)
        short = len(value) < told if isinstance(value, bytes) else getattr(element, "value_tell", 0) + told > held
        if told != _UNDEFINED and short:
            raise InputError(f"The DICOM file {source} is cut off or damaged (element {element.tag}): copy or export it again.")
        pixels = told if element.tag == _PIXELS else pixels
    shape = [number(header, name) or 1 for name in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")]
    size = math.prod(shape) * (number(header, "BitsAllocated") or 16) / 8
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_transfer_syntax:
        if not syntax.is_compressed and not syntax.is_deflated and pixels and size > pixels:
            raise InputError(f"The DICOM file {source} holds fewer pixels than its header says: copy or export it again.")
    elif syntax is not None and not syntax.is_private:
        raise InputError(f"The DICOM file {source} names no transfer syntax but {str(syntax)[:70]!r}: export the image again.")
    check_memory(4.0 * size, f"The DICOM image {source}", "export a smaller one")
    return header


def numbers(header: Dataset, keyword: str) -> list[float]:
    """The finite numbers of an element, by its keyword; empty when it is missing, empty or holds anything else."""
    try:
        value = header.get(keyword)
        found = [float(part) for part in (value if _is_many(value) else [value])]
    except (TypeError, ValueError, OverflowError):
        return []
    return found if all(map(math.isfinite, found)) else []


def number(header: Dataset, keyword: str) -> float | None:
    """The one finite number of an element; ``None`` when there is none, or several."""
    found = numbers(header, keyword)
    return found[0] if len(found) == 1 else None


def length(header: Dataset, keyword: str) -> float | None:
    """The one number above zero of an element, such as a distance in mm."""
    found = number(header, keyword)
    return found if found is not None and found > 0 else None


def words(header: Dataset, keyword: str) -> list[str]:
    """The texts of an element, without blanks around them; empty when it is missing or empty."""
    try:
        value = header.get(keyword)
    except (TypeError, ValueError):
        return []
    if value is None or isinstance(value, Dataset):
        return []
    parts = [str(part).strip() for part in (value if _is_many(value) else [value])]
    return parts if any(parts) else []


def word(header: Dataset, keyword: str) -> str:
    """The text of an element that has one; empty when there is none, or several."""
    found = words(header, keyword)
    return found[0] if len(found) == 1 else ""


def _is_many(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")
