"""What is said of X-rays that an organ cannot be found in as they are: another region, upside down, cut, of unknown scale."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ball_system import BallSystem

from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import Appearance, Look
from XRayTo3DLib.shapes import answer, scope
from XRayTo3DLib.shapes.answer import calibrated, organ_shape
from XRayTo3DLib.simulation.phantom import thorax_phantom


@pytest.fixture(scope="module")
def chest() -> Radiograph:
    """The thorax phantom from the front, exact."""
    projection = ViewSpec.parse("AP", size=(120, 130), spacing=4.0, isocentre=(0, 0, 0)).projection()
    return Radiograph(thorax_phantom().line_integrals(projection).astype(np.float32), projection, "AP")


def _seen(chances: dict[str, float]) -> Appearance:
    """An appearance of these chances, ``chest_down`` for a chest on its head."""
    return Appearance({Look(n.split("_")[0], "frontal", "down" not in n): p for n, p in chances.items()}, 1.0)


def test_x_rays_of_another_region_or_upside_down_are_said(chest, monkeypatch):
    for seen, organ, words in (
        ([{"chest": 0.95, "head": 0.05}], "mandible", ["look like a chest (95%), and the mandible is looked for in a head"]),
        ([{"abdomen": 1.0}], "heart", ["look like an abdomen"]),
        ([{"chest": 0.95, "head": 0.05}], "lungs", []),
        ([{"chest": 0.3, "head": 0.7}], "lungs", []),  # not sure enough to say so
        ([{"chest": 0.3, "head": 0.7}] * 4, "lungs", ["look like a head"]),  # all views together are
        ([{"chest_down": 0.95, "chest": 0.05}], "lungs", ["AP looks upside down"]),
    ):
        told = iter(seen)
        monkeypatch.setattr(scope, "appearance", lambda radiograph, shadow, told=told: _seen(next(told)))
        notes = scope.scope_notes(organ, [chest] * len(seen))
        assert len(notes) == len(words) and all(w in n for w, n in zip(words, notes, strict=True)), (organ, notes)


def test_a_picture_of_unknown_scale_is_fitted_before_the_organ_is_looked_for(chest, monkeypatch):
    unknown = replace(chest, line_integrals=0.5 * chest.line_integrals, unknown=("gain",))
    twice = SimpleNamespace(of=lambda r: replace(r, line_integrals=2 * r.line_integrals, unknown=()))
    found = SimpleNamespace(scales=(twice, None), notes=["AP: fitted.", "One view: depth comes from the model alone."])
    monkeypatch.setattr(answer, "reconstruct", lambda radiographs, **settings: found)
    used, notes = calibrated([unknown, chest])
    assert used[0].calibrated and np.allclose(used[0].line_integrals, chest.line_integrals) and used[1] is chest
    assert notes == ["AP: fitted."]
    found.scales = (twice,)
    shape = organ_shape([unknown], "lungs", model=BallSystem(), check_scope=False)
    assert shape.notes[:2] == ("AP: fitted.", "a ball") and shape.notes.count("One view: depth comes from the model alone.") == 1


def test_an_organ_at_the_border_of_a_picture_or_beside_it_is_said(chest):
    inside = np.array([[10.0, 10.0], [20.0, 20.0], [10.0, 10.0]])
    cut = np.array([[-0.5, 10.0], [-0.5, 20.0], [9.0, 15.0], [-0.5, 10.0]])
    assert scope.field_notes("heart", [chest, chest], [[inside], [inside]]) == []
    notes = scope.field_notes("heart", [chest, chest], [[inside, cut], []])
    assert "reaches the border of AP" in notes[0] and "does not show where the heart was found" in notes[1]
