"""Volumes, label maps and masks on another grid."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.volume import AIR_HU, Volume


def resample(volume: Volume, grid: Grid, smooth: bool = False) -> Volume:
    """Linear interpolation onto ``grid``, float32; outside the volume is air.

    ``smooth`` first removes what the coarser grid cannot hold (a Gaussian along each axis whose spacing grows).
    """
    image = sitk.Cast(to_sitk(volume.array, volume.grid), sitk.sitkFloat32)
    if smooth:
        ratio = np.array(grid.spacing) / np.array(volume.grid.spacing)
        sigma = 0.42 * np.array(volume.grid.spacing) * np.sqrt(np.maximum(ratio**2 - 1, 0))
        for axis, width in enumerate(sigma):
            if width > 0:
                image = sitk.RecursiveGaussian(image, width, direction=axis)
    outside = AIR_HU if volume.unit == "HU" else 0.0
    return Volume(_on(image, grid, sitk.sitkLinear, outside), grid, volume.unit)


def resample_labels(labels: np.ndarray, own: Grid, grid: Grid) -> np.ndarray:
    """Whole numbers [z, y, x] on ``own`` as those of the nearest voxels on ``grid``, of the same type; outside is 0."""
    return labels if own.same_as(grid) else _on(to_sitk(labels, own), grid, sitk.sitkNearestNeighbor, 0)


def resample_mask(mask: np.ndarray, own: Grid, grid: Grid) -> np.ndarray:
    """A boolean mask [z, y, x] on ``grid``: where linear interpolation puts it at one half or more, so that edges stay smooth."""
    if own.same_as(grid):
        return mask
    # The outermost voxels reach past their centres.
    image = to_sitk(np.pad(mask, 1, mode="edge").astype(np.float32), own.padded(1))
    return _on(image, grid, sitk.sitkLinear, 0) >= 0.5


def _on(image: sitk.Image, grid: Grid, interpolation: int, outside: float) -> np.ndarray:
    direction = grid.direction.ravel().tolist()
    moved = sitk.Resample(image, grid.size, sitk.Transform(), interpolation, grid.origin, grid.spacing, direction, outside)
    return sitk.GetArrayFromImage(moved)
