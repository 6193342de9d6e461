"""The geometry of a radiograph from its DICOM tags: a first guess that explicit arguments override.

Tags are keyed as SimpleITK does ("0018|1110"). A picture without tags goes the same way with no tags. Attributes: DICOM
PS3.3, C.8.7.5 (XA positioner), C.8.11.5 (DX positioning), C.8.8.2 (RT image), C.7.6.1.1.1 (patient orientation), 10.7
(pixel spacing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib import views
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import ArrayLike, Projection

_MODALITY = "0008|0060"
_VIEW_POSITION = "0018|5101"
_PRIMARY_ANGLE, _SECONDARY_ANGLE = "0018|1510", "0018|1511"
_SOURCE_TO_DETECTOR, _SOURCE_TO_PATIENT, _MAGNIFICATION = "0018|1110", "0018|1111", "0018|1114"
_IMAGER_SPACING, _PIXEL_SPACING, _SCANNED_SPACING = "0018|1164", "0028|0030", "0018|2010"
_PATIENT_ORIENTATION = "0020|0020"
_RT_SPACING, _RT_DISTANCE, _RT_AXIS_DISTANCE, _RT_GANTRY = "3002|0011", "3002|0026", "3002|0022", "300a|011e"

_LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a radiograph was taken: its ``projection``, the ``view`` as a word, and what was assumed (``notes``)."""

    projection: Projection
    view: str
    notes: tuple[str, ...] = ()


def projection_from_dicom(
    tags: Mapping[str, str],
    size: tuple[int, int],
    view: str | ArrayLike | None = None,
    spacing: float | tuple[float, float] | None = None,
    source_to_detector: float | None = None,
    source_to_isocentre: float | None = None,
    isocentre: ArrayLike = (0.0, 0.0, 0.0),
    parallel: bool = False,
    name: str = "The radiograph",
) -> Placement:
    """The projection of a picture of ``size`` (rows, columns) from its ``tags`` and from what the caller knows better.

    Lengths are mm. ``spacing`` is at the detector (one number, or between rows and between columns). What is given wins
    over the tags. Missing distances get defaults, which the notes say. DICOM does not say where the patient lies: the
    beam is aimed at ``isocentre``. ``name`` begins the sentences of errors.

    Raises :class:`InputError` when the view or the spacing is neither given nor in the tags.
    """
    notes: list[str] = []
    tagged = _tagged_view(tags)
    if view is None:
        if tagged is None:
            raise InputError(f"{name} does not say which view it is: name it, as one of {views.VIEW_WORDS}.")
        view = tagged
    elif isinstance(view, str) and tagged is not None:
        angle = np.degrees(np.arccos(np.clip(views.parse_view(view)[0] @ views.parse_view(tagged)[0], -1, 1)))
        if angle > 1:
            notes.append(f"The view {view} was given, although the file says {tagged}.")
    word = view if isinstance(view, str) else "view along {:.3g} {:.3g} {:.3g}".format(*view)
    spacing = _spacing(tags, notes, name) if spacing is None else spacing
    distances: tuple[float | None, float | None] = (None, source_to_isocentre)
    if not parallel:
        distances = _distances(tags, source_to_detector, source_to_isocentre, notes)
    projection = views.view_projection(view, isocentre, size, spacing, *distances)
    return Placement(_as_oriented(projection, tags, notes), word, tuple(notes))


def _numbers(tags: Mapping[str, str], key: str) -> list[float]:
    """The numbers of a tag; empty when it is missing, empty or not numeric."""
    try:
        return [float(part) for part in tags.get(key, "").strip().split("\\")]
    except ValueError:
        return []


def _length(tags: Mapping[str, str], key: str) -> float | None:
    values = _numbers(tags, key)
    return values[0] if len(values) == 1 and np.isfinite(values[0]) and values[0] > 0 else None


