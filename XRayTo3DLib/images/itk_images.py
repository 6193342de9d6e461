"""SimpleITK images and arrays with their grid, both directions."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.geometry.grid import Grid


def grid_of(image: sitk.Image) -> Grid:
    """The grid of a 3D SimpleITK image."""
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3)))


def to_sitk(array: np.ndarray, grid: Grid) -> sitk.Image:
    """An array [z, y, x] with its grid as a SimpleITK image."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction.ravel().tolist())
    return image


def metadata(image: sitk.Image) -> dict[str, str]:
    """The texts in an image's header by their names, without blanks around them; names and texts that are no UTF-8 are left out."""
    found = {}
    for key in image.GetMetaDataKeys():
        try:
            value = image.GetMetaData(key).strip()
            value.encode()
        except (TypeError, UnicodeError):
            continue
        found[key] = value
    return found
