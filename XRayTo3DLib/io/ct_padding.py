"""Voxels of a CT that are no measurement but padding around the round field of a scanner, in DICOM and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from XRayTo3DLib.images.volume import AIR_HU
from XRayTo3DLib.io.dicom_headers import number, word

#: HU that a body can have: a padding value inside them cannot be told from tissue.
_TISSUE = (-900.0, 3100.0)
#: Values in HU that are air already, so that nothing is to be done.
_LIKE_AIR = -1100.0
#: Below this there is nothing in a CT; a file that has one value alone down there has been padded with it.
_NOTHING = -3100.0


def fill_padding(image: sitk.Image, headers: Sequence[Dataset], notes: list[str]) -> sitk.Image:
    """The image with the padding of its slices (PixelPaddingValue, PixelPaddingRangeLimit; PS3.3 C.7.5.1.1.2) as air."""
    ranges = [_range(header) for header in headers]
    if not any(ranges) or word(headers[0], "Modality") not in ("CT", ""):
        return image
    array = None
    filled, kept = 0, set()
    for index, found in enumerate(ranges):
        if found is None or (found[0] >= _LIKE_AIR and found[1] <= _TISSUE[0]):
            continue
        if found[1] > _TISSUE[0] and found[0] < _TISSUE[1]:
            kept.add(found[0])
            continue
        if array is None:
            array = sitk.GetArrayFromImage(image)
        padding = (array[index] >= found[0] - 0.01) & (array[index] <= found[1] + 0.01)
        array[index][padding] = AIR_HU
        filled += int(np.count_nonzero(padding))
    if kept:
        notes.append(f"The padding value {kept.pop():g} HU is that of tissue too: voxels that have it are left as they are.")
    if array is None or not filled:
        return image
    notes.append(f"{filled / array.size:.1%} of the voxels are padding (PixelPaddingValue) and taken to be air.")
    full = sitk.GetImageFromArray(array)
    full.CopyInformation(image)
    return full


def without_padding(array: np.ndarray, notes: list[str]) -> np.ndarray:
    """The array with its lowest value as air, where that one value alone lies far below all that a CT can hold."""
    low = array.min()
    if low >= _NOTHING:
        return array
    padding = array == low
    if array.min(where=~padding, initial=0) < _NOTHING or padding.all():
        return array
    notes.append(
        f"{np.mean(padding):.1%} of the voxels have the value {low:g}, far below air: they are taken to be padding, as air."
    )
    return np.where(padding, array.dtype.type(AIR_HU), array)


def _range(header: Dataset) -> tuple[float, float] | None:
    """The lowest and highest HU that mean padding in a slice."""
    value, limit = _stored(header, "PixelPaddingValue"), _stored(header, "PixelPaddingRangeLimit")
    if value is None:
        return None
    slope, intercept = number(header, "RescaleSlope") or 1.0, number(header, "RescaleIntercept") or 0.0
    ends = sorted(slope * end + intercept for end in (value, value if limit is None else limit))
    return ends[0], ends[1]


def _stored(header: Dataset, keyword: str) -> float | None:
    """A stored value; one of signed pixels that was written as if they had no sign is put right."""
    value = number(header, keyword)
    signed, bits = number(header, "PixelRepresentation") == 1, int(number(header, "BitsAllocated") or 16)
    if value is None:
        return None
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value if signed or value >= 0 else value + 2**bits
