"""The geometry of a radiograph from its DICOM tags: a first guess that explicit arguments override.

The tags are pydicom's dataset; a picture goes the same way with an empty one. What view they state is read in ``dicom_views``,
distances and spacings in ``dicom_scale``, the way the picture is turned in ``dicom_orientation``, RT images in
``rtimage_geometry``. Attributes: DICOM PS3.3, C.8.7.5 and C.8.7.6 (XA and XRF positioner), C.8.11.5 (DX positioning).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, unit, vector
from XRayTo3DLib.io import dicom_orientation as orientation
from XRayTo3DLib.io.dicom_headers import number, numbers, word
from XRayTo3DLib.io.dicom_scale import Distances, detector_spacing, distances, given_spacing
from XRayTo3DLib.io.dicom_views import CONTRADICTION_DEGREES, StatedView, stated_view
from XRayTo3DLib.io.rtimage_geometry import has_gantry, rt_projection, stated_rt_view

#: Angles below this, in degrees, are none.
_NO_ANGLE = 0.01
_TABLE_ANGLES = ("TableAngle", "TableHeadTiltAngle", "TableHorizontalRotationAngle", "TableCradleTiltAngle")


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a radiograph was taken: its ``projection``, the ``view`` as a word, and what was assumed (``notes``)."""

    projection: Projection
    view: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class KnownGeometry:
    """What the caller knows of a radiograph's geometry better than its tags; ``None`` for what it does not.

    - ``view``: a word of :data:`views.VIEW_WORDS` or a beam axis (LPS);
    - ``spacing``: mm at the detector, one number or (between rows, between columns); of a CT localizer in the isocentre;
    - ``source_to_detector``, ``source_to_isocentre``: mm;
    - ``isocentre``: LPS mm of the point the beam is aimed at; of a CT localizer, where its central ray crosses its middle line;
    - ``beam``: one of :data:`views.BEAMS`.
    """

    view: str | ArrayLike | None = None
    spacing: float | tuple[float, float] | None = None
    source_to_detector: float | None = None
    source_to_isocentre: float | None = None
    isocentre: ArrayLike | None = None
    beam: str | None = None

    def __post_init__(self) -> None:
        if self.beam is not None and self.beam not in views.BEAMS:
            raise InputError(f"The beam {self.beam!r} is not known: use one of {', '.join(views.BEAMS)}, or leave it out.")


#: Nothing is known beside the tags.
UNKNOWN = KnownGeometry()


def projection_from_dicom(
    tags: Dataset, size: tuple[int, int], known: KnownGeometry = UNKNOWN, name: str = "The radiograph"
) -> Placement:
    """The projection of a picture of ``size`` (rows, columns) from its ``tags`` and from what is ``known`` better.

    The beam stands still; :func:`XRayTo3DLib.io.scanned.placed_by_dicom` is for every kind of it. What is known wins over the
    tags. Missing distances get defaults, which the notes say. The beam is aimed at the known isocentre; without it at
    the isocentre of an RT image, or from where the tags place the picture in the patient, and else, as DICOM does not say where
    the patient lies, at the origin. ``name`` begins the sentences of errors.

    Raises :class:`InputError` when the view or the spacing is neither known nor in the tags, and when what the tags say of the
    view contradicts itself.
    """
    view, isocentre, parallel = known.view, known.isocentre, known.beam == "parallel"
    notes: list[str] = []
    rt = has_gantry(tags) and not parallel
    stated, reason = (stated_rt_view(tags, name), "") if has_gantry(tags) else stated_view(tags, notes, name)
    beam, of_tags = _beam(view, stated, reason, notes, name)
    far = None if parallel else distances(tags, known.source_to_detector, known.source_to_isocentre, notes, name)
    given = known.spacing
    spacing = detector_spacing(tags, far, notes, name) if given is None else given_spacing(tags, given, notes, name)
    plane = None if rt else orientation.image_plane(tags)
    point = _aim(tags, isocentre, rt, notes)
    if far is not None and rt and of_tags:
        placed = rt_projection(tags, size, spacing, far, point, notes, name)
        _check_orientation(placed, tags, notes)
        return Placement(placed, beam.word, tuple(notes))
    if far is not None and not has_gantry(tags) and not 0 < far.isocentre <= far.detector:
        raise InputError(
            f"The source-to-isocentre distance {far.isocentre:g} mm must lie between 0 and the source-to-detector distance "
            f"{far.detector:g} mm: correct the distances."
        )
    flat = views.view_projection(beam.direction, point, size, spacing, None, 0.0, beam.from_detector)
    behind = (known.source_to_isocentre or 0.0) if far is None else far.detector - far.isocentre
    if plane is not None:
        placed = _in_plane(flat, plane, beam, behind, isocentre, tags, notes, name)
    else:
        placed = orientation.centred(_oriented(flat, tags, beam, view is None, notes, name), point + behind * beam.direction)
    if far is not None:
        placed = _with_source(placed, far, beam, tags, notes)
    notes += [
        f"{keyword} is {number(tags, keyword):g} degrees: the patient is taken to lie along the table."
        for keyword in _TABLE_ANGLES
        if abs(number(tags, keyword) or 0.0) > _NO_ANGLE and not has_gantry(tags)
    ]
    return Placement(placed, beam.word, tuple(notes))


