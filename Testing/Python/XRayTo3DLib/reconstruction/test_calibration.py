"""Pictures of unknown scale: found from what bodies measure, from the method's answer and from the views together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import fit_projection
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.progress import silent
from XRayTo3DLib.reconstruction.calibration.appearance import appearance
from XRayTo3DLib.reconstruction.calibration.fit import calibrate
from XRayTo3DLib.reconstruction.calibration.reference import references
from XRayTo3DLib.reconstruction.calibration.scale import Scale, fusion_targets
from XRayTo3DLib.reconstruction.calibration.shadow import shadow_of
from XRayTo3DLib.reconstruction.calibration.stretch import ADULT_CHEST_MM, Stretched, stretched
from XRayTo3DLib.reconstruction.grids import covering_spacing
from XRayTo3DLib.reconstruction.methods.base import Estimate
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.phantom import thorax_phantom

GRID = Grid.centred((0, 0, 0), 40, 10.0)


class Knowing:
    """A method that knows the patient."""

    name = interface = "knowing/1"

    def __init__(self, truth: Volume) -> None:
        self.truth = truth

    def check(self, model: object, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        pass

    def run(self, model: object, radiographs: Sequence[Radiograph], grid: Grid, progress: object = silent) -> Estimate:
        return Estimate(self.truth)


class Echo(Knowing):
    """A method that agrees with everything: its volume is as dense as the first picture is, so that re-projection tells nothing."""

    def run(self, model: object, radiographs: Sequence[Radiograph], grid: Grid, progress: object = silent) -> Estimate:
        first = radiographs[0]
        share = first.line_integrals.mean() / reproject(self.truth, [first])[0].mean()
        return Estimate(replace(self.truth, array=self.truth.array * np.float32(share)))


@pytest.fixture(scope="module")
def truth() -> Volume:
    return to_attenuation(thorax_phantom().volume(GRID))


@pytest.fixture(scope="module")
def views(truth: Volume) -> list[Radiograph]:
    return render_drr(truth, [fit_projection(name, GRID, 10.0) for name in ("AP", "LAT")], ["AP", "LAT"])


def shown(radiograph: Radiograph, unknown: tuple[str, ...], gamma: float = 1.0) -> Radiograph:
    """The radiograph as it is stored where ``unknown`` is lost of its scale."""
    values = radiograph.line_integrals.astype(np.float64)
    if "curve" in unknown:
        values = 5 * (values / values.max()) ** gamma
    if "gain" in unknown:
        values = values * 7
    if "offset" in unknown:
        values = values + 3
    return replace(radiograph, line_integrals=values.astype(np.float32), unknown=unknown)


def error(found: Sequence[Radiograph], true: Sequence[Radiograph]) -> float:
    return max(
        float(np.abs(a.line_integrals - b.line_integrals).mean() / b.line_integrals.mean())
        for a, b in zip(found, true, strict=True)
    )


def test_what_is_unknown_is_found_and_no_more(truth, views):
    for unknown, gamma, limit in (
        (("offset",), 1.0, 2e-3),
        (("gain",), 1.0, 0.01),
        (("offset", "gain"), 1.0, 0.01),
        (UNKNOWN, 0.7, 0.1),
        (UNKNOWN, 1.5, 0.1),
    ):
        for count in (1, 2):
            pictures = [shown(v, unknown, gamma) for v in views[:count]]
            found, scales, estimate = calibrate(Knowing(truth), None, pictures, GRID, "chest")
            assert error(found, views[:count]) < limit, (unknown, gamma, count, error(found, views[:count]))
            assert len(estimate.notes) == count and all(scale is not None for scale in scales)


def test_no_picture_collapses_where_re_projection_tells_nothing(truth, views):
    usual = references()["chest", "frontal", False]
    for gain in (0.03, 1.0, 30.0):
        picture = replace(views[0], line_integrals=gain * views[0].line_integrals, unknown=UNKNOWN)
        found = calibrate(Echo(truth), None, [picture], GRID, "chest")[0][0].line_integrals
        assert abs(np.log(found[found > 0.1].mean() / usual.mean)) < 2 * usual.spread


def test_views_share_the_body_and_a_calibrated_one_ties_the_other(truth, views):
    """The masses of the slices say what the lateral's gain is, where the method says nothing and the usual body is another."""
    for scale in (0.5, 1.0, 1.6):
        true = [replace(v, line_integrals=np.float32(scale) * v.line_integrals) for v in views]
        pictures = [true[0], shown(true[1], ("offset", "gain"))]
        found, scales, _ = calibrate(Echo(truth), None, pictures, GRID, "chest")
        assert scales[0] is None and found[0] is pictures[0]
        assert abs(found[1].line_integrals.sum() / true[1].line_integrals.sum() - 1) < 0.1, scale


