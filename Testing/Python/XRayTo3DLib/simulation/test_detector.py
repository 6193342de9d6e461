"""The detector: the statistics of its noise, what blur keeps, and that a seed is enough to repeat a picture."""

from __future__ import annotations

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import fit_projection, view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.simulation.detector import expose
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure

SIDE = 200


def flat(level: float, name: str = "AP", spacing=1.0, size=(SIDE, SIDE)) -> Radiograph:
    values = np.full(size, level, dtype=np.float32)
    return Radiograph(values, view_projection("AP", size=size, spacing=spacing), name)


@each("level", [0.0, 1.0, 3.0])
def test_quantum_noise_has_the_variance_of_counted_photons(level):
    photons = 1e5
    noisy = expose(flat(level), Exposure(photons=photons, seed=3)).line_integrals
    assert noisy.dtype == np.float32
    assert noisy.var() == pytest.approx(np.exp(level) / photons, rel=0.05)
    assert noisy.mean() == pytest.approx(level, abs=5 * np.sqrt(np.exp(level) / photons) / SIDE + 1 / photons * np.exp(level))


def test_blur_comes_after_the_photons_and_smooths_their_noise():
    sharp, blurred = (expose(flat(1.0), Exposure(photons=1e5, blur=blur)).line_integrals for blur in (0.0, 3.0))
    sigma = 3.0 / 2.3548
    # White noise behind a Gaussian: its variance is divided by 4 pi sigma^2.
    assert blurred.var() == pytest.approx(sharp.var() / (4 * np.pi * sigma**2), rel=0.15)
    pairs = np.corrcoef(blurred[:, :-1].ravel(), blurred[:, 1:].ravel())[0, 1]
    assert pairs > 0.7 and abs(np.corrcoef(sharp[:, :-1].ravel(), sharp[:, 1:].ravel())[0, 1]) < 0.02


def test_electronic_noise_comes_after_blur_and_dominates_where_few_photons_arrive():
    for level, electrons in ((0.0, 1.0), (5.0, 30.0)):
        quantum = expose(flat(level), Exposure(photons=1e5, seed=1)).line_integrals.var()
        both = expose(flat(level), Exposure(photons=1e5, electronic_noise=electrons, seed=1)).line_integrals.var()
        expected = np.exp(level) / 1e5 + (electrons / 1e5 * np.exp(level)) ** 2
        assert both == pytest.approx(expected, rel=0.05)
        assert (both > 1.9 * quantum) == (level > 0)
    # Blur does not smooth it.
    wide = expose(flat(5.0), Exposure(photons=1e5, electronic_noise=30.0, blur=6.0)).line_integrals
    assert wide.var() == pytest.approx((30.0 / 1e5 * np.exp(5.0)) ** 2, rel=0.1)


def test_a_seed_repeats_and_another_does_not():
    first, again, other = (expose(flat(2.0), Exposure(None, 1e4, 5.0, 0.5, seed)).line_integrals for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_views_have_their_own_noise_whatever_other_views_are_made(phantom_volume):
    views = [fit_projection("AP", phantom_volume.grid, 8.0) for _ in range(3)]
    names = ["AP", "AP again", "AP"]
    ideal = [r.line_integrals for r in render_drr(phantom_volume, views, names)]
    noisy = render_drr(phantom_volume, views, names, exposure=Exposure(photons=1e4, seed=2))
    noise = [(r.line_integrals - p)[p < 1.0] for r, p in zip(noisy, ideal, strict=True)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(noise[one], noise[other])[0, 1]) < 0.1
    alone = render_drr(phantom_volume, views[:1], ["AP again"], exposure=Exposure(photons=1e4, seed=2))[0]
    np.testing.assert_array_equal(alone.line_integrals, noisy[1].line_integrals)
    later = expose(render_drr(phantom_volume, views[:1], ["AP"])[0], Exposure(photons=1e4, seed=2))
    np.testing.assert_array_equal(later.line_integrals, noisy[0].line_integrals)
    assert later.notes == noisy[0].notes


def test_starved_pixels_stay_finite():
    for photons, electrons in ((1.0, 0.0), (1e4, 0.0), (1e4, 50.0)):
        dark = expose(flat(80.0), Exposure(None, photons, electrons, 1.0)).line_integrals
        assert np.isfinite(dark).all() and dark.max() <= np.log(2 * photons) + 1e-5
    assert np.isfinite(expose(flat(5000.0), Exposure(blur=1.0)).line_integrals).all()


def test_blur_keeps_a_constant_picture_to_its_edges():
    np.testing.assert_allclose(expose(flat(3.0, size=(20, 24)), Exposure(blur=9.0)).line_integrals, 3.0, atol=1e-5)


def test_blur_is_in_mm_of_the_detector_and_acts_on_the_signal():
    spacing = (0.5, 2.0)
    point = flat(0.0, spacing=spacing, size=(81, 41))
    point.line_integrals[40, 20] = -3.0  # a bright point
    signal = np.exp(-expose(point, Exposure(blur=6.0)).line_integrals.astype(np.float64)) - 1
    assert signal.sum() == pytest.approx(np.exp(3.0) - 1, rel=1e-3)
    for axis, step in enumerate(spacing):
        profile = signal.sum(axis=1 - axis)
        where = (np.arange(len(profile)) - len(profile) // 2) * step
        assert np.sqrt((profile * where**2).sum() / profile.sum()) == pytest.approx(6.0 / 2.3548, rel=0.02)
    # Half the maximum is reached half the width away.
    assert signal[40 + 6, 20] == pytest.approx(signal[40, 20] / 2, rel=0.03)


def test_nothing_asked_nothing_changed():
    radiograph = flat(1.0)
    assert expose(radiograph, Exposure()) is radiograph


def test_what_was_simulated_is_said():
    (note,) = expose(flat(1.0), Exposure(photons=2e4, electronic_noise=7, blur=0.3, seed=11)).notes
    for figure in ("20000 photons", "seed 11", "0.3 mm", "7 photons"):
        assert figure in note
    assert "noise" not in expose(flat(1.0), Exposure(blur=0.3)).notes[0]


def test_only_line_integrals_can_be_exposed():
    picture = Radiograph(np.ones((4, 4), np.float32), view_projection("AP", size=(4, 4)), "photo", unknown=("offset", "gain"))
    with pytest.raises(InputError, match="unknown scale"):
        expose(picture, Exposure(photons=1e4))
    broken = flat(1.0)
    broken.line_integrals[3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        expose(broken, Exposure(blur=1.0))
