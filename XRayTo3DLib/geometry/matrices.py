"""What a 3x4 projection matrix says of tube and detector: the nearest rectangular detector, whatever the calibration left in it.

A matrix maps homogeneous LPS points (mm) to ``(column * w, row * w, w)``, pixel [0, 0] centred on (0, 0). One found without
constraints (a direct linear transform) has pixels a little askew and of unequal sides. Reference: Hartley and Zisserman,
Multiple View Geometry, ch. 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.vectors import ArrayLike, numbers, unit, vector

#: Pixels may be off a rectangle (radians) and off the sides that are asked for (relative) by this much: calibrations without
#: constraints give up to 1e-2. The one tolerance for matrices, whatever they come from.
LARGEST_MISFIT = 0.02


def tube_and_detector(
    matrix: ArrayLike,
    size: tuple[int, int],
    spacing: tuple[float, float] | None,
    isocentre: ArrayLike,
    mirrored: bool,
) -> dict[str, Any]:
    """Origin, directions, spacing and beam of the nearest rectangular detector, as :class:`Projection` takes them.

    The arguments are those of :meth:`Projection.from_matrix`, which see. Exact where the matrix is; else the pixel in the middle of
    the detector stays where it is and the others are closest to where the matrix puts them. Raises :class:`InputError`.
    """
    values = numbers(matrix)
    if values.shape != (3, 4) or not np.isfinite(values).all():
        raise InputError(f"A projection matrix must be 3x4 finite numbers, got shape {values.shape}: correct it.")
    middle = (size[1] - 1) / 2, (size[0] - 1) / 2
    if np.linalg.norm(values[2, :3]) < 1e-12 * max(np.abs(values).max(), 1e-300):
        return _parallel(values, middle, spacing, vector(isocentre, "isocentre"), mirrored)
    scale = np.linalg.norm(values[2, :3])
    if abs(np.linalg.det(values[:, :3] / scale)) < 1e-9:
        raise InputError("The projection matrix is singular: no source point fits it; check the calibration.")
    source = -np.linalg.solve(values[:, :3], values[:, 3])
    # The sign of a homogeneous matrix is free: the patient is in front of the source.
    values = values / (-scale if values[2, :3] @ vector(isocentre, "isocentre") + values[2, 3] < 0 else scale)
    normal = values[2, :3]
    principal = values[:2, :3] @ normal  # where the normal through the source meets the detector, in pixels
    lines = values[:2, :3] - np.outer(principal, normal)
    axes = _nearest_axes(lines)
    _check_handedness(float(np.cross(axes[0], axes[1]) @ normal), mirrored)
    focal = np.sum(lines * axes, axis=1)  # pixels a unit of slope along a row and down a column
    if spacing is None:
        spacing, distance = (float(focal[0] / focal[1]), 1.0), float(focal[0])
    else:
        sides = 1 / np.array([spacing[1], spacing[0]])
        distance = float(focal @ sides / (sides @ sides))
        if np.abs(distance * sides / focal - 1).max() > LARGEST_MISFIT:
            raise InputError(
                f"The pixel spacing {spacing} does not fit the projection matrix, whose pixels have the ratio "
                f"{focal[0] / focal[1]:.4g}: correct the spacing."
            )
        focal = distance * sides
    principal = _kept(middle, principal, lines, focal[:, None] * axes, axes)
    origin = source + distance * normal - principal[0] * spacing[1] * axes[0] - principal[1] * spacing[0] * axes[1]
    return {"origin": origin, "row_direction": axes[0], "column_direction": axes[1], "spacing": spacing, "source": source}


def _parallel(
    values: np.ndarray, middle: tuple[float, float], spacing: tuple[float, float] | None, isocentre: np.ndarray, mirrored: bool
) -> dict[str, Any]:
    if abs(values[2, 3]) < 1e-12:
        raise InputError("The projection matrix is singular: its last row is zero; check the calibration.")
    values = values / values[2, 3]
    lines = values[:2, :3]
    ray = np.cross(lines[0], lines[1])
    if np.linalg.norm(ray) < 1e-9 * max(float(np.prod(np.linalg.norm(lines, axis=1))), 1e-300):
        raise InputError("The projection matrix is singular: its rows are parallel; check the calibration.")
    axes = _nearest_axes(lines)
    pixels = np.sum(lines * axes, axis=1)  # a mm along a row and down a column
    own = float(1 / pixels[1]), float(1 / pixels[0])
    if spacing is not None and not np.allclose(spacing, own, rtol=LARGEST_MISFIT):
        raise InputError(f"The pixel spacing {spacing} does not fit the parallel matrix, which has {own}: correct it.")
    at = _kept(middle, lines @ isocentre + values[:2, 3], lines, pixels[:, None] * axes, axes)
    origin = isocentre - at[0] * own[1] * axes[0] - at[1] * own[0] * axes[1]
    beam = unit(ray) * (-1 if mirrored else 1)
    return {"origin": origin, "row_direction": axes[0], "column_direction": axes[1], "spacing": own, "ray_direction": beam}


def _nearest_axes(lines: np.ndarray) -> np.ndarray:
    """Two unit vectors at right angles, as rows, that leave least of the gradients of column and row (2, 3) across them."""
    first = lines[0] / np.linalg.norm(lines[0])
    across = lines[1] - (lines[1] @ first) * first
    second = across / np.linalg.norm(across)
    skew = float(np.arctan2(lines[1] @ first, lines[1] @ second))
    if abs(skew) > LARGEST_MISFIT:
        raise InputError(
            f"The projection matrix has skewed pixels, {np.degrees(abs(skew)):.2g} degrees off a rectangle: only rectangular "
            "pixels are supported; calibrate again with rectangular ones."
        )
    if abs(skew) < 1e-12:
        return np.stack([first, second])
    # Turned by an angle, a column is off by angle / ratio a row, a row by (skew - angle) * ratio a column: least of both squared.
    ratio = np.linalg.norm(lines[1]) / np.linalg.norm(lines[0])
    angle = skew * ratio**2 / (ratio**2 + ratio**-2)
    return np.stack([np.cos(angle) * first - np.sin(angle) * second, np.sin(angle) * first + np.cos(angle) * second])


def _kept(middle: tuple[float, float], offset: np.ndarray, lines: np.ndarray, nearest: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The offset (column, row) with which the ``nearest`` gradients put the middle of the detector where ``lines`` put it."""
    there = np.linalg.solve(lines @ axes.T, np.array(middle) - offset)
    return np.array(middle) - nearest @ axes.T @ there


def _check_handedness(sign: float, mirrored: bool) -> None:
    if (sign < 0) != mirrored:
        raise InputError(
            "The projection matrix is mirrored (rows, columns and beam are left-handed): swap or flip one axis, or say "
            "that the picture is meant as seen from the detector."
            if sign < 0
            else "The projection matrix is not mirrored although it was said to be: drop that setting."
        )
