"""The baselines as methods: they run like models, and give what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.reconstruction.methods.base import Estimate
from XRayTo3DLib.reconstruction.methods.baselines import Mean, Nearest, Oracle
from XRayTo3DLib.reconstruction.methods.registry import METHODS, find_method, method_for
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((30, 0, -50), (20, 16, 24), 16.0)


def bodies() -> list[Volume]:
    """Three boxes of water in air, wider one after the other, each on a grid elsewhere."""
    found = []
    for index, half in enumerate((4, 6, 8)):
        array = np.full(GRID.shape, -1000, np.float32)
        array[6:18, 4:12, 10 - half : 10 + half] = 0
        found.append(Volume(array, replace(GRID, origin=(1000.0 * index, 0.0, 0.0))))
    return found


def test_baselines_answer_what_they_say_and_are_fused_like_models():
    training = bodies()
    array = np.full(GRID.shape, -1000, np.float32)
    array[6:18, 4:12, 5:16] = 0  # 11 voxels wide: next to the second's 12
    truth = Volume(array, GRID)
    views = [view_projection(w, GRID.centre, (30, 30), 16.0, d) for w, d in (("AP", None), ("LAT", 1500.0))]
    radiographs = render_drr(truth, views, ["AP", "LAT"])
    average = np.mean([v.array for v in training], axis=0)
    wanted = {"mean": average, "nearest": training[1].array, "oracle": training[1].array}
    for method in (Mean(training), Nearest(training), Oracle(training, truth)):
        for _ in range(2):  # nearest keeps its pictures
            found = reconstruct(radiographs, method, GRID, check_views=False)
            np.testing.assert_allclose(to_hu(found.before_fusion).array, wanted[method.name], atol=0.01)
        assert found.model_name == method.name and found.model_sha256 == "" and found.deviation is None
        assert max(found.errors) < 0.2 * max(found.errors_before)
    # Seen from elsewhere it is the same patient: the pictures of another place are not mixed up with these.
    nearest = Nearest(training)
    for half in (8, 4):
        other = Volume(training[(half - 4) // 2].array, GRID)
        seen = render_drr(other, views[:1] if half == 8 else views, ["AP", "LAT"][: 1 if half == 8 else 2])
        answer = reconstruct(seen, nearest, GRID, check_views=False).before_fusion
        np.testing.assert_allclose(to_hu(answer).array, other.array, atol=0.01)


def test_baselines_without_training_cts(phantom_volume):
    with pytest.raises(InputError, match="there are none"):
        Nearest([])
    grid = Grid.centred((0, 0, 0), (24, 24, 24), 14.0)
    radiographs = render_drr(phantom_volume, [view_projection("AP", (0, 0, 0), (48, 48), 10.0, 1500.0)], ["AP"])
    notes = reconstruct(radiographs, find_method("mean"), grid, check_views=False).notes
    assert any("region chest" in note for note in notes)


def test_methods_are_found_by_name_and_unknown_ones_are_one_sentence():
    for interface, method in METHODS.items():
        assert method_for({"name": "a", "interface": interface}) is method is find_method(interface)
    with pytest.raises(InputError, match="speaks the interface 'telepathy/3', which this version does not know"):
        method_for({"name": "a", "interface": "telepathy/3"})
    with pytest.raises(InputError, match="no method 'magic'"):
        find_method("magic")
    with pytest.raises(InputError, match="needs a model"):
        find_method("lifted-views/1").run(None, [], GRID, lambda *_: None)


def test_an_estimate_is_finite_not_negative_and_in_its_unit():
    good = Volume(np.ones(GRID.shape, np.float32), GRID, "1/mm")
    elsewhere = Volume(good.array, Grid.centred((0, 0, 0), GRID.size, GRID.spacing), "1/mm")
    with pytest.raises(InputError, match="is in HU"):
        Estimate(Volume(good.array, GRID))
    for value in (np.nan, np.inf, -1.0):
        with pytest.raises(InputError, match="negative, NaN or infinite"):
            Estimate(good, Volume(np.full(GRID.shape, value, np.float32), GRID, "1/mm"))
    with pytest.raises(InputError, match="two grids"):
        Estimate(good, elsewhere)
