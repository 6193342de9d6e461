"""How alike two pictures are: multi-scale structural similarity, and the area under a ROC curve."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from XRayTo3DLib.errors import InputError

#: Weights of the five scales, window and constants (Wang, Simoncelli and Bovik, Asilomar 2003).
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SIGMA, _HALF, _K1, _K2 = 1.5, 5, 0.01, 0.03


def ms_ssim(truth: np.ndarray, estimate: np.ndarray, data_range: float = 1.0) -> float:
    """Multi-scale structural similarity of two pictures [row, column], 1 for equal ones.

    Five scales, Gaussian windows of 11 x 11 pixels (sigma 1.5) that lie whole in the picture, means of 2 x 2 pixels between scales;
    negative contrast terms count as 0. Pictures have at least 176 pixels a side: smaller ones are enlarged first, linearly.
    """
    if truth.shape != estimate.shape or truth.ndim != 2:
        raise InputError(f"The two pictures have the shapes {truth.shape} and {estimate.shape}: give two of one size.")
    a, b = (np.asarray(picture, dtype=np.float64) for picture in (truth, estimate))
    while min(a.shape) < 16 * (2 * _HALF + 1):
        a, b = doubled(a), doubled(b)
    found = 1.0
    for scale, weight in enumerate(_WEIGHTS):
        contrast, whole = _terms(a, b, data_range)
        last = scale == len(_WEIGHTS) - 1
        found *= max(whole if last else contrast, 0.0) ** weight
        if not last:
            a, b = _halved(a), _halved(b)
    return float(found)


def _terms(a: np.ndarray, b: np.ndarray, data_range: float) -> tuple[float, float]:
    """Mean of contrast and structure, and of those times luminance, over the whole windows."""

    def mean(picture: np.ndarray) -> np.ndarray:
        smooth = ndimage.gaussian_filter(picture, _SIGMA, radius=_HALF)
        return smooth[_HALF:-_HALF, _HALF:-_HALF]

    first, second = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    contrast = (2 * (mean(a * b) - mean_a * mean_b) + second) / (variance_a + variance_b + second)
    luminance = (2 * mean_a * mean_b + first) / (mean_a**2 + mean_b**2 + first)
    return float(contrast.mean()), float((luminance * contrast).mean())


def _halved(picture: np.ndarray) -> np.ndarray:
    rows, columns = (n // 2 * 2 for n in picture.shape)
    return picture[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def doubled(picture: np.ndarray) -> np.ndarray:
    """A picture with twice as many rows and columns, interpolated linearly between the centres of its pixels."""
    at = [(np.arange(2 * n) + 0.5) / 2 - 0.5 for n in picture.shape]
    return ndimage.map_coordinates(picture, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve: the chance that a positive scores above a negative, ties half; NaN without both."""
    values, flags = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(positive, dtype=bool).ravel()
    yes, no = int(np.count_nonzero(flags)), int(np.count_nonzero(~flags))
    if not yes or not no:
        return float("nan")
    return float((rankdata(values)[flags].sum() - yes * (yes + 1) / 2) / (yes * no))
