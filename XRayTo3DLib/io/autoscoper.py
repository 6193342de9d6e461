"""Autoscoper's camera files, MayaCam 1.0 and 2.0, read and written.

The world is that of the volumes that Autoscoper is given, taken as LPS mm: a CT that stands elsewhere is moved there with a
transform. Both formats are read as their makers write them (pixel centres at whole numbers, as in OpenCV and MATLAB); Autoscoper
itself draws pictures half a pixel aside of that. Sizes are width, height: so does its code read them, whatever its pages say.

MayaCam 2.0 (.txt): "image size" width, height; "camera matrix" K in pixels, principal point counted from 0 at the top left;
"rotation" R and "translation" t, with ``K (R x + t)`` for a point x of the world: x to the right, y down, z forward.

MayaCam 1.0 (.csv), five lines of three numbers: position of the camera; its turns about its own x, y and z axes in degrees (applied
z, then y, then x; x to the right, y up, z backward); centre of the film plane in the camera's axes (not used); u0, v0 and Z in
pixels, u0 from the left and v0 from the bottom, both counted from 1, Z negative; mm a pixel (not used), width and height, where 0
means 1024.

Source: BrownBiomechanics/Autoscoper, libautoscoper/src/Camera.cpp and CoordFrame.cpp, Documentation/file-specifications.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.io.matrices import numbers_in

_MM = "The lengths of the camera file are taken as mm, and its world as LPS."
_DEFAULT_SIDE = 1024
_SECTIONS = {"image size": (1, 2), "camera matrix": (3, 3), "rotation": (3, 3), "translation": (3, 1)}


@dataclass(frozen=True, eq=False)
class Camera:
    """What a camera file says: the 3x4 ``matrix`` (LPS mm to column, row), ``size`` (rows, columns), a point ``ahead`` (LPS mm)."""

    matrix: np.ndarray
    size: tuple[int, int]
    ahead: np.ndarray
    mirrored: bool
    notes: tuple[str, ...]


def read_camera(content: bytes, name: str) -> Camera | None:
    """The camera in a file of either version; ``None`` for a file of another format. ``name`` begins the sentences of errors."""
    if content.lstrip().lower().startswith(b"image size"):
        return _read_2(content, name)
    values = numbers_in(content)
    return _read_1(values, name) if values.shape == (5, 3) else None


def camera_text(projection: Projection, version: int = 2) -> tuple[str, tuple[str, ...]]:
    """A cone beam as a camera file, and notes: a picture that is seen from the detector has to be turned over, left to right.

    Raises :class:`InputError` for other beams, and in version 1 for pixels that are not square.
    """
    source = projection.source
    if source is None or not projection.is_cone:
        raise InputError("A camera file of Autoscoper holds cone beams only: write .json instead.")
    rows, columns = projection.size
    notes: tuple[str, ...] = ()
    if projection.is_mirrored:
        flip = np.array([[-1.0, 0.0, columns - 1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        matrix = flip @ projection.matrix
        notes = ("The picture is seen from the detector, which Autoscoper does not know: turn it over, left to right.",)
    else:
        matrix = projection.matrix
    distance = float(projection.source_to_detector or 0)
    focal = distance / projection.spacing[1], distance / projection.spacing[0]
    forward = matrix[2, :3]
    principal = matrix[:2, :3] @ forward
    right, down = ((matrix[axis, :3] - principal[axis] * forward) / focal[axis] for axis in (0, 1))
    if version == 2:
        turn = np.stack([right, down, forward])
        intrinsic = [[focal[0], 0, principal[0]], [0, focal[1], principal[1]], [0, 0, 1]]
        blocks = [[[columns, rows]], intrinsic, turn.tolist(), [[value] for value in -turn @ source]]
        parts = ["\n".join([title, *(_row(line) for line in block)]) for title, block in zip(_SECTIONS, blocks, strict=True)]
        return "\n\n".join(parts), notes
    if abs(focal[0] / focal[1] - 1) > 1e-6:
        raise InputError("A MayaCam 1.0 file has square pixels only: write MayaCam 2.0 (.txt) instead.")
    from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gimbal lock: one of the sets of angles is as good as another
        z, y, x = Rotation.from_matrix(np.stack([right, -down, -forward], axis=1)).as_euler("ZYX", degrees=True)
    pixel, left, low = projection.spacing[1], principal[0] + 1, rows - principal[1]
    film = [pixel * (columns / 2 - left), pixel * (rows / 2 - low), -distance]
    lines = [source.tolist(), [x, y, z], film, [left, low, -focal[0]], [pixel, columns, rows]]
    return "\n".join(map(_row, lines)), notes


def _row(values: list[float]) -> str:
    return ",".join(repr(float(value)) if value != int(value) else str(int(value)) for value in values)


def _read_2(content: bytes, name: str) -> Camera:
    found: dict[str, np.ndarray] = {}
    lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
    while lines:
        title, (height, width) = lines[0].lower(), _SECTIONS.get(lines[0].lower(), (0, 0))
        block, lines = lines[1 : height + 1], lines[height + 1 :]
        try:
            found[title] = np.array([[float(part) for part in line.replace(",", " ").split()] for line in block]).reshape(
                height, width
            )
        except ValueError:
            height = 0
        if not height or not np.isfinite(found[title]).all():
            raise InputError(f"{name} is no MayaCam 2.0 file: {title[:40]!r} is not followed by the numbers it should be.")
    missing = [title for title in _SECTIONS if title not in found]
    if missing:
        raise InputError(f"{name} is no whole MayaCam 2.0 file: it has no {missing[0]!r}.")
    intrinsic, turn, shift = found["camera matrix"], found["rotation"], found["translation"]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or not intrinsic[0, 0] * intrinsic[1, 1]:
        raise InputError(f"{name} has a rotation that is none, or no focal length: write the camera file again.")
    camera = np.column_stack([turn, shift])
    ahead = turn.T @ (np.array([0, 0, 1000.0]) - shift[:, 0])
    mirrored = bool(np.linalg.det(turn) * intrinsic[0, 0] * intrinsic[1, 1] < 0)
    width, height = found["image size"][0]
    return Camera(intrinsic @ camera, _size(height, width, name), ahead, mirrored, (_MM,))


def _read_1(values: np.ndarray, name: str) -> Camera:
    from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

    source, angles, (left, low, depth), (_, width, height) = values[0], values[1], values[3], values[4]
    if not np.isfinite(values).all() or not depth:
        raise InputError(f"{name} is no MayaCam 1.0 file: its numbers must be finite, and Z not zero.")
    rows, columns = _size(height or _DEFAULT_SIDE, width or _DEFAULT_SIDE, name)
    right, up, back = Rotation.from_euler("ZYX", angles[::-1], degrees=True).as_matrix().T
    # Counted from 0: columns from the left, rows from the top.
    intrinsic = np.array([[-depth, 0, left - 1], [0, depth, rows - low], [0, 0, 1]])
    turn = np.stack([right, up, -back])
    matrix = intrinsic @ np.column_stack([turn, -turn @ source])
    return Camera(matrix, (rows, columns), source - 1000 * back, False, (_MM,))


def _size(height: float, width: float, name: str) -> tuple[int, int]:
    if height != int(height) or width != int(width) or min(height, width) < 2:
        raise InputError(f"{name} has an image size of {width:g} x {height:g}: write the camera file again.")
    return int(height), int(width)
