"""The open beam of a radiograph, and pixels of the detector that are broken: what unprocessed values say of themselves.

The open beam is a property of a region, the exposed background beside the patient, and not of the brightest pixel: a plateau
of many pixels at the least attenuation there is. Where the patient fills the field there is none, whatever the brightest
pixel is, because attenuation rises from its minimum by and by instead of by a step.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Pixels along the longer side at which a background is looked for: larger pictures are reduced to it by medians.
_LOOKED_AT = 400
#: Half the width of the plateau in line integrals: an uneven field and what is left of noise. The share of the picture's range
#: where that has no unit.
_WIDTH, _RELATIVE_WIDTH = 0.1, 0.02
#: Parts of the plateau's width within which its pixels are compared, the least share of the picture, and of the wider range.
_WIDER, _LEAST_SHARE, _LEAST_OF_WIDER = 4.0, 0.01, 0.6
#: Largest group of broken pixels; line integrals that hot ones lie below, and dead ones above, all around them.
_GROUP, _HOT, _DEAD = 4, 0.5, 1.0
#: Pixels around a suspect to either side, and suspects that are looked at together.
_AROUND, _CHUNK = 3, 1 << 16


def open_background(attenuation: np.ndarray, valid: np.ndarray, relative: bool = False) -> np.ndarray | None:
    """Where the open beam hit the detector (bool, [row, column]); ``None`` where it is not in the field.

    ``attenuation`` rises with it: line integrals up to a constant (``relative``: and a factor); ``valid`` (bool) says which pixels
    count. Found are pixels of a plateau at the least attenuation with a hundredth of the picture at least, above which little
    follows: a body's edge is steep, while lung or bowel in a field filled by the patient rise by and by.
    """
    reduced, seen = _reduced(attenuation, valid)
    if not seen.any():
        return None
    high = float(reduced[seen].max())
    size = 3 if max(attenuation.shape) > _LOOKED_AT else 5
    smooth = ndimage.median_filter(np.where(seen, reduced, high), size=min(size, *reduced.shape), mode="nearest")
    values = smooth[seen]
    low = float(np.percentile(values, 0.5))
    width = _RELATIVE_WIDTH * float(np.percentile(values, 99.5) - low) if relative else _WIDTH
    width = max(width, 3 * _noise(reduced, smooth, seen, low + 2 * width))
    if width <= 0:
        return None
    level = low
    for _ in range(3):
        level = float(np.median(values[values < level + width]))
    inside, wider = values < level + width, values < level + _WIDER * width
    if inside.sum() < max(_LEAST_SHARE * values.size, 2) or inside.sum() < _LEAST_OF_WIDER * wider.sum():
        return None
    found = valid & (np.abs(attenuation - level) < width)
    return found if found.any() else None


def _noise(values: np.ndarray, smooth: np.ndarray, seen: np.ndarray, below: float) -> float:
    """The standard deviation of what smoothing leaves behind where there is little attenuation."""
    rest = np.abs(values - smooth)[seen & (smooth < below)]
    return 0.5 * 1.48 * float(np.median(rest)) if rest.size else 0.0


def _reduced(values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over square blocks, and whether most of each block counts."""
    side = max(1, round(max(values.shape) / _LOOKED_AT))
    if side == 1:
        return values, valid
    rows, columns = (n // side for n in values.shape)
    cut = (slice(rows * side), slice(columns * side))

    def blocks(array: np.ndarray) -> np.ndarray:
        return array[cut].reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, side * side)

    return np.median(blocks(values), axis=-1), blocks(valid).mean(axis=-1) > 0.5


def broken_pixels(attenuation: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Single pixels, and groups of up to four, that lie far from everything around them: hot and dead ones, bool [row, column].

    ``attenuation`` are line integrals up to a constant. Noise, lead marks and edges stay: their pixels have neighbours like
    themselves, or do not stand out.
    """
    if min(attenuation.shape) < 2 * _AROUND + 1:
        return np.zeros(attenuation.shape, bool)
    # What is narrower than three pixels vanishes by opening and closing, which are fast.
    below = ndimage.grey_closing(attenuation, (3, 3), mode="nearest") - attenuation
    above = attenuation - ndimage.grey_opening(attenuation, (3, 3), mode="nearest")
    labels, count = ndimage.label(valid & ((below > _HOT) | (above > _DEAD)), structure=np.ones((3, 3)))
    if not count:
        return np.zeros(attenuation.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = _GROUP + 1
    small = sizes[labels] <= _GROUP
    at = np.argwhere(small)
    window = np.arange(-_AROUND, _AROUND + 1)
    padded = np.pad(np.where(small, np.nan, attenuation), _AROUND, mode="reflect")
    for first in range(0, len(at), _CHUNK):
        rows, columns = (at[first : first + _CHUNK, axis, None, None] + _AROUND for axis in (0, 1))
        around = padded[rows + window[:, None], columns + window].reshape(rows.shape[0], -1)
        least, low, high, most = np.nanpercentile(around, (0, 10, 90, 100), axis=1)
        own = attenuation[tuple(at[first : first + _CHUNK].T)]
        # The tails of what is around are as long as its noise makes them.
        beyond = (own < least - _HOT - 2 * (low - least)) | (own > most + _DEAD + 2 * (most - high))
        small[tuple(at[first : first + _CHUNK].T)] = beyond
    return small
