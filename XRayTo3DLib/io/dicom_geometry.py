"""The geometry of a radiograph from its DICOM tags: a first guess that explicit arguments override.

Tags are keyed as SimpleITK does ("0018|1110"). A picture without tags goes the same way with no tags. Attributes: DICOM
PS3.3, C.8.7.5 (XA positioner), C.8.11.5 (DX positioning), C.8.8.2 (RT image), C.7.6.1.1.1 (patient orientation), 10.7
(pixel spacing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.iec import IecPose, from_iec, source_direction
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike

_MODALITY = "0008|0060"
_VIEW_POSITION = "0018|5101"
_PRIMARY_ANGLE, _SECONDARY_ANGLE = "0018|1510", "0018|1511"
_SOURCE_TO_DETECTOR, _SOURCE_TO_PATIENT, _MAGNIFICATION = "0018|1110", "0018|1111", "0018|1114"
_IMAGER_SPACING, _PIXEL_SPACING, _SCANNED_SPACING = "0018|1164", "0028|0030", "0018|2010"
_PATIENT_ORIENTATION = "0020|0020"
_RT_SPACING, _RT_DISTANCE, _RT_AXIS_DISTANCE = "3002|0011", "3002|0026", "3002|0022"
_RT_GANTRY, _RT_COUCH, _RT_RECEPTOR, _RT_ISOCENTRE = "300a|011e", "300a|0122", "3002|000e", "300a|012c"
_RT_POSITION, _RT_TRANSLATION, _RT_ORIENTATION, _PATIENT_POSITION = "3002|0012", "3002|000d", "3002|0010", "0018|5100"

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
    isocentre: ArrayLike | None = None,
    parallel: bool = False,
    name: str = "The radiograph",
) -> Placement:
    """The projection of a picture of ``size`` (rows, columns) from its ``tags`` and from what the caller knows better.

    Lengths are mm. ``spacing`` is at the detector (one number, or between rows and between columns). What is given wins
    over the tags. Missing distances get defaults, which the notes say. The beam is aimed at ``isocentre``; without it at
    the isocentre of an RT image, and else, as DICOM does not say where the patient lies, at the origin. ``name`` begins
    the sentences of errors.

    Raises :class:`InputError` when the view or the spacing is neither given nor in the tags.
    """
    notes: list[str] = []
    tagged = _tagged_view(tags)
    of_tags = True
    if view is None:
        if tagged is None:
            raise InputError(f"{name} does not say which view it is: name it, as one of {views.VIEW_WORDS}.")
        view = tagged
    elif isinstance(view, str) and tagged is not None:
        angle = np.degrees(np.arccos(np.clip(views.parse_view(view)[0] @ views.parse_view(tagged)[0], -1, 1)))
        of_tags = bool(angle <= 1)
        if not of_tags:
            notes.append(f"The view {view} was given, although the file says {tagged}.")
    word = view if isinstance(view, str) else "view along {:.3g} {:.3g} {:.3g}".format(*view)
    spacing = _spacing(tags, notes, name) if spacing is None else spacing
    if isocentre is None:
        tagged_point = _numbers(tags, _RT_ISOCENTRE)
        isocentre = tagged_point if len(tagged_point) == 3 and np.isfinite(tagged_point).all() else (0.0, 0.0, 0.0)
    if parallel:
        projection = views.view_projection(view, isocentre, size, spacing, None, source_to_isocentre)
    else:
        distances = _distances(tags, source_to_detector, source_to_isocentre, notes)
        if isinstance(view, str) and of_tags and len(_numbers(tags, _RT_GANTRY)) == 1:
            projection = _rt_projection(tags, size, spacing, distances, isocentre, notes)
        else:
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
        couch = _angle(tags, _RT_COUCH)
        if abs(couch) > 0.01:
            x, y, z = -source_direction(gantry[0], couch)
            return _arm(round(float(np.degrees(np.arctan2(x, -y))), 3), round(float(np.degrees(np.arcsin(z))), 3))
        # IEC 61217, patient supine and head first: 0 has the source above the patient, 90 at the patient's left.
        degrees = round(gantry[0], 3) % 360
        if not degrees:
            return "AP"
        return f"AP{360 - degrees:+g}" if degrees > 180 else f"AP{-degrees:+g}"
    angles = _numbers(tags, _PRIMARY_ANGLE), _numbers(tags, _SECONDARY_ANGLE)
    if not angles[0] or (word and tags.get(_MODALITY, "").strip() not in ("XA", "RF")):
        return word
    return _arm(angles[0][0], (angles[1] or [0.0])[0])


def _arm(primary: float, secondary: float) -> str:
    """The word of a C-arm's two angles in degrees."""
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


def _angle(tags: Mapping[str, str], key: str) -> float:
    """Degrees, 0 when unknown."""
    values = _numbers(tags, key)
    return values[0] if len(values) == 1 and np.isfinite(values[0]) else 0.0


def _rt_projection(
    tags: Mapping[str, str],
    size: tuple[int, int],
    spacing: float | tuple[float, float],
    distances: tuple[float, float],
    isocentre: ArrayLike,
    notes: list[str],
) -> Projection:
    """The projection of an RT image with a gantry angle; its detector is centred unless the tags place it elsewhere."""
    pixel = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 2)
    axes = np.array([[1.0, 0.0], [0.0, -1.0]])  # rows along x, columns against y of the receptor
    orientation = np.array(_numbers(tags, _RT_ORIENTATION))
    if orientation.shape == (6,):
        told = orientation.reshape(2, 3)
        if np.abs(told[:, :2] @ told[:, :2].T - np.eye(2)).max() < 1e-3:
            axes = told[:, :2]
        else:
            notes.append("The image is said to be tilted against the beam's axis, which is ignored.")
    steps = pixel[::-1]  # along a row, down a column
    corner = -(np.array([size[1], size[0]]) - 1) / 2 * steps
    position, own = np.array(_numbers(tags, _RT_POSITION)), np.array(_numbers(tags, _RT_SPACING))
    if position.shape == (2,) and np.isfinite(position).all():
        corner = axes @ position
        if own.shape == (2,) and np.isfinite(own).all() and own.min() > 0:
            corner = corner * steps / own[::-1]  # a spacing that is given does not move the middle of the beam in the picture
    receptor, shift = _angle(tags, _RT_RECEPTOR), np.array(_numbers(tags, _RT_TRANSLATION))
    first = axes.T @ corner
    if shift.shape == (3,) and np.isfinite(shift).all():
        turn = np.radians(receptor)
        first += np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ shift[:2]
    lies = tags.get(_PATIENT_POSITION, "").strip()
    if lies not in ("", "HFS"):
        notes.append(f"The angles are read as of a patient who lies supine, head first, although the file says {lies}.")
    pose = IecPose(
        gantry=_angle(tags, _RT_GANTRY),
        couch=_angle(tags, _RT_COUCH),
        receptor=receptor,
        source_to_axis=distances[1],
        source_to_image=distances[0],
        isocentre=(float(isocentre[0]), float(isocentre[1]), float(isocentre[2])),
        position=(float(first[0]), float(first[1])),
        spacing=(float(pixel[0]), float(pixel[1])),
        row=(float(axes[0, 0]), float(axes[0, 1])),
        column=(float(axes[1, 0]), float(axes[1, 1])),
    )
    return from_iec(pose, size)


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
