"""The mean volume of the training CTs: what a method must beat to have learned anything about the patient.

Stored as one small file a region in ``Resources/Baselines``: the mean HU of the training CTs of that region, 4 mm voxels, aligned
by the evaluation protocol (the top of the scan, the middle of the body's bounding box). ``XRayTo3DLib.training.means`` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import resources_folder
from XRayTo3DLib.fusion.reprojection import reproject, reprojection_error
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import grid_of
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.volumes import read_image

REGIONS = ("head_neck", "chest")


def mean_volume(region: str, grid: Grid) -> Volume:
    """The mean of a region's training CTs in HU on ``grid``, its top at the grid's top slice, centred on it in x and y.

    That is the place the protocol gives it, when the grid begins at the scan's top and is centred on the body.
    """
    path = resources_folder() / "Baselines" / f"{region}.nrrd"
    if region not in REGIONS or not path.is_file():
        raise InputError(f"There is no mean volume for {region!r}: use one of {', '.join(REGIONS)}.")
    import SimpleITK as sitk

    image = read_image(path)
    stored = Volume(sitk.GetArrayFromImage(image).astype(np.float32), grid_of(image))
    top = grid.affine @ np.array([(grid.size[0] - 1) / 2, (grid.size[1] - 1) / 2, grid.size[2] - 1, 1.0])
    extent = (np.array(stored.grid.size) - 1) * stored.grid.spacing
    origin = top[:3] - np.array([extent[0] / 2, extent[1] / 2, extent[2]])
    return resample(Volume(stored.array, replace(stored.grid, origin=tuple(origin))), grid)


def closest_mean(radiographs: Sequence[Radiograph], grid: Grid) -> tuple[str, Volume]:
    """The region whose mean volume re-projects best to the radiographs, and that volume in HU."""

    def error(volume: Volume) -> float:
        pictures = reproject(to_attenuation(volume), radiographs)
        return float(np.mean([reprojection_error(r.line_integrals, p) for r, p in zip(radiographs, pictures, strict=True)]))

    means = {region: mean_volume(region, grid) for region in REGIONS}
    best = min(means, key=lambda region: error(means[region]))
    return best, means[best]
