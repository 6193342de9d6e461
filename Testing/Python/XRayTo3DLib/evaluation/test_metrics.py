import numpy as np
import pytest
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.fusion.reprojection import reprojection_error
from XRayTo3DLib.geometry.grid import Grid


def test_hu_range_shifts_and_clips():
    assert metrics.hu_range(np.array([-2000.0, -1024, 0, 1476, 3000])).tolist() == [0, 0, 1024, 2500, 2500]


def test_psnr_of_a_known_error():
    truth = np.zeros((4, 4, 4))
    assert metrics.psnr(truth, truth + 25) == pytest.approx(40.0)  # 20 log10(2500 / 25)
    assert metrics.psnr(truth, truth) == float("inf")


def test_psnr_x2ct_reads_429_hundredths_higher(rng):
    a, b = rng.random((2, 8, 8, 8)) * 2500
    assert metrics.psnr_x2ct(a, b) - metrics.psnr(a, b) == pytest.approx(20 * np.log10(4095 / 2500))


def test_ssim_is_one_for_equal_and_falls_with_noise(rng):
    a = ndimage.gaussian_filter(rng.random((12, 12, 12)), 2) * 2500
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    weak, strong = (metrics.ssim(a, a + s * rng.normal(size=a.shape)) for s in (20, 200))
    assert 1 > weak > strong


def test_ssim_needs_its_window():
    with pytest.raises(InputError, match="at least 7 voxels"):
        metrics.ssim(np.zeros((6, 8, 8)), np.zeros((6, 8, 8)))


def test_figures_by_slices_are_those_of_x2ct(rng):
    truth, estimate = np.floor(rng.random((2, 9, 8, 10)) * 2500)
    estimate[0] = truth[0] + 0.9  # whole numbers are compared: this slice counts 100 dB
    by_hand = []
    for axis in range(3):
        own = []
        for a, b in zip(np.moveaxis(truth, axis, 0), np.moveaxis(estimate, axis, 0), strict=True):
            error = np.mean((a - np.floor(b)) ** 2)
            own.append(100.0 if error == 0 else 20 * np.log10(4095 / np.sqrt(error)))
        by_hand.append(np.mean(own))
    assert metrics.psnr_slices(truth, estimate) == pytest.approx(np.mean(by_hand))
    assert metrics.psnr_slices(truth, truth) == 100
    smooth = ndimage.gaussian_filter(truth, 1)
    assert metrics.ssim_slices(smooth, smooth) == pytest.approx(1)
    weak, strong = (metrics.ssim_slices(smooth, smooth + s * rng.normal(size=smooth.shape)) for s in (10, 200))
    assert 1 > weak > strong
    with pytest.raises(InputError, match="at least 7 voxels"):
        metrics.ssim_slices(np.zeros((6, 8, 8)), np.zeros((6, 8, 8)))


def test_hu_error_counts_only_the_body():
    truth = np.full((4, 4, 4), -1000.0)
    truth[1:3] = 50
    estimate = truth + np.where(truth > 0, 10.0, 500.0)
    assert metrics.hu_mae_body(truth, estimate) == pytest.approx(10)
    assert np.isnan(metrics.hu_mae_body(np.full((4, 4, 4), -1000.0), estimate))


def test_dice():
    a, b = np.zeros((2, 4, 4, 4), dtype=bool)
    assert np.isnan(metrics.dice(a, b))
    a[0] = True
    assert metrics.dice(a, b) == 0
    b[0, :2] = True
    assert metrics.dice(a, b) == pytest.approx(2 * 8 / (16 + 8))


def test_hd95_is_in_mm_along_the_axis_that_moved():
    grid = Grid((20, 20, 20), (1.0, 2.0, 3.0))
    box = np.zeros(grid.shape, dtype=bool)
    box[6:12, 6:12, 6:12] = True
    for axis, spacing in ((0, 3.0), (1, 2.0), (2, 1.0)):
        assert metrics.hd95_mm(box, np.roll(box, 2, axis), grid) == pytest.approx(2 * spacing)
    assert metrics.hd95_mm(box, box, grid) == 0
    assert np.isnan(metrics.hd95_mm(box, np.zeros_like(box), grid))


def test_hd95_takes_the_worse_direction_and_forgives_one_voxel():
    grid = Grid((40, 24, 24), (1.0, 1.0, 1.0))
    small = np.zeros(grid.shape, dtype=bool)
    small[6:18, 6:18, 4:16] = True
    large = small.copy()
    large[6:18, 6:18, 4:32] = True
    assert metrics.hd95_mm(small, large, grid) == metrics.hd95_mm(large, small, grid) > 10
    speck = small.copy()
    speck[0, 0, 39] = True
    assert metrics.hd95_mm(small, speck, grid) == 0


def test_surface_dice_is_the_share_within_the_tolerance():
    grid = Grid((30, 30, 30), (2.0, 2.0, 3.0))
    slab = np.zeros(grid.shape, dtype=bool)
    slab[5:15] = True  # its surface: the two end planes, and the rim
    moved = np.roll(slab, 2, axis=0)  # by 6 mm
    assert metrics.surface_dice(slab, slab, grid, 0.0) == 1
    assert metrics.surface_dice(slab, moved, grid, 6.0) == 1
    assert metrics.surface_dice(slab, moved, grid, 5.9) < 1
    assert metrics.surface_dice(slab, np.zeros_like(slab), grid, 6.0) == 0
    assert np.isnan(metrics.surface_dice(np.zeros_like(slab), np.zeros_like(slab), grid, 6.0))
    far = np.zeros_like(slab)
    far[5:15, :15] = True
    both = metrics.surface_distances(slab, far, grid)
    assert metrics.surface_dice(slab, far, grid, 3.0) == pytest.approx(np.mean(np.concatenate(both) <= 3.0))


def test_volume_in_ml():
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[:5] = True
    assert metrics.volume_ml(mask, Grid((10, 10, 10), (2.0, 1.0, 4.0))) == pytest.approx(500 * 8 / 1000)


def test_reprojection_error_is_relative():
    measured = np.array([[1.0, 3.0]])
    assert reprojection_error(measured, measured + np.array([[0.1, -0.1]])) == pytest.approx(0.05)
    assert np.isnan(reprojection_error(np.zeros((2, 2)), np.ones((2, 2))))


def test_shapes_must_agree():
    with pytest.raises(InputError, match="resample one"):
        metrics.psnr(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))
