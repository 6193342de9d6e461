"""Masks that a user made of an X-ray: pictures or images of its size, or arrays, that mark what is no measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageOps

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import readable_file
from XRayTo3DLib.io.image_files import check_file
from XRayTo3DLib.io.picture_pixels import is_picture
from XRayTo3DLib.io.quiet import quiet
from XRayTo3DLib.io.volumes import read_image


def read_mask(mask: str | Path | np.ndarray, size: tuple[int, ...], name: str) -> np.ndarray:
    """Where a mask is not 0, bool of ``size`` [row, column]: those pixels of the X-ray ``name`` are no measurements.

    ``mask`` is an array, a picture (black is 0), or an image of one slice. Raises :class:`InputError` for another size.
    """
    marked = np.asarray(mask) != 0 if isinstance(mask, np.ndarray) else _marked(Path(mask))
    marked = marked.reshape(marked.shape[-2:]) if marked.ndim == 3 and marked.shape[0] == 1 else marked
    if marked.shape != size:
        told = " x ".join(map(str, marked.shape))
        raise InputError(f"The mask of {name} has {told} pixels but the X-ray {size[0]} x {size[1]}: give one of its size.")
    return marked


def _marked(path: Path) -> np.ndarray:
    readable_file(path, "mask")
    if not is_picture(path):
        image = read_image(path)
        array = sitk.GetArrayFromImage(image)
        return np.asarray(array.any(axis=-1) if image.GetNumberOfComponentsPerPixel() > 1 else array != 0)
    check_file(path)
    with quiet(), path.open("rb") as stream, Image.open(stream) as picture:
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        array = np.array(upright.convert("RGB") if upright.mode in ("P", "LA", "PA", "RGBA", "CMYK") else upright)
    return np.asarray(array.any(axis=-1) if array.ndim == 3 else array != 0)
