"""The geometry of a cone beam in the words of radiotherapy: angles of gantry, couch and receptor (IEC 61217).

Systems of coordinates, right-handed, in mm. FIXED: origin in the isocentre, y towards the gantry, z up. GANTRY: FIXED
turned by the gantry angle about y; the source lies on its z axis. RECEPTOR: parallel to GANTRY, turned about z by its own
angle, its origin where the beam's axis meets the image. The couch turns the patient about the z axis of FIXED. DICOM's
RT Image (PS3.3, C.8.8.2) uses these systems: rows run along x of RECEPTOR and columns against y, unless said otherwise.

The patient lies as one of :data:`PATIENT_POSITIONS` says. Supine and head first (DICOM's HFS), FIXED has x to the patient's left,
y to the head and z to the front. The angles about z, y and z reach every direction: any flat detector with any source can be
written down, with the beam's axis perpendicular to the detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike

_FIRST = {"HF": (0, 0, 1), "FF": (0, 0, -1), "LF": (1, 0, 0), "RF": (-1, 0, 0), "AF": (0, -1, 0), "PF": (0, 1, 0)}
_UP = {"S": (0, -1, 0), "P": (0, 1, 0), "DR": (1, 0, 0), "DL": (-1, 0, 0)}


def _lying() -> dict[str, np.ndarray]:
    """What goes first points to the gantry (y), what is up is z; two that run along one line are no position."""
    found = {}
    for first, y in _FIRST.items():
        for up, z in _UP.items():
            if not np.dot(y, z):
                found[first + up] = np.array([np.cross(y, z), y, z], dtype=np.float64)
    return found


#: LPS to FIXED, from the isocentre and with the couch at 0, by DICOM's Patient Position (PS3.3, C.7.3.1.1.2): head, feet, left,
#: right, anterior or posterior first, supine, prone or on the right or left side (the decubitus side is down).
PATIENT_POSITIONS = _lying()


#: An isocentre may lie this far beside the beam's axis, in mm.
BESIDE_MM = 0.5


@dataclass(frozen=True)
class IecPose:
    """A cone beam and its detector, without the number of pixels.

    - ``gantry``, ``couch``, ``receptor``: degrees;
    - ``source_to_axis``, ``source_to_image``: mm from the source to the isocentre and to the plane of the image;
    - ``isocentre``: LPS mm;
    - ``position``: mm, (x, y) of the centre of pixel [0, 0] in RECEPTOR;
    - ``spacing``: mm between rows and between columns;
    - ``row``, ``column``: unit vectors (x, y) in RECEPTOR of the way the column index and the row index grow;
    - ``patient``: how the patient lies, one of :data:`PATIENT_POSITIONS`.
    """

    gantry: float
    couch: float
    receptor: float
    source_to_axis: float
    source_to_image: float
    isocentre: tuple[float, float, float]
    position: tuple[float, float]
    spacing: tuple[float, float]
    row: tuple[float, float] = (1.0, 0.0)
    column: tuple[float, float] = (0.0, -1.0)
    patient: str = "HFS"


def gantry_and_couch(axis: ArrayLike) -> tuple[float, float]:
    """Gantry (0 to 360) and couch angle (-90 to 90) in degrees that put the source where ``axis`` (LPS) points.

    ``axis`` is the unit vector from the isocentre to the source.
    """
    x, y, z = PATIENT_POSITIONS["HFS"] @ np.asarray(axis, dtype=np.float64)
    side = -1.0 if x < 0 else 1.0
    in_plane = abs(y) < 1e-12  # the plane in which the gantry turns
    couch = 0.0 if in_plane else float(np.degrees(np.arctan2(-side * y, abs(x))))
    gantry = float(np.degrees(np.arctan2(side * np.hypot(x, y), z)))
    return round(gantry, 10) % 360, couch


def source_direction(gantry: float, couch: float) -> np.ndarray:
    """The unit vector (LPS) from the isocentre of a patient in HFS to the source, the inverse of :func:`gantry_and_couch`."""
    return receptor_axes(gantry, couch)[2]


def is_aimed_at(projection: Projection, isocentre: ArrayLike) -> bool:
    """Whether ``isocentre`` (LPS mm) lies before the source of a cone beam and on its axis, within :data:`BESIDE_MM`."""
    if projection.source is None:
        return False
    axis = projection.normal * np.sign(projection.normal @ (projection.origin - projection.source))
    towards = np.asarray(isocentre, dtype=np.float64) - projection.source
    ahead = float(towards @ axis)
    return ahead > 0 and float(np.linalg.norm(towards - ahead * axis)) <= BESIDE_MM


def to_iec(projection: Projection, isocentre: ArrayLike | None = None) -> IecPose:
    """The pose of a cone beam.

    A projection does not say where its machine turns. The isocentre is the point of the beam's axis nearest to
    ``isocentre`` (LPS mm), or without one at 0.8 of the distance from source to detector, as in
    :func:`XRayTo3DLib.geometry.views.view_projection`.
    """
    source, distance = projection.source, projection.source_to_detector
    if not projection.is_cone or source is None or distance is None:
        raise InputError(f"A {projection.beam} beam has no source that stands still, and so no gantry: take a cone beam.")
    towards = projection.normal * np.sign(projection.normal @ (source - projection.origin))
    to_axis = 0.8 * distance if isocentre is None else float((source - np.asarray(isocentre, dtype=np.float64)) @ towards)
    if not to_axis > 0:
        raise InputError("The isocentre lies behind the source: give the point that the beam is aimed at.")
    gantry, couch = gantry_and_couch(towards)
    x_axis, y_axis = receptor_axes(gantry, couch)[:2]
    sign = -1.0 if projection.is_mirrored else 1.0
    receptor = float(np.degrees(np.arctan2(sign * projection.row_direction @ y_axis, sign * projection.row_direction @ x_axis)))
    corner = projection.origin - (source - distance * towards)
    middle = source - to_axis * towards
    return IecPose(
        gantry,
        couch,
        receptor,
        to_axis,
        distance,
        (float(middle[0]), float(middle[1]), float(middle[2])),
        (float(sign * corner @ projection.row_direction), float(-corner @ projection.column_direction)),
        projection.spacing,
        (sign, 0.0),
    )


def from_iec(pose: IecPose, size: tuple[int, int]) -> Projection:
    """The projection of a pose with ``size`` (rows, columns) pixels, the inverse of :func:`to_iec`."""
    x_axis, y_axis, towards = receptor_axes(pose.gantry, pose.couch, pose.receptor, pose.patient)
    source = np.asarray(pose.isocentre) + pose.source_to_axis * towards
    middle = source - pose.source_to_image * towards
    origin = middle + pose.position[0] * x_axis + pose.position[1] * y_axis
    row, column = (along[0] * x_axis + along[1] * y_axis for along in (pose.row, pose.column))
    return Projection(origin, row, column, pose.spacing, size, source=source)


def receptor_axes(
    gantry: float,
    couch: float,
    receptor: float = 0.0,
    patient: str = "HFS",
    table: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """The x, y and z axis of RECEPTOR in LPS, as rows; those of GANTRY for a receptor angle of 0. Angles are degrees.

    ``patient`` is how the patient lies (:data:`PATIENT_POSITIONS`); ``table`` are the eccentric angle, the pitch and the roll of
    the table top.
    """
    from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

    # The gantry turns the receptor, and the couch takes the patient along: in the patient's eyes the machine turns back.
    turn = Rotation.from_euler("zyz", (receptor, gantry, -couch), degrees=True)
    if any(table):
        turn = Rotation.from_euler("zxy", np.negative(table), degrees=True) * turn
    return turn.as_matrix().T @ PATIENT_POSITIONS[patient]
