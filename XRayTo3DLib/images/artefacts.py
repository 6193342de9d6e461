"""What is on a picture and was never measured: frames, collimated borders, letters and markers.

Where the scale of a picture is known they are known too (padding, shutters, saturation); of a picture that was processed for
display only its look tells. Everything here is relative to the picture's own range, and rising values mean attenuation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage, spatial

from XRayTo3DLib.images.radiograph import Radiograph

#: Grey levels, in shares of the range, within which a border counts as one.
_LEVEL = 0.012
#: A border is this much of the picture at least, and what it frames fills this much of the rectangle around it.
_LEAST_BORDER, _RECTANGLE = 0.005, 0.95
#: Letters: strokes at most this wide, in shares of the picture's shorter side, this much above what is around them, in shares of
#: the range, of values beyond this percentile, and no larger than this share of the picture.
_STROKE, _ABOVE, _BEYOND, _LARGEST = 0.02, 0.25, 97.0, 0.01
#: Pixels by which what was found is grown: edges of letters and frames are blurred.
_GROWN = 2


def artefacts(radiograph: Radiograph) -> np.ndarray:
    """Bool [row, column]: borders and letters among the pixels that were valid until now."""
    borders, letters = _found(radiograph)
    return borders | letters


def without_artefacts(radiograph: Radiograph) -> Radiograph:
    """The radiograph with borders and letters taken out of its valid pixels, with a note; itself where there are none."""
    borders, letters = _found(radiograph)
    spoilt = borders | letters
    before = _valid(radiograph)
    left = before & ~spoilt
    # A picture that is letters all over is none, and another check's affair.
    if not spoilt.any() or left.sum() < 0.3 * before.sum():
        return radiograph
    told = [
        f"{mask.mean():.1%} {words}" for mask, words in ((borders, "as a border"), (letters, "as letters or markers")) if mask.any()
    ]
    note = f"Not measured, by its look, and left out: {' and '.join(told)}."
    return replace(radiograph, valid=left, notes=(*radiograph.notes, note))


def _valid(radiograph: Radiograph) -> np.ndarray:
    return np.ones(radiograph.projection.size, dtype=bool) if radiograph.valid is None else radiograph.valid


def _found(radiograph: Radiograph) -> tuple[np.ndarray, np.ndarray]:
    values, valid = radiograph.line_integrals, _valid(radiograph)
    low, high = float(values[valid].min()), float(values[valid].max())
    nothing = np.zeros(values.shape, dtype=bool)
    if min(values.shape) < 32 or high <= low:
        return nothing, nothing
    shares = (values - low) / (high - low)
    borders = _borders(shares, valid)
    return borders, _letters(shares, valid & ~borders)


def _borders(shares: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """White areas at the picture's edge, and black ones around a rectangle: collimation and frames.

    Black beside a body is the open beam, and a measurement: only what leaves a rectangle, upright or turned, is a frame.
    """
    found = np.zeros(shares.shape, dtype=bool)
    white = _at_edge(valid & (shares > 1 - _LEVEL))
    if white.mean() > _LEAST_BORDER and _is_rectangle(valid & ~white):
        found |= white
    black = _at_edge(valid & (shares < _LEVEL))
    if black.mean() > _LEAST_BORDER and _is_rectangle(valid & ~black & ~found):
        found |= black
    return ndimage.binary_dilation(found, iterations=_GROWN) & valid if found.any() else found


def _at_edge(mask: np.ndarray) -> np.ndarray:
    pieces, _ = ndimage.label(mask)
    rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return mask & np.isin(pieces, np.unique(rim[rim > 0]))


def _is_rectangle(mask: np.ndarray) -> bool:
    """Whether the largest piece of ``mask``, its holes filled, fills the smallest rectangle around it, turned or not."""
    pieces, count = ndimage.label(mask)
    if not count:
        return False
    piece = ndimage.binary_fill_holes(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
    points = np.argwhere(piece ^ ndimage.binary_erosion(piece))
    if len(points) < 8:
        return False
    hull = spatial.ConvexHull(points)
    corners = points[hull.vertices].astype(np.float64)
    edges = np.diff(np.vstack([corners, corners[:1]]), axis=0)
    areas = []
    for angle in np.unique(np.round(np.arctan2(edges[:, 0], edges[:, 1]) % (np.pi / 2), 3)):
        turned = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        areas.append(np.prod(np.ptp(turned, axis=0)))
    # Between the middles of the outermost pixels; a pixel's own half is outside (Pick's theorem).
    whole = hull.volume + 0.5 * hull.area + 1
    return bool(hull.volume > _RECTANGLE * min(areas) and piece.sum() > _RECTANGLE * whole)


def _letters(shares: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Small strokes, bright or dark, that stand out of what is around them: letters, markers, wires and clips."""
    side = 2 * max(1, round(_STROKE * min(shares.shape) / 2)) + 1
    filled = np.where(valid, shares, np.median(shares[valid]))
    found = np.zeros(shares.shape, dtype=bool)
    for picture in (filled, 1 - filled):
        raised = picture - ndimage.grey_opening(picture, (side, side))
        strokes = valid & (raised > _ABOVE) & (picture >= np.percentile(picture[valid], _BEYOND))
        pieces, count = ndimage.label(strokes, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        keep = (sizes >= 4) & (sizes <= _LARGEST * shares.size)
        keep[0] = False
        found |= keep[pieces]
    return ndimage.binary_dilation(found, iterations=_GROWN) & valid if found.any() else found
