"""Which way rows and columns of a picture run in the patient, as DICOM says it: PatientOrientation and the image plane.

Sources: DICOM PS3.3 C.7.6.1.1.1 (letters of bipeds and quadrupeds), C.7.6.2.1.1 (image position and orientation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.io.dicom_headers import numbers, word, words

_LEFT, _BACK, _HEAD = np.eye(3)
_BIPED = {"L": _LEFT, "R": -_LEFT, "P": _BACK, "A": -_BACK, "H": _HEAD, "F": -_HEAD}
#: An animal lies in the same axes: x to its left, y to its back, z to its head (rostral: along the head).
_QUADRUPED = {
    "LE": _LEFT, "RT": -_LEFT, "D": _BACK, "V": -_BACK, "CR": _HEAD, "CD": -_HEAD, "RO": _HEAD, "R": _HEAD,
}  # fmt: skip
#: Rows and columns must run this much (cosine) along the axes of the view, or it is another view.
_AGREES = 0.3
#: The axes of an image plane may differ from a right angle by this cosine.
_RIGHT_ANGLE = 1e-3


@dataclass(frozen=True, eq=False)
class ImagePlane:
    """ImageOrientationPatient, and ImagePositionPatient (LPS mm of the centre of pixel [0, 0]) where it is there."""

    row: np.ndarray
    column: np.ndarray
    position: np.ndarray | None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector ``row x column``; the beam runs along it or against it."""
        return np.cross(self.row, self.column)


def image_plane(tags: Dataset) -> ImagePlane | None:
    """The plane of a picture in the patient; ``None`` where the tags name none that can be."""
    told, position = np.array(numbers(tags, "ImageOrientationPatient")), np.array(numbers(tags, "ImagePositionPatient"))
    if told.shape != (6,):
        return None
    row, column = told.reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.5 or abs(row @ column) > _RIGHT_ANGLE * lengths[0] * lengths[1]:
        return None
    row = row / lengths[0]
    column = column - (column @ row) * row
    return ImagePlane(row, column / np.linalg.norm(column), position if position.shape == (3,) else None)


def patient_orientation(tags: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """The unit vectors (LPS) along rows and down columns that PatientOrientation says, whatever its letters.

    ``None`` where it is empty, where it names directions of a limb alone (proximal, medial, ...), and for what cannot be.
    """
    letters = [text.upper() for text in words(tags, "PatientOrientation")]
    if len(letters) != 2:
        return None
    both = [_BIPED, _QUADRUPED] if word(tags, "AnatomicalOrientationType") != "QUADRUPED" else [_QUADRUPED, _BIPED]
    for alphabet in both:
        found = [_direction(text, alphabet) for text in letters]
        if found[0] is not None and found[1] is not None and abs(found[0] @ found[1]) < 0.8:
            return found[0], found[1]
    return None


def _direction(text: str, alphabet: dict[str, np.ndarray]) -> np.ndarray | None:
    """The direction of letters such as LA: the first one means most."""
    total, weight = np.zeros(3), 1.0
    while text:
        letter = next((text[:n] for n in (2, 1) if text[:n] in alphabet), None)
        if letter is None:
            return None
        total, weight, text = total + weight * alphabet[letter], weight / 2, text[len(letter) :]
    length = float(np.linalg.norm(total))
    return total / length if length > 0.1 else None


def letters_of(tags: Dataset) -> str:
    """PatientOrientation as DICOM writes it, for people to read."""
    return "\\".join(words(tags, "PatientOrientation"))


def letters_towards(direction: np.ndarray) -> str:
    """The letters of a direction (LPS) for PatientOrientation, the largest component first, without those below a fifth."""
    order = [axis for axis in np.argsort(-np.abs(direction)) if abs(direction[axis]) > 0.2]
    return "".join("LPHRAF"[axis + 3 * int(direction[axis] < 0)] for axis in order)


def oriented_as(projection: Projection, row: np.ndarray, column: np.ndarray) -> Projection | None:
    """The same detector with rows and columns along those of its own axes that run most as ``row`` and ``column`` (LPS) do.

    Size and spacing stay those of rows and columns, and the middle stays where it is. ``None`` when neither axis of the detector
    runs that way: the picture is one of another view.
    """
    axes = [sign * axis for axis in (projection.row_direction, projection.column_direction) for sign in (1, -1)]
    pairs = [(a, b) for a in axes for b in axes if abs(a @ b) < 0.5]
    best = max(pairs, key=lambda pair: float(pair[0] @ row + pair[1] @ column))
    if min(best[0] @ row, best[1] @ column) < _AGREES:
        return None
    return with_axes(projection, best[0], best[1])


def with_axes(projection: Projection, row: np.ndarray, column: np.ndarray) -> Projection:
    """The same detector about its middle, with other directions of rows and columns."""
    return centred(replace(projection, row_direction=row, column_direction=column), projection.centre)


def centred(projection: Projection, centre: np.ndarray) -> Projection:
    """The detector with its middle at ``centre`` (LPS mm); the beam stays."""
    return replace(projection, origin=projection.origin + centre - projection.centre)
