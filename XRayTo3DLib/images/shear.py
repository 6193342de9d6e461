"""Volumes whose axes are not at right angles: slices of a tilted gantry, and headers that hold any affine matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume

#: Degrees: below the first, axes are at right angles but for the rounding of headers; below the second, a rigid grid is near
#: enough; no gantry tilts by more than the third.
_ROUNDED, _SLIGHT, _STEEPEST = 1e-3, 0.5, 35.0
#: Nobody needs to hear of voxels that move by less than this, in mm.
_UNHEARD = 1e-3


def shear_degrees(direction: np.ndarray) -> float:
    """How far the axes (columns of unit length) are from right angles to one another, at most, in degrees."""
    cosines = direction.T @ direction - np.eye(3)
    return float(np.degrees(np.arcsin(np.clip(np.abs(cosines).max(), 0, 1))))


def straightened(volume: Volume, name: str) -> Volume:
    """The volume on a grid with axes at right angles, with a note where that changes anything.

    A slight shear is left out (the nearest rigid grid about the same middle); a larger one, up to that of a tilted gantry, is
    resampled (linear, float32), with air around it. Raises :class:`InputError` for an even larger one.
    """
    grid = volume.grid
    shear = shear_degrees(grid.direction)
    if shear <= _ROUNDED:
        return volume
    if shear > _STEEPEST:
        raise InputError(
            f"The axes of {name} are not at right angles but off by {shear:.0f} degrees, more than any scanner: correct its "
            "header, or resample it."
        )
    if shear <= _SLIGHT:
        left, _, right = np.linalg.svd(grid.direction)
        rigid = left @ right
        origin = grid.centre - rigid @ (np.array(grid.spacing) * (np.array(grid.size) - 1) / 2)
        near = replace(grid, origin=tuple(origin), direction=rigid)
        moved = float(np.linalg.norm(near.corners - grid.corners, axis=1).max())
        if moved < _UNHEARD:
            return replace(volume, grid=near)
        told = (
            f"The axes of {name} are off right angles by {shear:.2g} degrees: the nearest that are at right angles are used, which"
        )
        return replace(volume, grid=near, notes=(*volume.notes, f"{told} moves its corners by {moved:.2g} mm."))
    axes, scale = np.linalg.qr(grid.direction)
    signs = np.where(np.diag(scale) < 0, -1.0, 1.0)
    axes, spacing = axes * signs, np.array(grid.spacing) * np.diag(scale) * signs
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in grid.size], indexing="ij")).reshape(3, -1)
    places = axes.T @ (grid.affine[:3, :3] @ ends + grid.affine[:3, 3:])
    low, high = places.min(axis=1), places.max(axis=1)
    size = np.ceil((high - low) / spacing - 1e-3).astype(int) + 1
    straight = resample(volume, Grid(tuple(size), tuple(spacing), tuple(axes @ low), axes))
    told = f"The axes of {name} are off right angles by {shear:.3g} degrees, as with a tilted gantry: it was resampled"
    return replace(straight, notes=(*volume.notes, f"{told} to {size[0]} x {size[1]} x {size[2]} voxels that are."))
