"""Parametrized X-rays in the scene: landmarks dragged with the mouse, locked, undone, saved and loaded again."""

from __future__ import annotations

import itertools
import resource
from pathlib import Path

import numpy as np
import pytest
import slicer
from follow_networks import ANCHOR, BESIDE, follow_networks, follow_region
from Harness.views import SliceView, ThreeDView
from scene_parts import RAS, attribute, pixels, put_under, rigid, sphere_node
from spot_networks import COLUMNS, NAMES, ROWS
from tables import each
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.logic.live_loop import LiveLoop
from XRayTo3DSlicer.nodes import mrml, radiograph_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph

PLACED = {"right_spot": (-20.0, 0.0, 0.0), "left_spot": (20.0, 0.0, 0.0)}


@pytest.fixture(scope="module")
def how(tmp_path_factory):
    """How an X-ray is drawn of the ball."""
    folder = tmp_path_factory.mktemp("follow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(folder / "home"))
        yield {"region": follow_region(folder), "networks": follow_networks(folder), "points": PLACED}


@pytest.fixture
def ball(scene, how):
    """A ball in the scene, and how an X-ray is drawn of it."""
    return sphere_node((0.0, 0.0, 0.0), 60.0), how


@pytest.fixture
def drawn(ball, logic, monkeypatch):
    """Its X-ray, landmarks and loop, by the networks that are found for the region's landmarks."""
    node, how = ball
    monkeypatch.setenv("XRAYTO3D_MODELS", str(Path(how["networks"][0]).parent))
    return logic.parametrizedXRay(node, **{**how, "networks": None})


def places(loop):
    """[row, column] of both landmarks."""
    return loop.state.points.copy()


def node_ids():
    return [slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())]