def _tagged_view(tags: Mapping[str, str]) -> str | None:
    """The view as a word from the tags. A C-arm's angles come first; elsewhere they are often filled in with zeros."""
    word: str | None = tags.get(_VIEW_POSITION, "").strip()
    try:
        views.parse_view(word or "")
    except InputError:
        word = None
    gantry = _numbers(tags, _RT_GANTRY)
    if len(gantry) == 1:
        # IEC 61217, patient supine and head first: 0 has the source above the patient, 90 at the patient's left.
        degrees = gantry[0] % 360
        return f"AP{360 - degrees:+g}" if degrees > 180 else f"AP{-degrees:+g}"
    angles = _numbers(tags, _PRIMARY_ANGLE), _numbers(tags, _SECONDARY_ANGLE)
    if not angles[0] or (word and tags.get(_MODALITY, "").strip() not in ("XA", "RF")):
        return word
    primary, secondary = angles[0][0], (angles[1] or [0.0])[0]
    tilt = f"{'CRAN' if secondary >= 0 else 'CAUD'}{abs(secondary):g}" if secondary else ""
    return f"{'LAO' if primary >= 0 else 'RAO'}{abs(primary):g}{tilt}"


def _spacing(tags: Mapping[str, str], notes: list[str], name: str) -> tuple[float, float]:
    for key in (_RT_SPACING, _IMAGER_SPACING, _PIXEL_SPACING, _SCANNED_SPACING):
        values = _numbers(tags, key)
        if len(values) == 2 and np.isfinite(values).all() and min(values) > 0:
            if key in (_PIXEL_SPACING, _SCANNED_SPACING):
                notes.append(f"The pixel spacing {values[0]:g} x {values[1]:g} mm is taken to be that at the detector.")
            return values[0], values[1]
    raise InputError(f"{name} has no known pixel spacing: give the spacing in mm per pixel at the detector.")


def _distances(tags: Mapping[str, str], detector: float | None, isocentre: float | None, notes: list[str]) -> tuple[float, float]:
    """Source to detector and source to isocentre in mm."""
    if detector is None:
        detector = _length(tags, _RT_DISTANCE) or _length(tags, _SOURCE_TO_DETECTOR)
    if detector is None:
        detector = views.DEFAULT_SOURCE_TO_DETECTOR
        notes.append(f"The source-to-detector distance is unknown: {detector:g} mm is assumed.")
    if isocentre is None:
        isocentre = _length(tags, _RT_AXIS_DISTANCE) or _length(tags, _SOURCE_TO_PATIENT)
        magnification = _length(tags, _MAGNIFICATION)
        if isocentre is None and magnification is not None and magnification >= 1:
            isocentre = detector / magnification
    if isocentre is None:
        ratio = views.DEFAULT_SOURCE_TO_ISOCENTRE / views.DEFAULT_SOURCE_TO_DETECTOR
        isocentre = ratio * detector
        notes.append(f"The source-to-isocentre distance is unknown: {isocentre:g} mm is assumed.")
    return detector, isocentre


def _as_oriented(projection: Projection, tags: Mapping[str, str], notes: list[str]) -> Projection:
    """The projection with rows and columns running as PatientOrientation says, where that agrees with the view."""
    parts = tags.get(_PATIENT_ORIENTATION, "").strip().split("\\")
    if len(parts) != 2:
        return projection
    for name, letters, extent in (
        ("row_direction", parts[0], (projection.size[1] - 1) * projection.spacing[1]),
        ("column_direction", parts[1], (projection.size[0] - 1) * projection.spacing[0]),
    ):
        axis = getattr(projection, name)
        along = float(sum((np.array(_LETTERS[c]) @ axis for c in letters.strip() if c in _LETTERS), 0.0))
        if along < -0.3:
            projection = replace(projection, **{name: -axis, "origin": projection.origin + extent * axis})
            notes.append(f"The picture is turned over: its PatientOrientation is {parts[0]} and {parts[1]}.")
    return projection
