"""The geometry of a radiograph from its DICOM tags: a first guess that explicit arguments override.

The tags are pydicom's dataset; a picture goes the same way with an empty one. Attributes: DICOM
PS3.3, C.8.7.5 (XA positioner), C.8.11.5 (DX positioning), C.8.8.2 (RT image), C.7.6.1.1.1 (patient orientation), 10.7
(pixel spacing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.iec import IecPose, from_iec, source_direction
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.io.dicom_headers import length, number, numbers, word, words

_LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a radiograph was taken: its ``projection``, the ``view`` as a word, and what was assumed (``notes``)."""

    projection: Projection
    view: str
    notes: tuple[str, ...] = ()


def projection_from_dicom(
    tags: Dataset,
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
    tagged, seen_from_detector, of_tags = _tagged_view(tags), None, True
    if view is None:
        if tagged is None:
            raise InputError(f"{name} does not say which view it is: name it, as one of {views.VIEW_WORDS}.")
        title, view, seen_from_detector = tagged.word, tagged.direction, tagged.from_detector
    elif not isinstance(view, str):
        title, of_tags = "view along {:.3g} {:.3g} {:.3g}".format(*view), False
    else:
        title = view
        if tagged is not None:
            angle = np.degrees(np.arccos(np.clip(views.parse_view(view)[0] @ tagged.direction, -1, 1)))
            of_tags = bool(angle <= 1)
            if not of_tags:
                notes.append(f"The view {view} was given, although the file says {tagged.word}.")
    spacing = _spacing(tags, notes, name) if spacing is None else spacing
    if isocentre is None:
        tagged_point = numbers(tags, "IsocenterPosition")
        isocentre = tagged_point if len(tagged_point) == 3 else (0.0, 0.0, 0.0)
    if parallel:
        projection = views.view_projection(view, isocentre, size, spacing, None, source_to_isocentre, seen_from_detector)
    else:
        distances = _distances(tags, source_to_detector, source_to_isocentre, notes)
        if of_tags and number(tags, "GantryAngle") is not None:
            projection = _rt_projection(tags, size, spacing, distances, isocentre, notes)
        else:
            projection = views.view_projection(view, isocentre, size, spacing, *distances, seen_from_detector)
    return Placement(_as_oriented(projection, tags, notes), title, tuple(notes))


@dataclass(frozen=True, eq=False)
class _TaggedView:
    """A view that the file states: its beam axis (LPS) exactly, how it is shown, and a ``word`` for people to read."""

    word: str
    direction: np.ndarray
    from_detector: bool


def _tagged_view(tags: Dataset) -> _TaggedView | None:
    """The view of the tags. A C-arm's angles come first; elsewhere they are often filled in with zeros."""
    named: _TaggedView | None = None
    try:
        position = word(tags, "ViewPosition")
        named = _TaggedView(position, *views.parse_view(position))
    except InputError:
        pass
    gantry = number(tags, "GantryAngle")
    if gantry is not None:
        couch = _angle(tags, "PatientSupportAngle")
        direction = -source_direction(gantry, couch)
        if abs(couch) > 0.01:
            x, y, z = direction
            text = _arm(float(np.degrees(np.arctan2(x, -y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1)))))
            return _TaggedView(text, direction, True)
        # IEC 61217, patient supine and head first: 0 has the source above the patient, 90 at the patient's left.
        turned = round(gantry, 3) % 360
        text = f"AP{360 - turned:+g}" if turned > 180 else f"AP{-turned:+g}" if turned else "AP"
        return _TaggedView(text, direction, views.parse_view("AP")[1])
    primary = number(tags, "PositionerPrimaryAngle")
    if primary is None or (named and word(tags, "Modality") not in ("XA", "RF")):
        return named
    secondary = _angle(tags, "PositionerSecondaryAngle")
    return _TaggedView(_arm(primary, secondary), views.carm_direction(primary, secondary), True)


def _arm(primary: float, secondary: float) -> str:
    """The word of a C-arm's two angles in degrees, to a thousandth."""
    primary, secondary = round(primary, 3), round(secondary, 3)
    tilt = f"{'CRAN' if secondary >= 0 else 'CAUD'}{abs(secondary):g}" if secondary else ""
    return f"{'LAO' if primary >= 0 else 'RAO'}{abs(primary):g}{tilt}"


