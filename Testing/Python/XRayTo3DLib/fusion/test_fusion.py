"""Fusion: what it returns re-projects, is not negative, and invents nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import distribute, fuse_slabs
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.fusion.reprojection import errors_of, reproject, reprojection_error
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((10, -20, 30), (24, 20, 28), 14.0)


@pytest.fixture(scope="module")
def truth(phantom) -> Volume:
    moved = Grid.centred((0, 0, 0), GRID.size, GRID.spacing)
    return Volume(to_attenuation(phantom.volume(moved)).array, GRID, "1/mm")


def views(words, distance=None):
    size, pixel = ((28, 24), 14.0) if distance is None else ((44, 40), 14.0)
    return [view_projection(w, GRID.centre, size, pixel, distance) for w in words]


def seen(volume: Volume, projections) -> list[Radiograph]:
    mu = torch.as_tensor(volume.array)
    return [Radiograph(p.numpy(), v) for p, v in zip(project(mu, volume.grid, projections), projections, strict=True)]


@each("beta", [0.0, 0.5, 1.0, 2.0])
def test_closed_form_re_projects_exactly_and_stays_positive(beta, rng):
    values = rng.random((12, 5, 6)) * (rng.random((12, 5, 6)) > 0.3)
    measured = 3.0 * rng.random((5, 6)) * values.sum(axis=0)
    result = distribute(values, measured, 2.0, beta)
    np.testing.assert_allclose(result.sum(axis=0) * 2.0, measured, rtol=1e-9, atol=1e-12)
    assert result.min() >= 0


def test_closed_form_is_the_stated_formula():
    values = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    result = distribute(values, np.array([[4.0]]), 0.5, beta=2.0)
    expected = values + (4.0 - 3.0) / 0.5 * values**2 / 14.0
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_clipped_remainder_is_taken_from_the_rest():
    # beta = 0 takes 2 from each of (1, 5, 6): the first has only 1, so the other two give 2.5 each.
    result = distribute(np.array([1.0, 5.0, 6.0]).reshape(3, 1, 1), np.array([[6.0]]), 1.0, beta=0.0)
    np.testing.assert_allclose(result.ravel(), [0.0, 2.5, 3.5], atol=1e-9)


def test_empty_ray_is_filled_evenly_inside_the_body():
    inside = np.zeros((4, 1, 1), bool)
    inside[1:3] = True
    result = distribute(np.zeros((4, 1, 1)), np.array([[1.0]]), 1.0, inside=inside)
    np.testing.assert_allclose(result.ravel(), [0, 0.5, 0.5, 0])


@each(("words", "distance"), [(["AP"], None), (["AP", "LAT"], None), (["AP", "LAT+10"], None), (["AP", "LAT"], 1500.0)])
def test_views_agree_and_the_volume_comes_closer(truth, words, distance):
    start = Volume(ndimage.gaussian_filter(truth.array, 1.5), GRID, "1/mm")
    radiographs = seen(truth, views(words, distance))
    fused = fuse(start, radiographs)
    assert max(fused.errors) < 1e-3
    for radiograph, picture in zip(radiographs, reproject(fused.volume, radiographs), strict=True):
        assert np.abs(radiograph.line_integrals - picture).mean() < 1e-3 * radiograph.line_integrals.mean()
    assert fused.volume.array.min() >= 0
    before, after = (np.square(v.array - truth.array).mean() for v in (start, fused.volume))
    assert after < 0.9 * before
    assert fused.empty_rays == 0


def test_rays_through_nothing_are_counted_and_filled(truth):
    start = Volume(np.where(np.arange(28)[:, None, None] > 13, truth.array, 0).astype(np.float32), GRID, "1/mm")
    fused = fuse(start, seen(truth, views(["AP", "LAT"])))
    assert fused.empty_rays > 50
    assert max(fused.errors) < 0.02
    air = ndimage.gaussian_filter(truth.array, 2) < 0.01 * MU_WATER
    assert fused.volume.array[:13][air[:13]].mean() < 0.1 * MU_WATER


def test_slabs_together_are_the_fused_volume_at_the_detectors_resolution(truth):
    fine = view_projection("AP", GRID.centre, (56, 48), 7.0, None)
    radiograph = seen(truth, [fine])[0]
    slabs = list(fuse_slabs(truth, radiograph, 7.0, rows=20))
    assert [s.grid.size[1] for s in slabs] == [20, 20, 16]
    sums = np.concatenate([s.array.sum(axis=0) * 7.0 for s in slabs])
    np.testing.assert_allclose(sums, radiograph.line_integrals, rtol=1e-4, atol=1e-4)
    # Each slab stands where its detector rows are.
    point = slabs[1].grid.affine @ np.array([3, 2, 0, 1.0])
    np.testing.assert_allclose(fine.project(point[None, :3])[0], [3, 22], atol=1e-9)


def test_wrong_unit_and_cone_slabs_are_refused(truth):
    radiograph = seen(truth, views(["AP"], 1500.0))[0]
    with pytest.raises(InputError, match="1/mm"):
        fuse(Volume(truth.array, GRID, "HU"), [radiograph])
    with pytest.raises(InputError, match="parallel"):
        next(fuse_slabs(truth, radiograph, 5.0))


def test_contradicting_views_end_and_say_how_far_they_are(truth):
    radiographs = seen(truth, views(["AP", "LAT"]))
    doubled = Radiograph(2 * radiographs[1].line_integrals, radiographs[1].projection)
    assert max(fuse(truth, [radiographs[0], doubled], iterations=15).errors) > 0.1


def test_fusion_can_be_cancelled(truth):
    def stop(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        fuse(truth, seen(truth, views(["AP"])), progress=stop)


def test_the_number_of_threads_changes_nothing(phantom, monkeypatch):
    """A rounding of the last bit grows over the rounds of fusion: every sum is taken in the same order."""
    grid = Grid.centred((0, 0, 0), (32, 28, 24), 12.0)
    truth = phantom.volume(grid)
    views = [view_projection(word, grid.centre, (40, 44), 11.0, 1500.0) for word in ("AP", "LAT", "LAO40")]
    radiographs = render_drr(truth, views, names=["AP", "LAT", "LAO40"])
    start = Volume(ndimage.gaussian_filter(to_attenuation(truth).array, 1.0), grid, "1/mm")
    before, found = torch.get_num_threads(), {}
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found[threads] = fuse(start, radiographs, tolerance=1e-5)
        finally:
            torch.set_num_threads(before)
    assert found[1].iterations > 12  # the conjugate gradients took part
    assert np.array_equal(found[3].volume.array, found[1].volume.array) and found[3].errors == found[1].errors


def test_one_error_for_all_and_nan_stays_nan(truth):
    radiographs = seen(truth, views(["AP", "LAT"]))
    start = Volume(ndimage.gaussian_filter(truth.array, 1.5), GRID, "1/mm")
    smaller = Grid.centred((10, -20, 30), (12, 20, 28), 14.0)  # cuts the body, so that some rays miss it
    for volume in (start, Volume(np.full(smaller.shape, 0.01, np.float32), smaller, "1/mm")):
        fused = fuse(volume, radiographs, iterations=3)
        assert fused.errors == errors_of(radiographs, reproject(fused.volume, radiographs))
    measured = radiographs[0].line_integrals
    broken = measured.copy()
    broken[3, 4] = np.nan
    for pair in ((broken, measured), (measured, broken), (broken, broken), (0 * measured, measured)):
        assert np.isnan(reprojection_error(*pair))
    assert reprojection_error(measured, 1.5 * measured) == pytest.approx(0.5)
    known = np.isfinite(broken)
    assert reprojection_error(broken, 1.5 * measured, known) == pytest.approx(0.5)


def test_views_that_make_the_iteration_diverge_leave_the_best_round(truth):
    """One view three times as dark as the other: rounds solved together run away, to infinity and NaN."""
    radiographs = seen(truth, views(["AP", "LAT"]))
    inverse = Radiograph(3 * radiographs[1].line_integrals[::-1, ::-1].copy(), radiographs[1].projection)
    fused = fuse(truth, [radiographs[0], inverse])
    assert np.isfinite(fused.volume.array).all() and np.isfinite(fused.errors).all()


def test_noise_is_not_fitted_at_the_volumes_price(truth):
    """Cone beams with 2, 5 and 10 % of noise: all that agrees is taken over, and a smooth start gets no worse."""
    start = Volume(ndimage.gaussian_filter(truth.array, 1.5), GRID, "1/mm")
    radiographs = seen(truth, views(["AP", "LAT"], 700.0))
    for noise, most in (
        (0.02, 0.66),
        (0.05, 0.74),
        (0.1, 1.02),
    ):  # 0.76, 1.6, 5.4 if all is fitted
        rng = np.random.default_rng(3)
        noisy = [
            replace(r, line_integrals=(r.line_integrals * rng.normal(1, noise, r.line_integrals.shape)).astype(np.float32))
            for r in radiographs
        ]
        after, before = (np.square(v.array - truth.array).mean() for v in (fuse(start, noisy).volume, start))
        assert after < most * before


def test_nothing_to_do_and_what_means_nothing(truth):
    radiographs = seen(truth, views(["AP"]))
    start = Volume(ndimage.gaussian_filter(truth.array, 1.5), GRID, "1/mm")
    still = fuse(start, radiographs, iterations=0)
    np.testing.assert_array_equal(still.volume.array, start.array)
    assert still.errors == errors_of(radiographs, reproject(start, radiographs)) and still.iterations == 0
    with pytest.raises(InputError, match="No radiograph"):
        fuse(start, [])
    infinite = start.array.copy()
    infinite[4, 5, 6] = np.inf
    with pytest.raises(InputError, match="infinite voxels"):
        fuse(Volume(infinite, GRID, "1/mm"), radiographs)
    spoiled = Radiograph(radiographs[0].line_integrals.copy(), radiographs[0].projection, "AP")
    spoiled.line_integrals[0, 0] = np.nan  # after it was made, where it is refused too
    with pytest.raises(InputError, match="'AP' holds NaN"):
        fuse(start, [spoiled])
    for wrong, sentence in (
        *(({"beta": beta}, "beta") for beta in (float("nan"), -1.0, float("inf"), 1000.0)),
        *(({"tolerance": tolerance}, "tolerance") for tolerance in (float("nan"), -1.0)),
        *(({"iterations": rounds}, "whole number") for rounds in (-1, 2.5, float("nan"))),
    ):
        with pytest.raises(InputError, match=sentence):
            fuse(start, radiographs, **wrong)
    values, measured = np.ones((3, 2, 2)), np.ones((2, 2))
    for wrong in ({"beta": -1.0}, {"beta": float("nan")}, {"step": 0.0}, {"step": float("nan")}, {"measured": measured * np.nan}):
        with pytest.raises(InputError):
            distribute(**{"values": values, "measured": measured, "step": 1.0, **wrong})
    for wrong in ({"beta": float("nan")}, {"step": 0.0}, {"rows": 0}):
        with pytest.raises(InputError):
            next(fuse_slabs(start, radiographs[0], **{"step": 7.0, **wrong}))
