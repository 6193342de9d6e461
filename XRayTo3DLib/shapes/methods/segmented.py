"""``segmentation``: lungs as the reconstructed volume shows them, for X-rays that no shape model answers.

The bundled volume model reconstructs, fusion makes the volume agree with the X-rays, and air inside the body with tissue in it is
lung (:func:`XRayTo3DLib.anatomy.segmentation.segment_ct`). It needs no model of its own and has no interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.grids import grid_for
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.shapes.base import Masks, ShapeEstimate
from XRayTo3DLib.shapes.organs import organ_mask

#: Standard deviation in voxels of the Gaussian that makes whole voxels a surface between them.
_SMOOTH = 0.6


class Segmentation:
    """Lungs by thresholds, from any number of views."""

    name = interface = "segmentation/1"
    #: What it can find.
    organs = ("lungs", "lung_left", "lung_right")

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        if organ not in self.organs:
            raise InputError(f"The segmentation of a reconstruction finds {', '.join(self.organs)}, not the {organ}: name a model.")

    def run(
        self,
        model: LoadedModel | None,
        radiographs: Sequence[Radiograph],
        organ: str,
        masks: Masks,
        progress: Progress = silent,
    ) -> ShapeEstimate:
        loaded = load_model(None, "volume")
        grid = grid_for(loaded.file.card, radiographs)
        found = reconstruct(radiographs, loaded, grid, check_views=False, progress=part(progress, 0.0, 0.8))
        inside = organ_mask(segment_ct(found.volume, thin_walls=True), organ)
        progress(0.9, organ)
        soft = ndimage.gaussian_filter(inside.astype(np.float32), _SMOOTH)
        notes = ["The lungs are what thresholds find in the reconstruction: their volume has no interval."]
        if any(mask is not None for mask in masks):
            notes.append("The drawn outline was not used.")
        return ShapeEstimate(Volume(np.clip(soft, 0, 1), grid, "1"), notes=tuple(notes))
