"""Named radiographic views: AP, PA, laterals, obliques and C-arm angles as projections.

The patient lies in LPS. A view is named by where its beam goes; pictures stand upright (superior at the top), and a frontal
picture has the patient's right on its left whether the beam is AP or PA, as a radiologist hangs it.
"""

from __future__ import annotations

import re

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection, detector_size
from XRayTo3DLib.geometry.vectors import LARGEST_LENGTH, ArrayLike, unit
from XRayTo3DLib.geometry.vectors import vector as _vector

#: Beam axes (tube to detector, LPS) and whether the picture is shown as seen from the detector.
_NAMED = {
    "AP": ((0.0, 1.0, 0.0), False),
    "PA": ((0.0, -1.0, 0.0), True),
    "LLAT": ((1.0, 0.0, 0.0), False),  # left side against the detector
    "RLAT": ((-1.0, 0.0, 0.0), False),
}
_ALIASES = {"LAT": "LLAT", "LL": "LLAT", "RL": "RLAT", "LATERAL": "LLAT", "FRONTAL": "AP"}
#: Words for views, for help texts.
VIEW_WORDS = "AP, PA, LAT (= LLAT), RLAT, LAO30, RAO20, LAO30CRAN15, RAO20CAUD10, AP+10 (turned by degrees)"

DEFAULT_SOURCE_TO_DETECTOR = 1500.0
DEFAULT_SOURCE_TO_ISOCENTRE = 1200.0


def carm_direction(primary: float, secondary: float = 0.0) -> np.ndarray:
    """Beam axis (LPS, tube to detector) of the C-arm angles of DICOM in degrees.

    ``primary`` (PositionerPrimaryAngle) is positive when the detector stands to the patient's left (LAO), ``secondary``
    (PositionerSecondaryAngle) when it stands towards the head (cranial); (0, 0) is a PA beam, the detector above the patient
    (DICOM PS3.3 C.8.7.5.1.2).
    """
    a, b = np.radians([primary, secondary])
    return np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])


def parse_view(view: str) -> tuple[np.ndarray, bool]:
    """A view's word to its beam axis (LPS) and whether it is shown from the detector; see :data:`VIEW_WORDS`.

    ``AP+10`` is AP turned by 10 degrees about the long axis of the patient, as seen from above from AP towards the left
    lateral beam. Raises :class:`InputError` for an unknown word.
    """
    word = view.strip().upper().replace(" ", "")
    turned = re.fullmatch(r"([A-Z]+)([+-]\d+(?:\.\d+)?)", word)
    base, degrees = (turned[1], float(turned[2])) if turned else (word, 0.0)
    base = _ALIASES.get(base, base)
    if base in _NAMED:
        direction, mirrored = _NAMED[base]
        # From AP (+y) towards the left lateral beam (+x) is a negative turn about +z (superior).
        angle = np.radians(-degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        return turn @ np.asarray(direction), mirrored
    arm = re.fullmatch(r"(LAO|RAO)(\d+(?:\.\d+)?)(?:(CRAN|CAUD)(\d+(?:\.\d+)?))?", word) or re.fullmatch(
        r"()()(CRAN|CAUD)(\d+(?:\.\d+)?)", word
    )
    if arm:
        primary = float(arm[2] or 0) * (-1 if arm[1] == "RAO" else 1)
        secondary = float(arm[4] or 0) * (-1 if arm[3] == "CAUD" else 1)
        return carm_direction(primary, secondary), True
    raise InputError(f"The view {view!r} is not known: use one of {VIEW_WORDS}.")


def view_projection(
    view: str | ArrayLike,
    isocentre: ArrayLike = (0.0, 0.0, 0.0),
    size: tuple[int, int] = (256, 256),
    spacing: float | tuple[float, float] = 2.0,
    source_to_detector: float | None = DEFAULT_SOURCE_TO_DETECTOR,
    source_to_isocentre: float | None = None,
    mirrored: bool | None = None,
) -> Projection:
    """The projection of a named view (or of a beam axis, three LPS numbers) aimed at ``isocentre`` (LPS mm).

    - ``size``: (rows, columns); ``spacing``: mm between pixels, one number or (between rows, between columns);
    - ``source_to_detector`` in mm, or ``None`` for a parallel beam, whose detector then stands at ``source_to_isocentre``
      mm (0 by default) behind the isocentre;
    - ``source_to_isocentre`` in mm; 0.8 of ``source_to_detector`` by default;
    - ``mirrored`` overrides whether the picture is shown as seen from the detector.

    Raises :class:`InputError` for an unknown view or impossible distances.
    """
    direction, seen_from_detector = parse_view(view) if isinstance(view, str) else (unit(view, "beam axis"), False)
    seen_from_detector = seen_from_detector if mirrored is None else mirrored
    up = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.99 else np.array([0.0, -1.0, 0.0])
    column_direction = -unit(up - (up @ direction) * direction)
    row_direction = np.cross(column_direction, direction) * (-1 if seen_from_detector else 1)
    rows, columns = detector_size(size)
    try:
        pixel = (float(spacing), float(spacing)) if np.ndim(spacing) == 0 else tuple(float(side) for side in spacing)  # type: ignore[union-attr,arg-type]
    except (TypeError, ValueError):  # no numbers
        pixel = ()
    if len(pixel) != 2 or not (np.isfinite(pixel).all() and min(pixel) > 0):
        raise InputError(f"The pixel spacing {spacing!r} must be one or two positive numbers in mm: correct the spacing.")
    aim = _vector(isocentre, "isocentre")
    source = None
    if source_to_detector is None:
        behind = source_to_isocentre or 0.0
    else:
        axis = 0.8 * source_to_detector if source_to_isocentre is None else source_to_isocentre
        if not 0 < axis <= source_to_detector <= LARGEST_LENGTH:
            raise InputError(
                f"The source-to-isocentre distance {axis:g} mm must lie between 0 and the source-to-detector distance "
                f"{source_to_detector:g} mm: correct the distances."
            )
        behind, source = source_to_detector - axis, aim - axis * direction
    centre = aim + behind * direction
    corner = centre - (rows - 1) / 2 * pixel[0] * column_direction - (columns - 1) / 2 * pixel[1] * row_direction
    return Projection(
        corner,
        row_direction,
        column_direction,
        pixel,
        (rows, columns),
        source=source,
        ray_direction=direction if source is None else None,
    )
