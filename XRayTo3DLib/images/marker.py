"""Scale from a marker: a disc or a sphere of known diameter on the picture, at a known height above the detector.

What stands off the detector is magnified: by the source's distance from the detector over its distance from the marker. A marker in
the patient's middle therefore gives the patient's scale, one on the detector that of the detector alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph

#: Said of pictures whose pixels got their size from the user; :func:`scaled_by_marker` takes it back.
GUESSED_MM = (
    "The mm are a guess: they rest on the size of a pixel that was given and on distances that a picture does not state; a marker "
    "of known size at the patient would give them."
)
#: Thresholds between the picture's middle and its extreme at which discs are looked for.
_THRESHOLDS = 12
#: Diameters of discs in pixels, and in shares of the picture's shorter side.
_SMALLEST, _LARGEST = 5.0, 0.35
#: How much a piece may differ from a disc: its sides from each other, its area from that of a disc as wide.
_UNEVEN, _UNFILLED = 0.12, 0.1
#: The least step at a disc's edge, in shares of the picture's range.
_STEP = 0.08
#: Where a disc that was clicked may lie from the click, in its own diameters.
_BESIDE = 0.6


@dataclass(frozen=True)
class Disc:
    """A disc on a picture: its middle (``row``, ``column``) and ``diameter``, all in pixels of the row spacing."""

    row: float
    column: float
    diameter: float


def find_disc(radiograph: Radiograph, at: tuple[float, float] | None = None) -> Disc:
    """The disc with the sharpest edge, or the one at (row, column) that was clicked, bright or dark, to a part of a pixel.

    Raises :class:`InputError` where none is found.
    """
    values = radiograph.line_integrals.astype(np.float64)
    aspect = radiograph.projection.spacing[1] / radiograph.projection.spacing[0]
    low, high = np.percentile(values, [0.5, 99.9])
    found = []
    for picture in ((values - low) / max(high - low, 1e-12), (high - values) / max(high - low, 1e-12)):
        for threshold in np.linspace(0.25, 0.95, _THRESHOLDS):
            pieces, _ = ndimage.label(ndimage.binary_fill_holes(picture > threshold))
            for number, window in enumerate(ndimage.find_objects(pieces), start=1):
                piece = pieces[window] == number
                disc = _disc(picture, piece, window, aspect)
                if disc is not None and (at is None or _near(disc[1], at)):
                    found.append(disc)
    if not found:
        where = "on the picture" if at is None else f"at row {at[0]:.0f}, column {at[1]:.0f}"
        raise InputError(f"No disc was found {where}: click the middle of the marker, or give the spacing of the pixels instead.")
    return max(found, key=lambda one: one[0])[1]


def _near(disc: Disc, at: tuple[float, float]) -> bool:
    return float(np.hypot(disc.row - at[0], disc.column - at[1])) < _BESIDE * disc.diameter


def _disc(picture: np.ndarray, piece: np.ndarray, window: tuple[slice, ...], aspect: float) -> tuple[float, Disc] | None:
    """How sharp a piece's edge is, and the disc that it is; ``None`` for anything else."""
    height, width = piece.shape[0], piece.shape[1] * aspect
    rows, columns = window
    largest = _LARGEST * min(picture.shape)
    at_edge = rows.start == 0 or columns.start == 0 or rows.stop == picture.shape[0] or columns.stop == picture.shape[1]
    if at_edge or not (min(height, width) >= _SMALLEST and max(height, width) <= largest):
        return None
    mean = (height + width) / 2
    if abs(height - width) > max(_UNEVEN * mean, 1.5) or abs(piece.sum() * aspect / (np.pi / 4 * mean**2) - 1) > _UNFILLED:
        return None
    margin = max(3, round(0.3 * height))
    box = tuple(slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(window, picture.shape, strict=True))
    mask = np.zeros([s.stop - s.start for s in box], dtype=bool)
    mask[tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(window, box, strict=True))] = piece
    part = picture[box]
    # The edge is at half its step: what lies between inside and outside counts by its share.
    inside = float(np.median(part[ndimage.binary_erosion(mask, iterations=1) if mask.sum() > 30 else mask]))
    around = ndimage.binary_dilation(mask, iterations=margin) & ~ndimage.binary_dilation(mask, iterations=2)
    outside = float(np.median(part[around]))
    if inside - outside < _STEP:
        return None
    near = ndimage.binary_dilation(mask, iterations=2)
    shares = np.where(near, np.clip((part - outside) / (inside - outside), 0, 1), 0)
    area = float(shares.sum()) * aspect
    row, column = ndimage.center_of_mass(shares)
    spread = float(part[around].std())
    return (inside - outside) / (spread + 0.02), Disc(row + box[0].start, column + box[1].start, float(np.sqrt(4 * area / np.pi)))


def scaled_by_marker(
    radiograph: Radiograph, diameter_mm: float, height_mm: float = 0.0, at: tuple[float, float] | None = None
) -> Radiograph:
    """The radiograph with pixels of the size that a marker gives them, and a note that says so.

    ``diameter_mm`` of the disc or sphere, ``height_mm`` of its middle above the detector; ``at`` (row, column), where it was
    clicked. The distances of the source stay as they are, and so does the middle of the detector. Raises :class:`InputError` for
    sizes that cannot be, and where no disc is found.
    """
    projection = radiograph.projection
    distance = projection.source_to_detector
    if not (np.isfinite(diameter_mm) and diameter_mm > 0 and np.isfinite(height_mm) and height_mm >= 0):
        raise InputError(f"A marker of {diameter_mm} mm at {height_mm} mm above the detector cannot be: give mm above 0.")
    if distance is not None and height_mm >= 0.9 * distance:
        raise InputError(
            f"A marker {height_mm:g} mm above the detector is at the source, {distance:g} mm from it: give its height in mm."
        )
    disc = find_disc(radiograph, at)
    magnification = 1.0 if distance is None else distance / (distance - height_mm)
    pixel = diameter_mm * magnification / disc.diameter
    factor = pixel / projection.spacing[0]
    note = (
        f"Scale from the marker of {diameter_mm:g} mm at row {disc.row:.0f}, column {disc.column:.0f}, {height_mm:g} mm above the "
        f"detector (magnified {magnification:.3f} times): {disc.diameter:.1f} pixels, so {pixel:.4g} mm a pixel at the detector."
    )
    kept = [said for said in radiograph.notes if said != GUESSED_MM]
    return replace(radiograph, projection=rescaled(projection, factor), notes=(*kept, note))


def rescaled(projection: Projection, factor: float) -> Projection:
    """The detector with pixels ``factor`` times as large, its middle where it was."""
    spacing = (projection.spacing[0] * factor, projection.spacing[1] * factor)
    origin = projection.centre + factor * (projection.origin - projection.centre)
    return replace(projection, origin=origin, spacing=spacing)
