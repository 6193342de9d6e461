"""Lungs without a model of their own: the reconstruction of the X-rays, and the thresholds that find lungs in any volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.shapes.base import Masks, ShapeEstimate
from XRayTo3DLib.shapes.organs import ORGANS, lung_sides


class Thresholds:
    """Lungs, both or one, of the default reconstruction; what a model of lungs must beat."""

    name = "thresholds"
    interface = "thresholds/1"
    organs = ("lungs", *ORGANS["lungs"].parts)

    def __init__(self, known: Labelmap | None = None) -> None:
        """``known``: structures (:func:`.segment_ct`) of a reconstruction of the X-rays that there is already."""
        self._known = known
        self._last: tuple[tuple[Radiograph, ...], Labelmap] | None = None

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        if organ not in self.organs:
            raise InputError(f"Thresholds find {', '.join(self.organs)} alone, not the {organ}: choose a model.")

    def run(
        self,
        model: LoadedModel | None,
        radiographs: Sequence[Radiograph],
        organ: str,
        masks: Masks,
        progress: Progress = silent,
    ) -> ShapeEstimate:
        labels = self._known or self._labels(tuple(radiographs), part(progress, 0.0, 0.8))
        lungs = labels.mask("lungs")
        mask = lungs if organ == "lungs" else lung_sides(lungs, labels.grid)[organ]
        progress(1.0, "thresholds")
        return ShapeEstimate(Volume(mask.astype(np.float32), labels.grid, "1"), notes=("Found by thresholds in a reconstruction.",))

    def _labels(self, radiographs: tuple[Radiograph, ...], progress: Progress) -> Labelmap:
        """The structures of the X-rays' reconstruction, which several organs share."""
        last = self._last
        if last is None or len(last[0]) != len(radiographs) or any(a is not b for a, b in zip(last[0], radiographs, strict=True)):
            volume = to_hu(reconstruct(list(radiographs), check_views=False, progress=progress).volume)
            last = self._last = radiographs, segment_ct(volume, thin_walls=True)
        return last[1]