def spot(image, loop):
    """[row, column] of what is brightest over the water of the body in the left half of the picture."""
    half = (slicer.util.arrayFromVolume(image)[0] - 2 * loop.state.surface.array[1])[:, : COLUMNS // 2]
    return np.array(np.unravel_index(half.argmax(), half.shape))


def test_landmarks_lie_on_the_x_ray_with_names_and_definitions(drawn, scene):
    image, points, loop = drawn
    assert [points.GetNthControlPointLabel(i) for i in range(2)] == list(NAMES)
    assert points.GetNthControlPointDescription(1) == "the left spot of the tests"
    assert loop.state.converged and np.abs(places(loop) - [ANCHOR, (ANCHOR[0], ANCHOR[1] + BESIDE)]).max() < 0.05
    # On the plane of the picture, 200 mm behind the middle: AP looks along +y, columns along +x, rows along -z.
    row, column = places(loop)[0]
    expected = [4 * (column - 23.5), 200.0, -4 * (row - 15.5)]
    assert np.abs(mrml.markups_from_node(points)[0] - expected).max() < 1e-6
    assert np.allclose(np.array(points.GetNthControlPointPosition(0)) * RAS, expected)
    bounds = [0.0] * 6
    image.GetRASBounds(bounds)
    assert abs(np.mean(bounds[2:4]) + 200) < 1e-6
    picture = slicer.util.arrayFromVolume(image)[0]
    assert picture.shape == (ROWS, COLUMNS) and np.array_equal(picture, loop.state.xray) and picture.max() > 2
    with pytest.raises(InputError, match="is no X-ray but a prediction"):
        radiograph_nodes.xray_from_node(image)


@each("kind", ["slice", "3D"])
def test_dragging_with_the_mouse_draws_the_x_ray_anew_and_the_other_follows(ball, logic, scene, kind):
    image, points, loop = logic.parametrizedXRay(ball[0], **ball[1])
    first = loop.state
    middle = np.array([0.0, -200.0, 0.0])
    view = SliceView(image) if kind == "slice" else ThreeDView(middle + np.array([0, 500, 0]), middle, 160.0)
    nodes, scalars = node_ids(), image.GetImageData().GetPointData().GetScalars()
    at = np.array(points.GetNthControlPointPosition(0))
    # 24 mm down and 8 mm to the left of the picture: where the mouse ends is where the landmark is.
    way = view.at(at + np.array([8.0, 0, -24.0]))[:2] - view.at(at)[:2]
    seen = []
    view.drag(at, way, moves=6, between=lambda: seen.append(places(loop)))
    rows = [found[0, 0] for found in seen]
    assert all(b > a for a, b in itertools.pairwise(rows)), "the X-ray follows while the mouse moves"
    moved = places(loop)
    assert np.abs(moved[0] - (first.points[0] + [6, -2])).max() < 0.3 and loop.state.held.tolist() == [True, False]
    assert np.abs(moved[1] - moved[0] - [0, BESIDE]).max() < 0.05 and loop.state.converged
    assert np.abs(mrml.markups_from_node(points)[:, 1] - 200).max() < 1e-6, "they stay on the picture"
    assert np.abs(spot(image, loop) - moved[0]).max() <= 0.6
    assert node_ids() == nodes and image.GetImageData().GetPointData().GetScalars() is scalars
    # A locked one neither follows nor can be dragged; undo goes back drag by drag.
    points.SetNthControlPointLocked(1, True)
    view.drag(np.array(points.GetNthControlPointPosition(0)), -way)
    assert np.abs(places(loop)[0] - first.points[0]).max() < 0.3 and np.array_equal(places(loop)[1], moved[1])
    view.drag(np.array(points.GetNthControlPointPosition(1)), way)
    assert np.array_equal(places(loop)[1], moved[1]) and loop.state.locked.tolist() == [False, True]
    assert loop.undo() and np.array_equal(places(loop), moved)
    assert loop.undo() and np.array_equal(places(loop), first.points) and not loop.undo()
    assert np.array_equal(slicer.util.arrayFromVolume(image)[0], first.xray)
    assert np.abs(mrml.markups_from_node(points)[0] - first.surface.projection.pixel_positions(first.points)[0]).max() < 1e-6
    view.close()
    scene.RemoveNode(points)  # or the mouse would find it beside those of the next row
    assert not loop.attached


def test_a_storm_of_moves_leaves_no_backlog_and_the_newest_place_wins(ball, logic, scene):
    waiting = []
    image, points, loop = logic.parametrizedXRay(ball[0], **ball[1], later=waiting.append)
    view = SliceView(image)
    at = np.array(points.GetNthControlPointPosition(0))
    nodes, start, longest = node_ids(), loop.rounds, 0

    def one_round():
        nonlocal longest
        longest = max(longest, len(waiting))
        if len(moves) % 50 == 0 and waiting:  # networks that are 50 times slower than the mouse
            waiting.pop()()
        moves.append(places(loop))

    moves: list[np.ndarray] = []
    memory = []
    for way in ((40, -30), (-40, 30)):
        view.drag(at, way, moves=250, between=one_round)
        while waiting:
            assert len(waiting) == 1
            waiting.pop()()
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        at = np.array(points.GetNthControlPointPosition(0))
    assert len(moves) == 500 and longest == 1 and loop.rounds - start <= 10 + 2 * 20
    assert np.abs(places(loop)[0] - ANCHOR).max() < 0.3 and loop.state.converged, "there and back"
    assert node_ids() == nodes and memory[1] - memory[0] < 2000, "kB"
    assert loop.undo() and loop.undo() and not loop.undo(), "a drag is one step of undo, however many moves it had"
    view.close()


def test_a_saved_scene_goes_on_where_it_was(drawn, logic, scene, tmp_path):
    _image, points, loop = drawn
    loop.move("right_spot", 8.0, -12.0)
    loop.lock("left_spot")
    loop.settle()
    at, first = places(loop), loop.first.points
    assert np.allclose(at[0], first[0] + [3, 2])
    assert loop.moved_mm()["right_spot"] == pytest.approx(np.hypot(8, 12), abs=0.1)
    headless.save_scene(tmp_path / "scene.mrb")
    headless.load_scene(tmp_path / "scene.mrb")
    assert not loop.attached and not LiveLoop.running
    points = slicer.util.getNode("*landmarks")
    nodes = node_ids()
    again = logic.parametrizedLoop(points)
    assert again is logic.parametrizedLoop(points) and node_ids() == nodes
    assert np.allclose(places(again), at, atol=1e-3) and again.state.held.tolist() == [True, False]
    assert again.state.locked.tolist() == [False, True] and not again.undo()
    again.lock("left_spot", False)
    again.move("right_spot", 0.0, 12.0)
    assert np.allclose(places(again), places(again)[0] + [[0, 0], [0, BESIDE]], atol=0.05)
    again.reset()
    assert np.allclose(places(again), first, atol=1e-3)
    # A landmark that was moved while nobody followed counts as dragged.
    again.detach()
    x, y, z = points.GetNthControlPointPosition(0)
    points.SetNthControlPointPosition(0, x, y, z - 8.0)
    third = logic.parametrizedLoop(points)
    assert np.allclose(places(third)[:, 0], first[:, 0] + 2, atol=0.05) and third.undo()
    assert np.allclose(places(third), first, atol=1e-3)
    slicer.mrmlScene.RemoveNode(points)
    assert not third.attached and not LiveLoop.running


def test_what_is_moved_in_3d_stays_together(drawn):
    """A transform of the picture alone takes its landmarks along; one that is dragged off the picture stays at its edge."""
    image, points, loop = drawn
    before = places(loop)
    put_under(image, rigid())
    loop.settle()
    world = mrml.to_world(image)
    on_picture = loop.state.surface.projection.pixel_positions(before) @ world[:3, :3].T + world[:3, 3]
    assert np.abs(mrml.markups_from_node(points) - on_picture).max() < 1e-6
    far = loop.state.surface.projection.pixel_positions(np.array([[-50.0, 10.0]])) @ world[:3, :3].T + world[:3, 3]
    mrml.move_markup(points, 0, far[0])
    assert np.allclose(places(loop)[0], [0, 10])


def test_an_x_ray_is_completed_and_what_is_not_healthy_is_found(drawn, logic, scene, tmp_path):
    _image, points, loop = drawn
    projection = loop.state.surface.projection
    real = loop.state.xray + 0.25
    left = projection.cropped((slice(0, ROWS), slice(0, 20)))
    node = radiograph_nodes.radiograph_to_node(Radiograph(real[:, :20], left, "AP"), "partial")
    whole = logic.completeXRay(points, node)
    found = pixels(whole)
    assert np.array_equal(found[:, :20], real[:, :20]) and found.shape == (ROWS, COLUMNS)
    assert attribute(whole, "Type") == "Prediction" and "are those of partial" in attribute(whole, "Notes")
    ill = loop.first.xray.copy()
    ill[20:25, 26:32] += 4.0
    node = radiograph_nodes.radiograph_to_node(Radiograph(ill, projection, "AP"), "ill")
    before = places(loop)
    seen = logic.findAnomaly(points, node)
    marked = slicer.util.arrayFromSegmentBinaryLabelmap(seen.segmentationNode, "anomaly", seen.differenceNode)[0] > 0
    assert marked[20:25, 26:32].all() and marked.sum() == 30 and np.array_equal(places(loop), before)
    assert seen.score == pytest.approx(30 * 0.16 * (0.5 - 0.1), rel=0.02)  # cm^2 a pixel, half of the range over a tenth
    files = logic.trainingXRays(points, tmp_path / "more", count=3, seed=2)
    assert [path.name for path in files] == ["0000.nrrd", "0001.nrrd", "0002.nrrd", "landmarks.csv"]
    lines = files[-1].read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7 and lines[1].startswith("0000.nrrd,right_spot,")
    with pytest.raises(InputError, match="not an empty folder"):
        logic.trainingXRays(points, tmp_path / "more")


def test_what_cannot_be_is_said_in_one_sentence_and_leaves_the_scene_as_it_was(ball, logic, scene, state):
    node, how = ball
    before = state()
    wrong = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "other")
    before = state()
    for call, said in (
        (lambda: logic.parametrizedXRay(None, **how), "No surface is chosen"),
        (lambda: logic.parametrizedXRay(node, **{**how, "points": {}}), "right_spot .* was not found on the skin"),
        (lambda: logic.parametrizedXRay(node, **{**how, "networks": None}), "no model of the task landmarks for the region ball"),
        (lambda: logic.parametrizedXRay(node, **{**how, "region": "tail"}), "no region 'tail'"),
        (lambda: logic.parametrizedLoop(wrong), "other belongs to no parametrized X-ray"),
    ):
        with pytest.raises(InputError, match=said):
            call()
        assert state() == before
