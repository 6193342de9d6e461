"""Volumes on another grid."""

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
    direction = grid.direction.ravel().tolist()
    moved = sitk.Resample(image, grid.size, sitk.Transform(), sitk.sitkLinear, grid.origin, grid.spacing, direction, outside)
    return Volume(sitk.GetArrayFromImage(moved), grid, volume.unit)
