"""One X-ray of any frontal or lateral geometry to a shape where it really is, with and without a drawn outline; modes of shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bright_ball import DEEPER, RADIUS, SPACING, bright_ball
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.methods.shape_vae import ShapeVaeSystem, decoded, mode_axes, modes

_GRID = Grid.centred((0, 0, 0), 80, 4.0)


def _ball(word: str, centre: tuple[float, float, float], **where: object) -> Radiograph:
    """A ball of the model's radius as an X-ray about the isocentre at the origin sees it."""
    z, y, x = np.meshgrid(*[(np.arange(80) - 39.5) * 4] * 3, indexing="ij")
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < RADIUS**2
    projection = ViewSpec.parse(word, isocentre=(0, 0, 0), **where).projection()
    return Radiograph(project(0.02 * inside.astype(np.float32), _GRID, [projection])[0].numpy(), projection, word)


_PARALLEL = {"size": (200, 220), "spacing": 2.0}
_CONE = {"size": (300, 300), "spacing": 2.0, "source_to_detector": 1500.0, "source_to_isocentre": 1200.0}
_SCAN = {
    "size": (200, 300),
    "spacing": 2.0,
    "scan_axis": "column",
    "source_to_detector": 1085.0,
    "source_to_isocentre": 0.55 * 1085,
}
_FRONTAL, _LATERAL = (40.0, DEEPER, -50.0), (DEEPER, 40.0, -50.0)


@each(
    "word, where, centre",
    [
        ("AP", _PARALLEL, _FRONTAL),
        ("PA", _PARALLEL, _FRONTAL),
        ("AP", _CONE, _FRONTAL),
        ("AP", _SCAN, _FRONTAL),
        ("LAT", _CONE, _LATERAL),
    ],
)
def test_the_shape_is_where_the_x_ray_saw_it(word, where, centre):
    view = "lateral" if word == "LAT" else "frontal"
    seen = _ball(word, centre, **where)
    model = bright_ball(view)
    found = organ_shape([seen], "liver", model=model)
    points = np.argwhere(found.labelmap.array)[:, ::-1] * found.labelmap.grid.spacing + np.array(found.labelmap.grid.origin)
    assert np.abs(points.mean(axis=0) - centre).max() < 1.5 and 2 <= model.module.looks <= 4
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * RADIUS**3 / 1000, rel=0.01)
    # The drawn outline tells size and place, also where the picture shows something brighter elsewhere.
    drawn = seen.line_integrals > 0.1
    elsewhere = seen.line_integrals.copy()
    elsewhere[:20, :20] = 9.0
    masked = organ_shape([Radiograph(elsewhere, seen.projection, word)], "liver", masks=[drawn], model=model)
    assert np.abs(masked.estimate.probability.grid.centre - centre).max() < 3
    assert masked.volume_ml == pytest.approx(found.volume_ml, rel=0.15)


def test_modes_move_the_shape_by_standard_deviations_and_zero_leaves_it():
    model, seen = bright_ball(), _ball("AP", _FRONTAL, **_PARALLEL)
    estimate = ShapeVaeSystem().run(model, [seen], "liver", [None], lambda *_: None)
    np.testing.assert_allclose(np.abs(mode_axes(model)), [[5, 0], [0, 0.01]], atol=1e-6)
    assert np.array_equal(modes(model, estimate, []).probability.array, estimate.probability.array)
    sign = np.sign(mode_axes(model)[0, 0])
    for weight in (-2.0, 1.0):
        moved = modes(model, estimate, [sign * weight, 0.0]).probability
        assert moved.grid.same_as(estimate.probability.grid)
        radius = np.cbrt(np.count_nonzero(moved.array > 0.5) * SPACING**3 * 3 / (4 * np.pi))
        assert radius == pytest.approx(RADIUS + 5 * weight, abs=0.5)
    for weights in ([0.0] * 3, [np.nan], [[1.0]]):
        with pytest.raises(InputError, match="modes of shape are not up to 2 finite numbers"):
            modes(model, estimate, weights)


def test_as_many_voxels_are_taken_as_the_probabilities_sum_up_to():
    class Doubtful:
        """Half as likely as it is large."""

        def decode(self, latent):
            cube = torch.zeros(1, 1, 64, 64, 64)
            cube[..., 20:30, 20:40, 20:40] = 0.45
            cube[..., 22:28, 22:40, 22:40] = 0.5
            return cube

    estimate = decoded(replace(bright_ball(), module=Doubtful()), np.zeros(2), np.zeros(3))
    taken = np.count_nonzero(estimate.probability.array >= estimate.threshold)
    assert taken == 6 * 18 * 18 and estimate.threshold == pytest.approx(0.5)


def test_what_the_model_does_not_take_is_one_sentence():
    view = _ball("AP", _FRONTAL, **_PARALLEL)
    oblique = _ball("AP+30", _FRONTAL, **_PARALLEL)
    for radiographs, organ, model, words in (
        ([view], "spleen", bright_ball(), "does not know the organ spleen"),
        ([view, view], "liver", bright_ball(), "1 to 1 views"),
        ([view], "liver", bright_ball("lateral"), "takes a lateral view, and AP is frontal"),
        ([view], "liver", bright_ball(masks="required"), "takes a drawn outline of the liver"),
        ([oblique], "liver", bright_ball(), "30 degrees from the patient's frontal axis"),
    ):
        with pytest.raises(InputError, match=words):
            organ_shape(radiographs, organ, model=model)
    found = organ_shape([view], "liver", masks=[view.line_integrals > 0.1], model=bright_ball(masks="none"))
    assert any("takes no outline" in note for note in found.notes)