def test_pixels_that_are_no_measurement_change_nothing(truth, views):
    picture = shown(views[0], UNKNOWN, 0.8)
    valid = np.ones(picture.projection.size, dtype=bool)
    valid[:3], valid[:, -2:] = False, False
    without = replace(picture, valid=valid)
    spoilt = replace(without, line_integrals=np.where(valid, picture.line_integrals, 1000).astype(np.float32))
    one, other = (calibrate(Knowing(truth), None, [p], GRID, "chest")[0][0].line_integrals for p in (without, spoilt))
    np.testing.assert_array_equal(one[valid], other[valid])


def test_the_open_beam_is_dark_even_and_at_the_edge(views):
    picture = views[0]
    shadow = shadow_of(picture)
    assert shadow.air == 0 and not shadow.cut
    np.testing.assert_array_equal(shadow.body[2:-2, 2:-2].any(), True)
    assert ((picture.line_integrals > 0.3) & ~shadow.body).mean() < 0.01
    window = tuple(slice(n // 3, 2 * n // 3) for n in picture.projection.size)
    inner = replace(picture, line_integrals=picture.line_integrals[window], projection=picture.projection.cropped(window))
    assert shadow_of(inner).air is None and shadow_of(inner).body.all()


def test_a_fitted_curve_is_trusted_half_and_measured_line_integrals_wholly(views):
    scale = Scale(None, "chest", "frontal", UNKNOWN)  # type: ignore[arg-type]
    pictures = [np.zeros(v.projection.size, np.float32) for v in views]
    targets, rounds = fusion_targets(views, (None, scale), pictures)
    assert targets[0] is views[0] and rounds == 2
    np.testing.assert_allclose(targets[1].line_integrals, views[1].line_integrals / 2)
    assert fusion_targets(views, (None, None), pictures) == (views, 40)


def test_a_chest_is_known_for_one_by_its_ranks(views):
    for gamma in (0.6, 1.6):
        looks = appearance(shown(views[0], UNKNOWN, gamma), shadow_of(views[0]))
        assert looks.region("frontal") in ("chest", "abdomen")
        assert abs(sum(looks.chances.values()) - 1) < 1e-9


def test_a_region_that_is_none_is_refused(truth, views):
    with pytest.raises(InputError, match="region 'knee'"):
        calibrate(Knowing(truth), None, [shown(views[0], UNKNOWN)], GRID, "knee")


class Ramp(Knowing):
    """A method whose answer rises along every axis, so that each voxel tells where it was asked for; it keeps what it was shown."""

    def run(self, model: object, radiographs: Sequence[Radiograph], grid: Grid, progress: object = silent) -> Estimate:
        self.shown = radiographs[0].projection
        places = (
            np.einsum("ij,j...->i...", grid.affine[:3, :3], np.indices(grid.shape)[::-1]) + grid.affine[:3, 3, None, None, None]
        )
        return Estimate(Volume((5 + np.tensordot([0.001, 0.002, 0.003], places, 1)).astype(np.float32), grid, "1/mm"))


def test_a_chest_with_pixels_too_small_is_seen_as_wide_as_an_adults(truth: Volume, views: list[Radiograph]) -> None:
    frontal = shown(views[0], UNKNOWN)
    shadow, method = shadow_of(frontal), Ramp(truth)
    small = replace(frontal, projection=frontal.projection.resampled(frontal.projection.size, (4.0, 4.0)))
    for name, radiographs, shadows, region in (
        ("wide", [frontal], [shadow], "chest"),
        ("no chest", [small], [shadow], "head"),
        ("calibrated", [replace(small, unknown=())], [shadow], "chest"),
        ("two views", [small, views[1]], [shadow, shadow], "chest"),
    ):
        assert stretched(method, None, radiographs, shadows, region, GRID) is method, name
    grid = Grid.centred((10, 20, 30), 24, 8.0)
    found = stretched(method, None, [small], [shadow], "chest", grid)
    assert isinstance(found, Stretched)
    columns = np.flatnonzero(shadow.body.any(axis=0))
    width = (columns[-1] - columns[0] + 1) * 4.0 / float(small.projection.magnification(grid.centre)[1])
    assert found.factor == pytest.approx(ADULT_CHEST_MM / width)
    answer = found.run(None, [small], grid, silent).mean
    # What lies f times as far across the beam falls on the same pixel, and the answer comes from there; depths stay.
    index = np.array([12, 9, 14])
    place = grid.affine[:3, :3] @ index + grid.affine[:3, 3]
    asked = grid.centre + (place - grid.centre) * [found.factor, 1, found.factor]
    assert np.allclose(method.shown.project(asked[None]), small.projection.project(place[None]), atol=1e-6)
    assert answer.array[14, 9, 12] == pytest.approx(5 + asked @ [0.001, 0.002, 0.003], abs=1e-4)


def test_the_grid_behind_one_picture_of_unknown_scale_is_as_deep_as_an_adult(views: list[Radiograph]) -> None:
    frontal = shown(views[0], UNKNOWN)
    small = replace(frontal, projection=frontal.projection.resampled(frontal.projection.size, (4.0, 4.0)))
    assert covering_spacing([small]) == pytest.approx(300 / 64)
    assert covering_spacing([replace(small, unknown=("offset",))]) == pytest.approx(4.0)
    assert covering_spacing([small, views[1]]) > 300 / 64