def _spacing(tags: Dataset, notes: list[str], name: str) -> tuple[float, float]:
    for key in ("ImagePlanePixelSpacing", "ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        values = numbers(tags, key)
        if len(values) == 2 and min(values) > 0:
            if key in ("PixelSpacing", "NominalScannedPixelSpacing"):
                notes.append(f"The pixel spacing {values[0]:g} x {values[1]:g} mm is taken to be that at the detector.")
            return values[0], values[1]
    raise InputError(f"{name} has no known pixel spacing: give the spacing in mm per pixel at the detector.")


def _distances(tags: Dataset, detector: float | None, isocentre: float | None, notes: list[str]) -> tuple[float, float]:
    """Source to detector and source to isocentre in mm."""
    if detector is None:
        detector = length(tags, "RTImageSID") or length(tags, "DistanceSourceToDetector")
    if detector is None:
        detector = views.DEFAULT_SOURCE_TO_DETECTOR
        notes.append(f"The source-to-detector distance is unknown: {detector:g} mm is assumed.")
    if isocentre is None:
        isocentre = length(tags, "RadiationMachineSAD") or length(tags, "DistanceSourceToPatient")
        magnification = length(tags, "EstimatedRadiographicMagnificationFactor")
        if isocentre is None and magnification is not None and magnification >= 1:
            isocentre = detector / magnification
    if isocentre is None:
        ratio = views.DEFAULT_SOURCE_TO_ISOCENTRE / views.DEFAULT_SOURCE_TO_DETECTOR
        isocentre = ratio * detector
        notes.append(f"The source-to-isocentre distance is unknown: {isocentre:g} mm is assumed.")
    return detector, isocentre


def _angle(tags: Dataset, keyword: str) -> float:
    """Degrees, 0 when unknown."""
    return number(tags, keyword) or 0.0


def _rt_projection(
    tags: Dataset,
    size: tuple[int, int],
    spacing: float | tuple[float, float],
    distances: tuple[float, float],
    isocentre: ArrayLike,
    notes: list[str],
) -> Projection:
    """The projection of an RT image with a gantry angle; its detector is centred unless the tags place it elsewhere."""
    pixel = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 2)
    axes = np.array([[1.0, 0.0], [0.0, -1.0]])  # rows along x, columns against y of the receptor
    orientation = np.array(numbers(tags, "RTImageOrientation"))
    if orientation.shape == (6,):
        told = orientation.reshape(2, 3)
        if np.abs(told[:, :2] @ told[:, :2].T - np.eye(2)).max() < 1e-3:
            axes = told[:, :2]
        else:
            notes.append("The image is said to be tilted against the beam's axis, which is ignored.")
    steps = pixel[::-1]  # along a row, down a column
    corner = -(np.array([size[1], size[0]]) - 1) / 2 * steps
    position, own = np.array(numbers(tags, "RTImagePosition")), np.array(numbers(tags, "ImagePlanePixelSpacing"))
    if position.shape == (2,):
        corner = axes @ position
        if own.shape == (2,) and own.min() > 0:
            corner = corner * steps / own[::-1]  # a spacing that is given does not move the middle of the beam in the picture
    receptor, shift = _angle(tags, "XRayImageReceptorAngle"), np.array(numbers(tags, "XRayImageReceptorTranslation"))
    first = axes.T @ corner
    if shift.shape == (3,):
        turn = np.radians(receptor)
        first += np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ shift[:2]
    lies = word(tags, "PatientPosition")
    if lies not in ("", "HFS"):
        notes.append(f"The angles are read as of a patient who lies supine, head first, although the file says {lies}.")
    pose = IecPose(
        gantry=_angle(tags, "GantryAngle"),
        couch=_angle(tags, "PatientSupportAngle"),
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


def _as_oriented(projection: Projection, tags: Dataset, notes: list[str]) -> Projection:
    """The projection with rows and columns running as PatientOrientation says, where that agrees with the view."""
    parts = words(tags, "PatientOrientation")
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
