"""The exact geometry of an RT image with a gantry angle, from its standard attributes (DICOM PS3.3, C.8.8.2; IEC 61217)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.iec import PATIENT_POSITIONS, receptor_axes
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.io.dicom_headers import number, numbers, word
from XRayTo3DLib.io.dicom_scale import Distances
from XRayTo3DLib.io.dicom_views import StatedView, arm_word


def has_gantry(tags: Dataset) -> bool:
    """Whether the tags place an RT image exactly."""
    return number(tags, "GantryAngle") is not None


def stated_rt_view(tags: Dataset, name: str) -> StatedView:
    """The beam of an RT image's angles, for this patient as the patient lies."""
    direction = -_axes(tags, name)[2]
    x, y, z = direction
    if abs(z) > 1e-6:
        text = arm_word(float(np.degrees(np.arctan2(x, -y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1)))))
        return StatedView(text, direction, True, True)
    # Turned about the long axis alone: 0 has the beam go from the front to the back, positive angles towards the left.
    turned = round(float(np.degrees(np.arctan2(x, y))), 3)
    return StatedView(f"AP{turned:+g}" if turned else "AP", direction, views.parse_view("AP")[1], True)


def rt_projection(
    tags: Dataset,
    size: tuple[int, int],
    spacing: float | tuple[float, float],
    far: Distances,
    isocentre: ArrayLike,
    notes: list[str],
    name: str,
) -> Projection:
    """The projection of an RT image with a gantry angle; its detector is centred unless the tags place it elsewhere.

    The image may stand anywhere along the beam, also before the isocentre. Raises :class:`InputError` for angles that are not
    understood.
    """
    pixel = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 2)
    row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])  # rows along x, columns against y of the receptor
    told = np.array(numbers(tags, "RTImageOrientation"))
    if told.shape == (6,):
        row, column = told.reshape(2, 3)
        if np.abs(told.reshape(2, 3) @ told.reshape(2, 3).T - np.eye(2)).max() > 1e-3:
            raise InputError(
                f"{name} has an RTImageOrientation that is no pair of unit vectors at right angles: correct its header."
            )
    steps = pixel[::-1]  # along a row, down a column
    first = -(np.array([size[1], size[0]]) - 1) / 2 * steps @ np.stack([row, column])
    position, own = np.array(numbers(tags, "RTImagePosition")), np.array(numbers(tags, "ImagePlanePixelSpacing"))
    if position.shape == (2,):
        normal = np.cross(row, column)
        if abs(normal[2]) < 0.1:
            raise InputError(f"{name} has an RTImageOrientation along the beam: correct its header.")
        # The plane of a tilted image goes through the origin of the receptor.
        first = np.array([*position, -(normal[:2] @ position) / normal[2]])
        if own.shape == (2,) and own.min() > 0:
            # A spacing that is given does not move the middle of the beam in the picture.
            first = (first @ row) * steps[0] / own[1] * row + (first @ column) * steps[1] / own[0] * column
    receptor, shift = _angle(tags, "XRayImageReceptorAngle"), np.array(numbers(tags, "XRayImageReceptorTranslation"))
    if shift.shape == (3,):
        turn = np.radians(receptor)
        first[:2] += np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ shift[:2]
        if abs(far.isocentre - far.detector - shift[2]) > 1 and number(tags, "RTImageSID") is not None:
            notes.append(
                f"XRayImageReceptorTranslation puts the receptor {-shift[2]:g} mm behind the isocentre, but the picture is that of "
                f"the plane {far.detector - far.isocentre:g} mm behind it (RTImageSID), which is used."
            )
    if not word(tags, "PatientPosition"):
        notes.append("How the patient lies is not said: supine and head first (HFS) is assumed.")
    axes = _axes(tags, name, receptor)
    source = np.asarray(isocentre, dtype=np.float64) + far.isocentre * axes[2]
    origin = source - far.detector * axes[2] + first @ axes
    return Projection(origin, row @ axes, column @ axes, (float(pixel[0]), float(pixel[1])), size, source=source)


def _axes(tags: Dataset, name: str, receptor: float = 0.0) -> np.ndarray:
    lies = word(tags, "PatientPosition") or "HFS"
    if lies not in PATIENT_POSITIONS:
        raise InputError(
            f"{name} says that the patient lies as {lies!r}, for which angles have no meaning here: correct its PatientPosition "
            f"(one of {', '.join(PATIENT_POSITIONS)}), or name the view and the distances."
        )
    if abs(_angle(tags, "GantryPitchAngle")) > 0.01:
        raise InputError(f"{name} has a pitched gantry, which is not supported: name the view and the distances.")
    table = _angle(tags, "TableTopEccentricAngle"), _angle(tags, "TableTopPitchAngle"), _angle(tags, "TableTopRollAngle")
    return receptor_axes(_angle(tags, "GantryAngle"), _angle(tags, "PatientSupportAngle"), receptor, lies, table)


def _angle(tags: Dataset, keyword: str) -> float:
    """Degrees, 0 when unknown."""
    return number(tags, keyword) or 0.0
