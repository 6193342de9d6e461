"""Scanned views reach a network as beams that stand still, which see what the scanned beam cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.metrics import psnr
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.reconstruction.methods import scanned_views
from XRayTo3DLib.reconstruction.methods.base import check_limits
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((0, 0, 0), 40, 6.4)
VIEWS = ("AP", "LAT")


def xrays(volume: Volume, scan_axis: str | None, distances=(1085.0, 595.0)):
    views = [view_projection(v, GRID.centre, (120, 150), 4.0, *distances, scan_axis=scan_axis) for v in VIEWS]
    return render_drr(volume, views, VIEWS)


def test_with_the_truth_for_an_estimate_the_pictures_are_those_of_the_beams_that_stand_still(phantom_volume):
    truth = resample(phantom_volume, GRID)
    scanned, mu = xrays(truth, "column"), to_attenuation(truth)
    for distance in (None, 2000.0, 800.0):
        virtual = scanned_views.stand_ins(scanned, GRID, distance)
        assert [v.beam for v in virtual] == ["parallel" if distance is None else "cone"] * 2
        wanted = [r.line_integrals for r in render_drr(truth, virtual)]
        errors = {}
        for name, estimate in (("none", None), ("half", replace(mu, array=0.5 * mu.array)), ("truth", mu)):
            found = scanned_views.pictures(scanned, virtual, GRID, estimate)
            errors[name] = np.mean([np.abs(f - w).mean() / w.mean() for f, w in zip(found, wanted, strict=True)])
        assert errors["truth"] < 1e-5 and errors["half"] == pytest.approx(0.5 * errors["none"], rel=0.05) and errors["none"] > 0.02
    # Other beams are not touched, whatever stands beside them.
    cone, parallel = xrays(truth, None)[0], replace(xrays(truth, None)[1])
    beside = scanned_views.stand_ins([cone, scanned[1]], GRID, 2000.0)
    alone = scanned_views.stand_ins([cone, parallel], GRID, None)
    assert beside[0] == alone[0] and beside[0].source == pytest.approx(cone.projection.source)
    pictures = [scanned_views.pictures([cone, other], beside, GRID, mu)[0] for other in (scanned[1], parallel)]
    assert np.array_equal(*pictures)


def test_a_reconstruction_from_topograms_is_as_good_as_one_from_cone_beams(phantom_volume):
    grid = Grid.centred((0, 0, 0), 16, 6.4)
    truth = resample(phantom_volume, grid)
    figures, errors = {}, {}
    for name, radiographs in (("cone", xrays(truth, None, (1500.0, 1200.0))), ("scanned", xrays(truth, "column"))):
        found = reconstruct(radiographs, grid=grid, check_views=False)
        figures[name] = psnr(truth.array, (found.volume.array / MU_WATER - 1) * 1000)
        errors[name] = max(found.errors)
    assert figures["scanned"] > figures["cone"] - 0.3
    assert errors["scanned"] < 2e-3  # fused with the real, scanned X-rays, not with their stand-ins


def test_models_that_know_one_kind_of_beam_get_it_and_others_say_no(phantom_volume):
    card = {"inputs": {"beam": ["parallel"]}}
    assert (scanned_views.first_distance_for(card), scanned_views.distance_for(card)) == (None, None)
    card = {"inputs": {"beam": ["cone"]}}
    assert scanned_views.first_distance_for(card) == scanned_views.distance_for(card) == scanned_views.DISTANCE
    model, radiographs = load_model(None, "volume"), xrays(resample(phantom_volume, GRID), "column")
    with pytest.raises(InputError, match="has a scanned beam"):
        check_limits(model, radiographs, GRID)
    check_limits(model, radiographs, GRID, stands_in=True)
