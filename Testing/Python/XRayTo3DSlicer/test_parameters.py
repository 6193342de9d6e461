"""The panel's parameters: words for views, sentences for what cannot be, and their place in the scene."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing"))

import Harness  # noqa: E402

from XRayTo3DLib.geometry.views import view_projection  # noqa: E402


@pytest.fixture(scope="module")
def state():
    with Harness.application():
        from XRayTo3DSlicer import parameters

        yield parameters


@pytest.fixture
def node(state, scene):
    import slicer

    return scene.AddNode(slicer.vtkMRMLScriptedModuleNode())


@pytest.fixture
def parameters(state, node):
    return state.PanelParameters(node)


@pytest.mark.parametrize(
    ("view", "turn", "word"),
    [
        ("AP", 0.0, "AP"),
        ("AP", 10.0, "AP+10"),
        ("PA", -2.5, "PA-2.5"),
        ("LEFT", 0.0, "LLAT"),
        ("RIGHT", 5.0, "RLAT+5"),
        ("CARM", 30.0, "LAO30"),
        ("CARM", -20.0, "RAO20"),
        ("CARM", 0.0, "LAO0"),
        ("CARM", 12.3456789, "LAO12.3456789"),
        ("AP", -2e-5, "AP-2e-05"),
    ],
)
def test_every_view_is_a_word_of_the_library(state, view, turn, word):
    assert state.viewWord(state.View[view], turn) == word
    assert view_projection(word).size == (256, 256)


def test_defaults_are_those_of_the_library(state, parameters):
    from XRayTo3DLib.geometry.views import BEAMS, DEFAULT_SOURCE_TO_DETECTOR, DEFAULT_SOURCE_TO_ISOCENTRE

    assert parameters.sourceToDetector == DEFAULT_SOURCE_TO_DETECTOR
    assert parameters.sourceToIsocentre == DEFAULT_SOURCE_TO_ISOCENTRE
    assert state.views(parameters) == ["AP", "LLAT"]
    assert state.detectorSize(parameters) is None
    assert state.geometry(parameters) == {
        "spacing": 2.0,
        "sourceToDetector": 1500.0,
        "sourceToIsocentre": 1200.0,
        "beam": "cone",
    }
    assert [beam.value for beam in state.Beam] == list(BEAMS)


def test_fusion_exponent_is_that_of_the_library(parameters):
    from XRayTo3DLib.fusion.closed_form import BETA

    assert parameters.beta == BETA


def test_values_are_kept_in_the_node_and_limits_are_kept(state, parameters, node):
    parameters.secondView = state.View.CARM
    parameters.sourceToDetector = 1020.5
    parameters.useSecond = False
    again = state.PanelParameters(node)
    assert again.secondView is state.View.CARM and again.sourceToDetector == 1020.5 and again.useSecond is False
    with pytest.raises(ValueError, match="pixelSize"):
        parameters.pixelSize = 0.0
    assert again.pixelSize == 2.0


def test_geometry_problems(state, parameters):
    assert state.geometryProblem(parameters) == ""
    parameters.sourceToIsocentre = 1500.0
    assert "must be smaller than the source-to-detector distance (1500 mm)" in state.geometryProblem(parameters)
    parameters.beam = state.Beam.SCANNED
    assert "must be smaller" in state.geometryProblem(parameters)
    parameters.beam = state.Beam.PARALLEL
    assert state.geometryProblem(parameters) == "", "a parallel beam has no such distances"
    parameters.detectorRows = 100
    assert "both the rows and the columns" in state.geometryProblem(parameters)
    parameters.detectorColumns = 120
    assert state.geometryProblem(parameters) == "" and state.detectorSize(parameters) == (100, 120)


@pytest.mark.parametrize(
    ("first", "second", "turn", "same"),
    [
        ("AP", "AP", 0, True),
        ("AP", "PA", 0, True),
        ("AP", "AP", 4, True),
        ("AP", "AP", 10, False),
        ("LEFT", "RIGHT", 0, True),
        ("AP", "CARM", 90, False),
    ],
)
def test_views_along_one_line(state, parameters, first, second, turn, same):
    parameters.firstView, parameters.secondView, parameters.secondTurn = (
        state.View[first],
        state.View[second],
        float(turn),
    )
    assert bool(state.viewProblem(parameters)) is same
    parameters.useSecond = False
    assert state.viewProblem(parameters) == ""


def test_what_is_missing_for_rendering_and_reconstruction(state):
    front, side = SimpleNamespace(), SimpleNamespace()
    chosen = SimpleNamespace(firstNode=None, secondNode=None, useSecond=True)
    assert "first X-ray" in state.reconstructionProblem(chosen)
    chosen.firstNode = front
    assert "second X-ray" in state.reconstructionProblem(chosen)
    chosen.secondNode = front
    assert "are the same" in state.reconstructionProblem(chosen)
    chosen.secondNode = side
    assert state.reconstructionProblem(chosen) == "" and state.radiographs(chosen) == [front, side]
    chosen.useSecond = False
    assert state.reconstructionProblem(chosen) == "" and state.radiographs(chosen) == [front]
    assert "CT" in state.renderProblem(SimpleNamespace(ctNode=None))


def test_every_choice_has_a_label_of_its_own(state):
    for choices in (state.View, state.Beam):
        labels = [choice.label() for choice in choices]
        assert len(set(labels)) == len(labels) and all(labels)
