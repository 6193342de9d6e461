"""The outline of an organ on its X-rays: closed curves around the shadow of its voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.geometry.overlap import shadow
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.projection.projector import project


def outlines(labelmap: Labelmap, radiographs: Sequence[Radiograph]) -> list[list[np.ndarray]]:
    """For each radiograph the closed curves (N, 2) of (row, column), in pixels between the pixels, longest first.

    They bound the pixels whose rays pass through more than half a voxel of the structure; where the detector ends they follow
    its border. The first point is repeated at the end. A structure beside a detector has no curve there.
    """
    from skimage.measure import find_contours

    values = (labelmap.array > 0).astype(np.float32)
    half = 0.5 * float(labelmap.grid.voxel_volume ** (1 / 3))
    found: list[list[np.ndarray]] = []
    for radiograph in radiographs:
        window = shadow(labelmap.grid, radiograph.projection)
        if window is None:
            found.append([])
            continue
        picture = project(values, labelmap.grid, [radiograph.projection.cropped(window)])[0].numpy()
        curves = find_contours(np.pad(picture, 1), half)
        corner = np.array([side.start - 1 for side in window])
        limits = np.array(radiograph.projection.size) - 0.5
        curves = [np.clip(curve + corner, -0.5, limits) for curve in curves if len(curve) > 3]
        found.append(sorted(curves, key=len, reverse=True))
    return found
