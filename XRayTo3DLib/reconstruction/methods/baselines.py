"""Baselines: methods that know training CTs and nothing of the patient's inside. What a model must beat to have learned anything.

The bundled means are one small file a region in ``Resources/Baselines``: the mean HU of the training CTs of that region, 4 mm
voxels, aligned by the evaluation protocol (the top of the scan, the middle of the body's bounding box).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import resources_folder
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import grid_of
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.volumes import read_image
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.methods.base import Estimate

REGIONS = ("head_neck", "chest")
#: HU are compared and averaged in this range, that of the evaluation protocol.
_LOW, _HIGH = -1024.0, 1476.0


class Mean:
    """The mean of the training CTs (HU); without any, the bundled mean of the region that fits the X-rays best."""

    name = interface = "mean"

    def __init__(self, training: Sequence[Volume] = ()) -> None:
        arrays = [_ranged(volume) for volume in training]
        self._mean = Volume(np.asarray(np.mean(arrays, axis=0, dtype=np.float64), np.float32), training[0].grid) if arrays else None

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        pass

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress = silent
    ) -> Estimate:
        if self._mean is not None:
            return Estimate(to_attenuation(placed(self._mean, grid)))
        region, volume = closest_mean(radiographs, grid)
        return Estimate(to_attenuation(volume), notes=(f"The mean of the training CTs of the region {region}.",))


class Nearest:
    """The training CT (HU, on grids of one size) whose own X-rays in the same geometry are most similar."""

    name = interface = "nearest"

    def __init__(self, training: Sequence[Volume]) -> None:
        self._training = _given(training)
        self._pictures: dict[tuple[object, ...], np.ndarray] = {}

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        pass

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress = silent
    ) -> Estimate:
        key = _geometry(radiographs, grid)
        if key not in self._pictures:  # the cases of a protocol share their geometry, seen from the grid's centre
            pictures = []
            for index, volume in enumerate(self._training):
                progress(index / len(self._training), "X-rays of the training CTs")
                pictures.append(_flat(reproject(to_attenuation(placed(volume, grid)), radiographs)))
            self._pictures[key] = np.stack(pictures)
        seen = _flat([r.line_integrals for r in radiographs])
        counts = _flat([np.ones(r.projection.size, bool) if r.valid is None else r.valid for r in radiographs])
        best = int(np.argmin(np.square(self._pictures[key] - seen).sum(axis=1, where=counts)))
        return Estimate(to_attenuation(placed(self._training[best], grid)))


class Oracle:
    """The training CT (HU) closest to the truth, which it alone is told: the most that choosing a training CT could reach."""

    name = interface = "oracle"

    def __init__(self, training: Sequence[Volume], truth: Volume) -> None:
        self._training, self._truth = _given(training), truth

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        pass

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress = silent
    ) -> Estimate:
        truth = _ranged(resample(self._truth, grid))
        found = [placed(volume, grid) for volume in self._training]
        best = int(np.argmin([np.square(_ranged(volume) - truth).mean(dtype=np.float64) for volume in found]))
        return Estimate(to_attenuation(found[best]))


def placed(volume: Volume, grid: Grid) -> Volume:
    """A volume (HU) moved so that its grid's centre is that of ``grid``, on ``grid``, clipped to the protocol's range."""
    own = volume.grid
    moved = replace(own, origin=tuple(np.array(own.origin) + grid.centre - own.centre))
    array = _ranged(volume)
    return Volume(array, grid) if moved.same_as(grid) else resample(Volume(array, moved), grid)


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
        return float(np.mean(errors_of(radiographs, pictures)))

    means = {region: mean_volume(region, grid) for region in REGIONS}
    best = min(means, key=lambda region: error(means[region]))
    return best, means[best]


def _given(training: Sequence[Volume]) -> list[Volume]:
    if not training:
        raise InputError("The baselines nearest and oracle choose among training CTs, and there are none: name a folder of them.")
    return list(training)


def _ranged(volume: Volume) -> np.ndarray:
    return np.clip(volume.array, _LOW, _HIGH).astype(np.float32)


def _flat(pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([p.ravel() for p in pictures])


def _geometry(radiographs: Sequence[Radiograph], grid: Grid) -> tuple[object, ...]:
    """Everything that pictures of a volume on ``grid`` depend on, seen from the grid's centre and rounded to a micrometre."""
    numbers: list[object] = [grid.size, grid.spacing, grid.direction.round(9).tobytes()]
    for projection in (r.projection for r in radiographs):
        start = projection.centre if projection.source is None else projection.source
        numbers += [projection.size, projection.spacing, projection.beam, projection.scan_axis]
        for point in (start, projection.origin):
            numbers += (np.round(np.asarray(point) - grid.centre, 3) + 0.0).tolist()
        for direction in (projection.row_direction, projection.column_direction, projection.beam_direction):
            numbers += (np.round(direction, 9) + 0.0).tolist()
    return tuple(numbers)
