"""Which pixels of a DICOM X-ray its tags declare to be no measurements: padding, shutters, collimators.

Edges are rows and columns counted from 1, as all of DICOM's are, and belong to the field. References: DICOM PS3.3
C.7.5.1.1.2 (Pixel Padding Value and Range Limit), C.7.6.11 (Display Shutter), C.7.6.15 (Bitmap Display Shutter), C.8.7.3 (X-Ray
Collimator), C.7.6.16.2.16 (Frame Display Shutter).
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import length, number, numbers, word, words
from XRayTo3DLib.io.dicom_pixels import DicomPixels


def padding(pixels: DicomPixels, header: Dataset) -> np.ndarray:
    """Where the padding value is, or a value of its range; bool [row, column]."""
    allocated = pixels.allocated[..., 0]
    value = number(header, "FloatPixelPaddingValue")
    value = number(header, "DoubleFloatPixelPaddingValue") if value is None else value
    limit = number(header, "FloatPixelPaddingRangeLimit")
    limit = number(header, "DoubleFloatPixelPaddingRangeLimit") if limit is None else limit
    if value is None:
        value, limit = _whole(header, "PixelPaddingValue"), _whole(header, "PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(allocated.shape, bool)
    low, high = sorted((value, value if limit is None else limit))
    if limit is None and allocated.dtype.kind != "f":
        # The same 16 bits may be written as a signed or an unsigned number, and with or without the unused bits.
        bits = 8 * allocated.dtype.itemsize
        found = (allocated.astype(np.int64) - int(value)) % (1 << bits) == 0
        return np.asarray(found | (pixels.values[..., 0] == value))
    values = pixels.values[..., 0]
    return np.asarray(((values >= low) & (values <= high)) | ((allocated >= low) & (allocated <= high)))


def _whole(header: Dataset, keyword: str) -> float | None:
    """A value whose type depends on that of the pixels, also where it was left as bytes."""
    raw = header.get(keyword)
    if isinstance(raw, bytes) and len(raw) == 2:
        return float(int.from_bytes(raw, "little", signed=number(header, "PixelRepresentation") == 1))
    return number(header, keyword)


def outside_fields(header: Dataset, shape: tuple[int, int], name: str) -> dict[str, np.ndarray]:
    """Bool masks [row, column] of what lies outside the shutters and collimators, by what hides it; empty when nothing does.

    Raises :class:`InputError` for a shutter or collimator without its edges, or with ones that leave nothing of the picture.
    """
    found: dict[str, np.ndarray] = {}
    for kind, keyword in (("shutter", "Shutter"), ("collimator", "Collimator")):
        for form in words(header, f"{keyword}Shape"):
            inside = _inside(header, keyword, form.upper(), shape, name)
            if not inside.any():
                raise InputError(f"The {kind} of {name} ({form}) leaves nothing of the picture: correct its header.")
            found[kind] = found.get(kind, np.zeros(shape, bool)) | ~inside
    return {kind: mask for kind, mask in found.items() if mask.any()}


def _inside(header: Dataset, keyword: str, form: str, shape: tuple[int, int], name: str) -> np.ndarray:
    """The field that one shape of a shutter or collimator leaves free."""
    rows, columns = np.arange(1, shape[0] + 1)[:, None], np.arange(1, shape[1] + 1)
    if form == "RECTANGULAR":
        sides = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
        edges = [found for side in sides if (found := number(header, f"{keyword}{side}Edge")) is not None]
        if len(edges) == 4:
            left, right, upper, lower = edges
            return (columns >= left) & (columns <= right) & (rows >= upper) & (rows <= lower)
    elif form == "CIRCULAR":
        centre, radius = numbers(header, f"CenterOfCircular{keyword}"), length(header, f"RadiusOfCircular{keyword}")
        if len(centre) == 2 and radius:
            # The radius counts pixels along a row; where pixels are oblong the circle is one in mm.
            return ((rows - centre[0]) * _oblong(header)) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    elif form == "POLYGONAL":
        corners = numbers(header, f"VerticesOfThePolygonal{keyword}")
        if len(corners) >= 6 and len(corners) % 2 == 0:
            return _polygon(np.reshape(corners, (-1, 2)), shape)
    elif form == "BITMAP" and keyword == "Shutter":
        hidden = _overlay(header, shape)
        if hidden is not None:
            return ~hidden
    else:
        raise InputError(f"{name} has a {keyword.lower()} of the unknown shape {form[:20]!r}: correct its header.")
    raise InputError(f"{name} has a {form.lower()} {keyword.lower()} without its edges: correct its header.")


def _oblong(header: Dataset) -> float:
    """How many times longer a pixel is between rows than between columns."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing", "PixelAspectRatio"):
        sides = numbers(header, keyword)
        if len(sides) == 2 and min(sides) > 0:
            return sides[0] / sides[1]
    return 1.0


def _polygon(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre is in a polygon of (row, column) corners, counted from 1; it closes by itself."""
    from skimage.draw import polygon

    inside = np.zeros(shape, bool)
    inside[polygon(corners[:, 0] - 1, corners[:, 1] - 1, shape)] = True
    return inside


def _overlay(header: Dataset, shape: tuple[int, int]) -> np.ndarray | None:
    """The overlay that a bitmap shutter names, in the picture's place; set bits are hidden."""
    group = int(number(header, "ShutterOverlayGroup") or 0x6000)
    try:
        bits = header.overlay_array(group).astype(bool)
        row, column = (int(v) - 1 for v in header[group, 0x0050].value)
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError):
        return None
    hidden = np.zeros(shape, bool)
    for r, line in enumerate(bits):
        if 0 <= r + row < shape[0]:
            low, high = max(column, 0), min(column + len(line), shape[1])
            hidden[r + row, low:high] = line[low - column : high - column]
    return hidden


def burnt_in(header: Dataset) -> bool:
    """Whether the file says that letters are burnt into its pixels."""
    return word(header, "BurnedInAnnotation").upper() == "YES"
