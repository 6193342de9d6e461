"""The harder X-rays: by another path than the projector, of the CT's own voxels, through a real exposure, and told wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import marching, xrays
from XRayTo3DLib.evaluation.cases import Case
from XRayTo3DLib.evaluation.protocol import SETTINGS, projections
from XRayTo3DLib.evaluation.xrays import Xrays, polychromatic
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.projection.projector import project

HARD = [s for s in SETTINGS.values() if s.hard]


@pytest.fixture(scope="module")
def case(phantom_volume) -> Case:
    """The thorax phantom, of 2 mm voxels, wider than the protocol's grid."""
    grid = Grid.centred((0, 0, 0))
    return Case("phantom", resample(phantom_volume, grid), None, phantom_volume)


def test_marching_agrees_with_the_projector(phantom_volume, turn):
    grid = Grid(phantom_volume.grid.size, phantom_volume.grid.spacing, (-150.0, -120.0, 40.0), turn)
    mu = to_attenuation(phantom_volume).array
    for view, distance in (("AP", None), ("LAO30CRAN15", 1500.0)):
        projection = view_projection(view, grid.centre, (24, 20), 12.0, distance)
        wanted = project(mu, grid, [projection])[0].numpy()
        # Both are the trilinear volume with its fading border, so the whole of it has to be in the box.
        box = Grid.centred(grid.centre, 64, 16.0)
        found = marching.march(np.stack([mu, 2 * mu]), grid, projection, box, 0.5)
        assert np.abs(found[0] - wanted).max() < 0.01 * wanted.max()
        np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5, atol=1e-6)


def test_only_the_box_is_marched_through():
    grid = Grid.centred((0, 0, 0), 40, 10.0)
    box = Grid.centred((20.0, 0, 0), (8, 10, 12), (10.0, 5.0, 8.0))  # 80 x 50 x 96 mm
    ones = np.ones((1, *grid.shape), np.float32)
    lengths = {"AP": 50.0, "LAT": 80.0}
    for view, length in lengths.items():
        picture = marching.march(ones, grid, view_projection(view, (20.0, 0, 0), (3, 3), 5.0, None), box, 7.0)[0]
        np.testing.assert_allclose(picture, length, rtol=1e-5)
    aside = view_projection("AP", (150.0, 0, 0), (3, 3), 5.0, None)
    assert marching.march(ones, grid, aside, box)[0].max() == 0


def test_water_of_the_calibrated_thickness_measures_what_it_should():
    """Behind 200 mm of water the beam is calibrated; less water measures too much, more too little, bone hardens it."""
    grid = Grid.centred((0, 0, 0), (60, 60, 20), 10.0)
    for hu, depth, low, high in ((0, 20, 0.999, 1.001), (0, 5, 1.02, 1.2), (0, 40, 0.9, 0.98), (1500, 20, 0.5, 1.5)):
        array = np.full(grid.shape, -1000, np.int16)
        array[:, 30 - depth // 2 : 30 + (depth + 1) // 2] = hu
        projection = view_projection("AP", grid.centre, (3, 3), 4.0, None)
        measured = polychromatic(Volume(array, grid), projection, Grid.centred((0, 0, 0), 60, 10.0))
        share = measured / (MU_WATER * (1 + hu / 1000) * 10 * depth)
        assert low < share.min() <= share.max() < high, (hu, depth, share)


def test_what_the_method_is_told(case, monkeypatch):
    """The geometry of an unknown setting is that of a right angle; the picture is that of the real one."""
    made = []

    def fake(volume, projection, box):
        made.append((projection, box))
        return np.zeros(projection.size, np.float32)

    monkeypatch.setattr(xrays, "polychromatic", fake)
    given = Xrays(case)
    for setting, degrees in (
        ("hard_two_views", 0),
        ("hard_two_views_2deg", 2),
        ("hard_two_views_5deg", 5),
        ("hard_two_views_10deg", 10),
    ):
        made.clear()
        told = [r.projection for r in given.of(setting)]
        assert told[0].angle_to(told[1]) == pytest.approx(90)
        assert [r.name for r in given.of(setting)] == ["AP", "LAT"]
        assert SETTINGS[setting].known == (degrees == 0)
        assert made[-1][0].angle_to(told[1]) == pytest.approx(degrees, abs=1e-5)
        assert len(made) == (2 if degrees == 0 else 1)  # the frontal X-ray is made once
        assert made[-1][1].same_as(case.truth.grid)
    given.of("hard_two_views_whole")
    assert made[-1][1].same_as(case.ct.grid)
    with pytest.raises(InputError, match="three_views"):
        given.of("three_views")


def test_a_hard_xray_is_the_protocols_but_for_noise_and_energy(case, monkeypatch):
    """Placed right and calibrated right: over blocks of pixels it agrees with the line integrals of the CT."""
    monkeypatch.setattr(xrays, "HARD_STEP_MM", 4.0)
    (radiograph,) = Xrays(case).of("hard_one_view")
    assert radiograph.calibrated and radiograph.projection.size == (400, 400)
    ideal = project(to_attenuation(case.truth).array, case.truth.grid, [radiograph.projection])[0].numpy()
    rough, smooth = (p.reshape(20, 20, 20, 20).mean(axis=(1, 3)) for p in (radiograph.line_integrals, ideal))
    assert np.corrcoef(rough.ravel(), smooth.ravel())[0, 1] > 0.99
    assert 0.9 < rough.sum() / smooth.sum() < 1.1
    again = Xrays(Case("by another name", case.truth, None, case.ct)).of("hard_one_view")[0]
    np.testing.assert_array_equal(again.line_integrals, radiograph.line_integrals)


def test_each_setting_sees_the_whole_grid():
    grid = Grid.centred((0, 0, 0))
    for setting in SETTINGS.values():
        for projection in projections(setting.names, setting, grid):
            assert projection.beam == ("scanned" if setting.scanned else "parallel" if setting.distance is None else "cone")
            shadow = projection.project(grid.corners)
            if projection.source is not None:
                assert (shadow > -0.51).all() and (shadow < np.array(projection.size[::-1]) - 0.49).all()
