"""Pictures without holes: pixels that are no measurement, filled from those around them, for networks that need every pixel.

Fusion never sees these values. They are made by "push and pull" (Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4): means
of what was measured, over blocks of twice the side again and again, are interpolated back into the holes.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from XRayTo3DLib.images.radiograph import Radiograph


def filled(radiograph: Radiograph) -> np.ndarray:
    """Line integrals [row, column], float32, with those that are not valid replaced by a smooth continuation of the valid ones."""
    if radiograph.valid is None:
        return radiograph.line_integrals
    return _pulled(radiograph.line_integrals, radiograph.valid).astype(np.float32)


def _pulled(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values [row, column] where ``weights`` are above 0, and their continuation elsewhere."""
    weights = weights.astype(np.float64)
    values = np.where(weights > 0, values, 0).astype(np.float64)
    if (weights > 0).all():
        return values
    shape = values.shape
    ends = [(0, n % 2) for n in shape]
    rows, columns = ((n + 1) // 2 for n in shape)

    def pushed(array: np.ndarray) -> np.ndarray:
        return np.pad(array, ends).reshape(rows, 2, columns, 2).sum(axis=(1, 3))

    total = pushed(weights)
    means = pushed(weights * values) / np.maximum(total, 1e-300)
    coarse = _pulled(means, np.minimum(total, 1.0))
    # The middle of pixel i of the fine picture is at (i - 0.5) / 2 in the coarse one.
    at = np.meshgrid(*((np.arange(n) - 0.5) / 2 for n in shape), indexing="ij")
    smooth = ndimage.map_coordinates(coarse, at, order=1, mode="nearest")
    return np.where(weights > 0, values, smooth)
