"""How a radiograph is shown: pictures for the eye, made from line integrals and never an input to a computation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing

if TYPE_CHECKING:
    from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.display import PERCENTILES, to_display


def write_picture(
    radiograph: Radiograph, path: str | Path, look: str = "film", percentiles: tuple[float, float] = PERCENTILES
) -> None:
    """Write a 16-bit grey PNG for the eye with its pixel spacing; scale and geometry are lost.

    ``look`` and ``percentiles`` are those of :func:`to_display`. The file appears whole or not at all.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path} cannot hold a picture: end the name in .png.")
    image = sitk.GetImageFromArray(np.rint(65535 * to_display(radiograph, look, percentiles)).astype(np.uint16))
    image.SetSpacing(radiograph.projection.spacing[::-1])
    with writing(path) as temporary:
        sitk.WriteImage(image, str(temporary))