def _beam(
    view: str | ArrayLike | None, stated: StatedView | None, reason: str, notes: list[str], name: str
) -> tuple[StatedView, bool]:
    """The view that counts, and whether it is that of the tags."""
    if view is None:
        if stated is None:
            reason = reason or "does not say which view it is"
            raise InputError(f"{name} {reason}: name it, as one of {views.VIEW_WORDS}.")
        return stated, True
    if not isinstance(view, str):
        title = "view along {:.3g} {:.3g} {:.3g}".format(*view)
        return StatedView(title, unit(view, "beam axis"), False), False
    named = StatedView(view, *views.parse_view(view))
    if stated is None:
        if reason:
            notes.append(f"The view {view} was given; the file {reason}.")
        return named, True
    angle = np.degrees(np.arccos(np.clip(named.direction @ stated.direction, -1, 1)))
    if angle > 1:
        notes.append(f"The view {view} was given, although the file says {stated.word}.")
    return named, bool(angle <= 1)


def _aim(tags: Dataset, isocentre: ArrayLike | None, rt: bool, notes: list[str]) -> np.ndarray:
    """LPS mm of the point that the beam is aimed at."""
    if isocentre is not None:
        return vector(isocentre, "isocentre")
    told = numbers(tags, "IsocenterPosition")
    if len(told) == 3:
        return vector(told, "isocentre")
    if rt:
        notes.append("The isocentre is not said: the beam is aimed at the origin.")
    return np.zeros(3)


def _oriented(projection: Projection, tags: Dataset, beam: StatedView, of_file: bool, notes: list[str], name: str) -> Projection:
    """The detector with rows and columns running as PatientOrientation says.

    Letters that cannot be those of the view are refused when the file names the view (``of_file``); a view that the user names
    counts more, and a note says so.
    """
    letters = orientation.letters_of(tags)
    if not letters:
        return projection
    told = orientation.patient_orientation(tags)
    found = None if told is None else orientation.oriented_as(projection, *told)
    if found is None:
        fault = "is not understood" if told is None else f"cannot be that of the view {beam.word}"
        if of_file:
            raise InputError(
                f"{name} has the PatientOrientation {letters}, which {fault}: name the view that it shows, or correct its header."
            )
        notes.append(f"The PatientOrientation {letters} {fault} and is not used: the picture is taken to be hung as usual.")
        return projection
    if not np.allclose([found.row_direction, found.column_direction], [projection.row_direction, projection.column_direction]):
        notes.append(f"The picture is turned over or sideways: its PatientOrientation is {letters}.")
    return found


def _check_orientation(projection: Projection, tags: Dataset, notes: list[str]) -> None:
    """A note when PatientOrientation contradicts a plane that is known exactly."""
    told = orientation.patient_orientation(tags)
    if told is not None and (told[0] @ projection.row_direction < 0 or told[1] @ projection.column_direction < 0):
        notes.append(f"The PatientOrientation {orientation.letters_of(tags)} contradicts the plane of the picture, which is used.")


