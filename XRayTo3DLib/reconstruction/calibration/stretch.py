"""A chest that is too narrow for its depth: seen by the method as the wide one that it was trained on.

How thick a patient is follows from the attenuation, how wide from the millimetres of a pixel, which in a picture are a guess. Where
the guess is small, the two make a body as deep as it is wide, which no method has seen: it answers with something flat and dense,
without lungs. Pictures and grid are stretched across the beam until the chest is as wide as an adult's, the method answers, and
its answer is put back: the pixel of the user is honoured, the depth is a patient's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.reconstruction.calibration.gates import body_extent
from XRayTo3DLib.reconstruction.calibration.reference import view_kind
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow
from XRayTo3DLib.reconstruction.methods.base import Estimate, Method

#: Narrower chests (mm, in the patient's middle) are stretched to this width.
ADULT_CHEST_MM = 300.0


class Stretched:
    """``method``, which sees all lengths across ``beam`` (unit vector, LPS) ``factor`` times as long, on ``coarser`` voxels."""

    def __init__(self, method: Method, beam: np.ndarray, factor: float, coarser: float) -> None:
        self.method, self.beam, self.factor, self.coarser = method, beam, factor, coarser
        self.name, self.interface = method.name, method.interface

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        wide = self._wide(grid)
        self.method.check(model, [self._stretched(r, grid.centre) for r in radiographs], wide)

    def run(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress) -> Estimate:
        wide = self._wide(grid)
        found = self.method.run(model, [self._stretched(r, grid.centre) for r in radiographs], wide, progress)
        deviation = None if found.deviation is None else self._back(found.deviation, grid)
        return replace(found, mean=self._back(found.mean, grid), deviation=deviation)

    def _wide(self, grid: Grid) -> Grid:
        larger = np.diag([self.coarser] * 3 + [1.0])
        larger[:3, 3] = (1 - self.coarser) * grid.centre
        return grid.transformed(larger)

    def _matrix(self) -> np.ndarray:
        along = np.outer(self.beam, self.beam)
        return self.factor * (np.eye(3) - along) + along

    def _stretched(self, radiograph: Radiograph, centre: np.ndarray) -> Radiograph:
        projection = radiograph.projection
        matrix = self._matrix()

        def moved(point: np.ndarray) -> np.ndarray:
            return centre + matrix @ (point - centre)

        ray = projection.ray_direction
        seen = Projection(
            moved(projection.origin),
            matrix @ projection.row_direction,
            matrix @ projection.column_direction,
            (self.factor * projection.spacing[0], self.factor * projection.spacing[1]),
            projection.size,
            None if projection.source is None else moved(projection.source),
            None if ray is None else matrix @ ray,
            projection.scan_axis,
        )
        return replace(radiograph, projection=seen)

    def _back(self, volume: Volume, grid: Grid) -> Volume:
        """The volume where it is: linear interpolation at the stretched places of the grid's voxels."""
        places = np.eye(4)
        places[:3, :3] = self._matrix()
        places[:3, 3] = grid.centre - places[:3, :3] @ grid.centre
        # Array axes are z, y, x; matrices x, y, z.
        matrix = (volume.grid.to_index @ places @ grid.affine)[:3]
        turned, shift = matrix[::-1, 2::-1], matrix[::-1, 3]
        array = ndimage.affine_transform(volume.array, turned, shift, output_shape=grid.shape, order=1)
        return Volume(np.maximum(array, 0).astype(np.float32), grid, volume.unit)


def stretched(
    method: Method,
    model: LoadedModel | None,
    radiographs: Sequence[Radiograph],
    shadows: Sequence[Shadow],
    region: str,
    grid: Grid,
) -> Method:
    """The method itself, or one that sees a chest of this single picture of unknown scale as wide as an adult's."""
    if len(radiographs) > 1 or region != "chest" or "gain" not in radiographs[0].unknown:
        return method
    width, height = body_extent(radiographs[0], shadows[0], grid.centre)
    if view_kind(radiographs[0]) != "frontal" or width >= ADULT_CHEST_MM:
        return method
    factor = ADULT_CHEST_MM / width
    room = min(n * s for n, s in zip(grid.size, grid.spacing, strict=True))
    coarser = float(np.clip(factor * max(width, height) / room, 1, factor))
    wider = Stretched(method, radiographs[0].projection.normal, factor, coarser)
    try:
        wider.check(model, radiographs, grid)
    except InputError:  # the model takes no such voxels
        return method
    return wider
