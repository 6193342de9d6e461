"""The sections Organs and Landmarks on the harness: what they pass on, and a table that follows landmarks in a real scene."""

from __future__ import annotations

import pytest
from follow_networks import follow_networks, follow_region
from panel_parts import rows, status
from scene_parts import sphere_node
from XRayTo3DSlicer.logic import Logic


def test_an_organ_is_found_in_the_chosen_x_rays_with_what_was_drawn(two_views, fake_logic, user):
    ui, parameters = two_views.organs.ui, two_views.parameters
    xrays = [parameters.firstNode, parameters.secondNode]
    assert ui.organComboBox.currentData() == "lungs" and ui.findButton.isEnabled() and not ui.organTable.isVisible()
    ui.organComboBox.setCurrentIndex(ui.organComboBox.findData("liver"))
    ui.drawButton.click()
    assert fake_logic.calls[-1] == ("drawOutline", (xrays[0], "liver"), {}) and user.module == "SegmentEditor"
    assert user.shown[-2:] == [parameters.outlineNode, xrays[0]] and parameters.outlineNode.GetName() == "drawn"
    user.file = "/models/mine.pt"
    ui.openOrganModelButton.click()
    assert ui.organModelComboBox.currentText() == "mine.pt"
    ui.findButton.click()
    assert fake_logic.calls[-1] == ("organShape", (xrays, "liver", parameters.outlineNode, "/models/mine.pt"), {})
    assert rows(ui.organTable) == [["liver", "4100", "3700", "4500"]] and not ui.organTable.isHidden()
    assert ui.organNotesLabel.text() == "One X-ray leaves the depth open." and status(two_views) == "Finding the organ: done."
    ui.organModelComboBox.setCurrentIndex(0)
    parameters.secondNode = xrays[0]
    assert not ui.findButton.isEnabled() and "are the same" in ui.organProblemLabel.text()
    parameters.firstNode = None
    assert "under Inputs" in ui.findButton.toolTip() and parameters.organModel == ""


@pytest.fixture
def landmarks(panel, fake_logic, tmp_path, monkeypatch):
    """The section, and a logic that predicts the X-ray of a ball."""
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    ball, logic = sphere_node((0.0, 0.0, 0.0), 60.0), Logic()
    how = {"region": follow_region(tmp_path), "networks": follow_networks(tmp_path)}
    how["points"] = {"right_spot": (-20.0, 0.0, 0.0), "left_spot": (20.0, 0.0, 0.0)}
    fake_logic.draw = lambda: logic.parametrizedXRay(ball, **how)
    fake_logic.resume = logic.parametrizedLoop
    panel.parameters.surfaceNode = ball
    return panel.landmarks


def settle(user, loop):
    """Let the application's events run until the landmarks rest."""
    for _ in range(200):
        user.processEvents()
        if loop.state.converged and not loop._waiting:
            return
    raise AssertionError("the landmarks do not come to rest")


def test_the_table_of_landmarks_follows_what_is_dragged_and_locks_and_hides(landmarks, panel, fake_logic, user):
    ui, ball = landmarks.ui, panel.parameters.surfaceNode
    assert ui.regionComboBox.currentText() == "Head and neck" and not ui.undoButton.isEnabled()
    ui.regionViewComboBox.setCurrentIndex(1)
    ui.generateButton.click()
    assert user.errors == [] and fake_logic.calls[0] == ("parametrizedXRay", (ball, "head_neck", "LLAT"), {})
    points = panel.parameters.landmarksNode
    loop = landmarks._loop
    assert [row[0] for row in rows(ui.landmarksTable)] == ["right_spot", "left_spot"] and user.shown[-1] is loop.nodes.imageNode
    assert [row[3] for row in rows(ui.landmarksTable)] == ["0.0", "0.0"] and "at rest" in ui.loopLabel.text().lower()
    x, y, z = points.GetNthControlPointPosition(0)
    points.SetNthControlPointPosition(0, x, y, z - 12.0)
    assert loop.rounds == 0, "the round waits until no event does"
    settle(user, loop)
    assert [row[3] for row in rows(ui.landmarksTable)] == ["12.0", "12.0"] and loop.rounds >= 1
    from PySide6.QtCore import Qt

    ui.landmarksTable.item(1, 2).setCheckState(Qt.CheckState.Checked)
    ui.landmarksTable.item(0, 1).setCheckState(Qt.CheckState.Unchecked)
    assert points.GetNthControlPointLocked(1) and loop.state.locked.tolist() == [False, True]
    assert not points.GetNthControlPointVisibility(0)
    ui.undoButton.click()
    assert [row[3] for row in rows(ui.landmarksTable)] == ["0.0", "0.0"]
    ui.undoButton.click()
    assert status(panel) == "There is nothing to undo."
    loop.move("right_spot", 0.0, 8.0)
    ui.resetButton.click()
    assert [row[3] for row in rows(ui.landmarksTable)] == ["0.0", "0.0"]
    assert user.errors == []


def test_uses_of_landmarks_and_a_scene_that_goes_on(landmarks, panel, fake_logic, user, tmp_path):
    ui = landmarks.ui
    ui.generateButton.click()
    points = panel.parameters.landmarksNode
    assert "real X-ray" in ui.completeButton.toolTip() and not ui.anomalyButton.isEnabled()
    real = fake_logic.radiograph("AP")
    panel.parameters.realNode = real
    ui.completeButton.click()
    assert user.shown[-1].GetName() == "completed"
    ui.thresholdSpinBox.setValue(15)
    ui.anomalyButton.click()
    assert status(panel) == "Anomaly score 12.5 cm²."
    ui.trainingButton.click()
    user.folder = str(tmp_path / "more")
    ui.trainingCountSpinBox.setValue(7)
    ui.trainingButton.click()
    assert status(panel).startswith("7 X-rays and landmarks.csv were written to ")
    assert [call[:2] for call in fake_logic.calls[-3:]] == [
        ("completeXRay", (points, real)),
        ("findAnomaly", (points, real, 0.15)),
        ("trainingXRays", (points, user.folder, 7)),
    ]
    # As after a scene was loaded: nobody follows, until the panel is there.
    landmarks._loop.detach()
    landmarks.update()
    assert ui.followButton.isEnabled() and not ui.resetButton.isEnabled()
    ui.followButton.click()
    assert landmarks._loop.attached and ui.resetButton.isEnabled()
    parameters = panel.parameters
    landmarks._loop.detach()
    panel.setParameters(None)
    assert landmarks._loop is None
    panel.setParameters(parameters)
    assert landmarks._loop.attached and landmarks._loop.nodes.pointsNode is points and user.errors == []
