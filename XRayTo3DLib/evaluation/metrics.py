"""How far a reconstruction is from the truth, with the range, the extent and the unit of every figure stated.

Images are compared on HU + 1024 clipped to [0, 2500] (Ying et al., X2CT-GAN, CVPR 2019), over the whole grid. What is
not defined (an empty mask, a blank radiograph) is NaN, so that it shows in a table and never passes for a good value.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid

#: The width of the range that images are compared on.
DATA_RANGE = 2500.0
#: The peak that X2CT's published code assumes on data of that range: its PSNR reads 4.29 dB higher.
X2CT_PEAK = 4095.0
BODY_HU = -300.0


def _check_shapes(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InputError(f"The two images have the shapes {a.shape} and {b.shape}: resample one onto the other's grid.")


def hu_range(array_hu: np.ndarray) -> np.ndarray:
    """HU + 1024 clipped to [0, 2500], float32, same shape."""
    return np.clip(np.asarray(array_hu, dtype=np.float32) + np.float32(1024), 0, np.float32(DATA_RANGE))


def psnr(truth: np.ndarray, estimate: np.ndarray, peak: float = DATA_RANGE) -> float:
    """Peak signal-to-noise ratio in dB of two :func:`hu_range` arrays over the whole grid; infinite for equal ones."""
    _check_shapes(truth, estimate)
    error = float(np.mean(np.square(truth.astype(np.float64) - estimate)))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def psnr_x2ct(truth: np.ndarray, estimate: np.ndarray) -> float:
    """The same error with the peak of X2CT's code (4095), to compare with figures published that way."""
    return psnr(truth, estimate, X2CT_PEAK)


def ssim(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Structural similarity of two 3D :func:`hu_range` arrays: scikit-image's defaults (7^3 window), range 2500."""
    _check_shapes(truth, estimate)
    if min(truth.shape) < 7:
        raise InputError(f"SSIM needs at least 7 voxels along each axis, got {truth.shape}: use a finer grid.")
    return float(structural_similarity(truth, estimate, data_range=DATA_RANGE))


def hu_mae_body(truth_hu: np.ndarray, estimate_hu: np.ndarray) -> float:
    """Mean absolute error in HU over the body, that is where the truth is above -300 HU; NaN without a body.

    Both arrays are in HU and not clipped.
    """
    _check_shapes(truth_hu, estimate_hu)
    body = truth_hu > BODY_HU
    return float(np.abs(truth_hu[body].astype(np.float64) - estimate_hu[body]).mean()) if body.any() else float("nan")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two boolean masks, 0 to 1; 0 when one is empty, NaN when both are."""
    _check_shapes(a, b)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(np.logical_and(a, b))) / total if total else float("nan")


def hd95_mm(a: np.ndarray, b: np.ndarray, grid: Grid) -> float:
    """95 % Hausdorff distance in mm between the surfaces of two boolean masks [z, y, x]; NaN when either is empty.

    The surface of a mask is its voxels with a face outside it. From every surface voxel of one mask the distance to the
    other surface is taken; the result is the larger of the two directions' 95th percentiles (Taha and Hanbury, BMC Med.
    Imaging 15, 2015). Voxel spacing counts; the index axes are taken to be at right angles.
    """
    _check_shapes(a, b)
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if not a.any() or not b.any():
        return float("nan")
    # Distances never leave the box around both masks, so nothing else needs a distance transform.
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (a[box], b[box])]
    sampling = grid.spacing[::-1]
    percentiles = []
    for own, other in (surfaces, surfaces[::-1]):
        distance = ndimage.distance_transform_edt(~other, sampling=sampling)
        percentiles.append(float(np.percentile(distance[own], 95)))
    return max(percentiles)


def volume_ml(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a mask in mL, by counting voxels."""
    return float(np.count_nonzero(mask) * grid.voxel_volume / 1000)
