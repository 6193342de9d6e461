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


def psnr_slices(truth: np.ndarray, estimate: np.ndarray) -> float:
    """PSNR in dB by the convention of X2CT's code, of two :func:`hu_range` arrays [z, y, x].

    Values are cut to whole numbers, each slice has its own PSNR with the peak 4095 (100 dB for a slice without error), and the
    means over the axial, coronal and sagittal slices are averaged. A mean of logarithms over slices reads higher than the logarithm
    of the mean error where slices differ, as those of air do.
    """
    _check_shapes(truth, estimate)
    square = np.square(np.floor(truth).astype(np.float64) - np.floor(estimate))
    means = []
    for axis in range(3):
        error = square.mean(axis=tuple(a for a in range(3) if a != axis))
        with np.errstate(divide="ignore"):
            means.append(float(np.where(error > 0, 10 * np.log10(X2CT_PEAK**2 / error), 100.0).mean()))
    return float(np.mean(means))


def ssim_slices(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Structural similarity by the convention of X2CT's code: 2D, mean over the slices of each axis, then over the three axes.

    Two :func:`hu_range` arrays; scikit-image's defaults (7^2 window), data range 2500.
    """
    _check_shapes(truth, estimate)
    if min(truth.shape) < 7:
        raise InputError(f"SSIM needs at least 7 voxels along each axis, got {truth.shape}: use a finer grid.")
    means = []
    for axis in range(3):
        slices = zip(np.moveaxis(truth, axis, 0), np.moveaxis(estimate, axis, 0), strict=True)
        means.append(np.mean([structural_similarity(a, b, data_range=DATA_RANGE) for a, b in slices]))
    return float(np.mean(means))


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


def surface_distances(a: np.ndarray, b: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray] | None:
    """Distances in mm from each surface voxel of one boolean mask [z, y, x] to the other's surface, both ways.

    The surface of a mask is its voxels with a face outside it. ``None`` when either mask is empty. Voxel spacing counts; the index
    axes are taken to be at right angles.
    """
    _check_shapes(a, b)
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if not a.any() or not b.any():
        return None
    # Distances never leave the box around both masks, so nothing else needs a distance transform.
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    first, second = (mask & ~ndimage.binary_erosion(mask) for mask in (a[box], b[box]))
    sampling = grid.spacing[::-1]
    there, back = (ndimage.distance_transform_edt(~other, sampling=sampling) for other in (second, first))
    return there[first], back[second]


def hd95_mm(a: np.ndarray, b: np.ndarray, grid: Grid) -> float:
    """95 % Hausdorff distance in mm between the surfaces of two boolean masks [z, y, x]; NaN when either is empty.

    The larger of the two directions' 95th percentiles (Taha and Hanbury, BMC Med. Imaging 15, 2015).
    """
    return hd95_of(surface_distances(a, b, grid))


def hd95_of(distances: tuple[np.ndarray, np.ndarray] | None) -> float:
    """:func:`hd95_mm` of what :func:`surface_distances` gives."""
    return float("nan") if distances is None else max(float(np.percentile(way, 95)) for way in distances)


def surface_dice(a: np.ndarray, b: np.ndarray, grid: Grid, tolerance_mm: float) -> float:
    """Share of both masks' surface voxels within ``tolerance_mm`` of the other surface, 0 to 1.

    The normalised surface distance (surface Dice) of Nikolov et al. (J. Med. Internet Res. 23, 2021), by voxels. 0 when one mask
    is empty, NaN when both are.
    """
    if not np.any(a) and not np.any(b):
        return float("nan")
    return surface_dice_of(surface_distances(a, b, grid), tolerance_mm)


def surface_dice_of(distances: tuple[np.ndarray, np.ndarray] | None, tolerance_mm: float) -> float:
    """:func:`surface_dice` of what :func:`surface_distances` gives; 0 for ``None``."""
    # A tolerance of a voxel and a half is not missed by rounding.
    return 0.0 if distances is None else float((np.concatenate(distances) <= tolerance_mm * (1 + 1e-9)).mean())


def volume_ml(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a mask in mL, by counting voxels."""
    return float(np.count_nonzero(mask) * grid.voxel_volume / 1000)