def _in_plane(
    flat: Projection,
    plane: orientation.ImagePlane,
    beam: StatedView,
    behind: float,
    isocentre: ArrayLike | None,
    tags: Dataset,
    notes: list[str],
    name: str,
) -> Projection:
    """The detector in the plane of ImageOrientationPatient, at ImagePositionPatient where that is told."""
    along = float(plane.normal @ beam.direction)
    off = float(np.degrees(np.arccos(np.clip(abs(along), 0, 1))))
    if off > CONTRADICTION_DEGREES:
        raise InputError(
            f"{name} lies in a plane (ImageOrientationPatient) {off:.0f} degrees from facing the beam of the view {beam.word}: "
            "name the view that it shows, or correct its header."
        )
    axis = beam.direction if beam.exact else plane.normal * np.sign(along)
    placed = replace(orientation.with_axes(flat, plane.row, plane.column), ray_direction=axis)
    _check_orientation(placed, tags, notes)
    if plane.position is None:
        placed = orientation.centred(placed, flat.centre + behind * axis)
        notes.append("The picture is turned as its ImageOrientationPatient says.")
        return placed
    placed = replace(placed, origin=plane.position)
    notes.append("The detector stands where ImagePositionPatient and ImageOrientationPatient say.")
    if isocentre is not None:
        offset = vector(isocentre, "isocentre") - placed.centre
        placed = replace(placed, origin=placed.origin + offset - (offset @ axis) * axis)
    return placed


def _with_source(placed: Projection, far: Distances, beam: StatedView, tags: Dataset, notes: list[str]) -> Projection:
    """The cone beam of a detector that stands in its place for a beam at right angles, tilted as the tags say."""
    axis = placed.beam_direction
    isocentre = placed.centre - (far.detector - far.isocentre) * axis
    column = number(tags, "ColumnAngulation") or 0.0
    across, down = (np.radians(number(tags, key) or 0.0) for key in ("DetectorPrimaryAngle", "DetectorSecondaryAngle"))
    if abs(column) > _NO_ANGLE and not beam.exact:
        towards_head = np.array([0.0, 0.0, -1.0 if word(tags, "PatientPosition").startswith("FF") else 1.0])
        towards_head = towards_head - (towards_head @ axis) * axis
        if np.linalg.norm(towards_head) > 0.5:
            turn = np.radians(column)
            axis = np.cos(turn) * axis + np.sin(turn) * unit(towards_head)
            notes.append(
                f"ColumnAngulation tilts the beam by {abs(column):g} degrees towards the {'head' if column > 0 else 'feet'}; the "
                "detector stays parallel to the table."
            )
            placed = orientation.centred(placed, isocentre + (far.detector - far.isocentre) * axis)
    elif max(abs(across), abs(down)) > np.radians(_NO_ANGLE) and max(abs(across), abs(down)) < np.pi / 3:
        placed = _tilted(placed, axis, across, down)
        notes.append(
            f"The detector is tilted against the beam by {np.degrees(across):g} degrees along its rows and {np.degrees(down):g} "
            "along its columns (DetectorPrimaryAngle, DetectorSecondaryAngle)."
        )
    return replace(placed, source=placed.centre - far.detector * axis, ray_direction=None)


def _tilted(placed: Projection, axis: np.ndarray, across: float, down: float) -> Projection:
    """The detector turned about its middle until the beam meets it at these angles (radians) to its normal."""
    from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

    frame = np.stack([placed.row_direction, placed.column_direction, axis])
    beam = unit(np.array([np.tan(across), -np.tan(down), 1.0])) @ frame  # where the beam would go in the detector's own axes
    about = np.cross(beam, axis)
    turn = Rotation.from_rotvec(about * np.arcsin(np.linalg.norm(about)) / np.linalg.norm(about)).as_matrix()
    return orientation.with_axes(placed, turn @ placed.row_direction, turn @ placed.column_direction)
