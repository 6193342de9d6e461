"""The panel on the harness, its inputs and geometry: real .ui files, a real scene, clicks, and a logic that notes its calls."""

from __future__ import annotations

import inspect

import pytest
from panel_parts import status

from XRayTo3DLib.errors import InputError


def test_an_empty_scene_offers_nothing_and_says_why(panel):
    assert not panel.inputs.ui.renderButton.isEnabled()
    assert panel.inputs.ui.renderButton.toolTip() == "Choose the CT volume to simulate X-rays from."
    assert not panel.reconstruct.ui.applyButton.isEnabled()
    assert panel.reconstruct.ui.problemLabel.text().startswith("Choose the first X-ray")
    for button in ("segmentButton", "surfacesButton", "compareButton"):
        assert not getattr(panel.results.ui, button).isEnabled()
    assert "do not determine a volume" in panel.results.ui.honestyLabel.text()
    assert "not for diagnosis" in panel.results.ui.honestyLabel.text()


def test_rendering_passes_view_and_geometry_and_selects_the_xrays(panel, fake_logic, bare_ct):
    panel.inputs.ui.ctSelector.setCurrentNode(bare_ct)
    assert panel.parameters.ctNode is bare_ct
    panel.inputs.ui.firstTurnSpinBox.setValue(10.0)
    panel.geometry.ui.sourceToDetectorSpinBox.setValue(1100.0)
    panel.geometry.ui.sourceToIsocentreSpinBox.setValue(700.0)
    panel.geometry.ui.pixelSizeSpinBox.setValue(0.5)
    panel.geometry.ui.detectorRowsSpinBox.setValue(300)
    panel.geometry.ui.detectorColumnsSpinBox.setValue(200)
    assert panel.geometry.ui.magnificationLabel.text().startswith("1.57, so a pixel measures 0.32 mm")
    panel.inputs.ui.renderButton.click()
    geometry = {
        "spacing": 0.5,
        "sourceToDetector": 1100.0,
        "sourceToIsocentre": 700.0,
        "beam": "cone",
        "size": (300, 200),
    }
    assert fake_logic.calls == [("renderDRR", (bare_ct, ["AP+10", "LLAT"]), geometry)], "one call, so all views or none"
    assert panel.inputs.ui.firstSelector.currentNode().GetName() == "X-ray AP+10"
    assert panel.inputs.ui.secondSelector.currentNode().GetName() == "X-ray LLAT"
    assert panel.reconstruct.ui.applyButton.isEnabled()
    assert status(panel) == "Rendering the X-rays: done."


def test_a_parallel_beam_has_no_distances(panel, fake_logic, bare_ct):
    panel.parameters.ctNode = bare_ct
    panel.geometry.ui.beamComboBox.setCurrentIndex(1)
    assert not panel.geometry.ui.sourceToDetectorSpinBox.isEnabled()
    panel.inputs.ui.useSecondCheckBox.click()
    assert not panel.inputs.ui.secondSelector.isEnabled()
    panel.inputs.ui.renderButton.click()
    ((_, (_, view), geometry),) = fake_logic.calls
    assert view == ["AP"] and geometry["beam"] == "parallel" and geometry["sourceToIsocentre"] is None and geometry["size"] is None
    panel.geometry.ui.beamComboBox.setCurrentIndex(2)
    assert panel.geometry.ui.sourceToDetectorSpinBox.isEnabled()
    panel.inputs.ui.renderButton.click()
    geometry = fake_logic.calls[-1][2]
    assert geometry["beam"] == "scanned"
    assert (geometry["sourceToDetector"], geometry["sourceToIsocentre"]) == (1085.0, 595.0), "those of a CT, as none were set"
    panel.geometry.ui.sourceToDetectorSpinBox.setValue(1300.0)
    panel.geometry.ui.beamComboBox.setCurrentIndex(0)
    assert panel.parameters.sourceToDetector == 1300.0 and panel.parameters.sourceToIsocentre == 595.0, "what was set stays"


def test_an_impossible_geometry_is_said_where_it_is_and_nothing_runs(panel, fake_logic, bare_ct):
    panel.parameters.ctNode = bare_ct
    panel.geometry.ui.sourceToIsocentreSpinBox.setValue(1600.0)
    assert not panel.inputs.ui.renderButton.isEnabled()
    sentence = panel.geometry.ui.problemLabel.text()
    assert "1600 mm" in sentence and "1500 mm" in sentence
    assert panel.inputs.ui.renderButton.toolTip() == sentence
    panel.geometry.ui.sourceToIsocentreSpinBox.setValue(1200.0)
    assert panel.inputs.ui.renderButton.isEnabled() and panel.inputs.ui.renderButton.toolTip().startswith("Simulate")
    assert fake_logic.calls == []


def test_views_along_the_same_line_are_refused(panel, bare_ct):
    panel.parameters.ctNode = bare_ct
    panel.inputs.ui.secondViewComboBox.setCurrentIndex(1)
    assert "The two views look along the same line" in panel.inputs.ui.renderButton.toolTip()


@pytest.mark.parametrize("failure", ["bad input", "unexpected", "cancel"])
def test_a_failure_at_the_second_view_leaves_the_scene_as_it_was(user, scene, state, ct_node, monkeypatch, failure):
    """With the real logic: not even a display node of the first view stays."""
    from Harness.scripted_module import ModuleWidget

    import XRayTo3D
    from XRayTo3DLib.simulation import drr

    widget = XRayTo3D.XRayTo3DWidget(ModuleWidget())
    widget.setup()
    panel, real, done = widget.panel, drr.render_drr, []

    def failing(volume, projections, names, progress, **keywords):
        done.append(real(volume, projections[:1], names[:1], progress, **keywords))
        if failure == "cancel":
            panel.work.cancel()
            progress(0.6, "second view")
        raise InputError("The beam misses the CT.") if failure == "bad input" else ZeroDivisionError(failure)

    monkeypatch.setattr(drr, "render_drr", failing)
    panel.parameters.pixelSize = 16.0
    before = state()
    panel.inputs.ui.renderButton.click()
    assert len(done) == 1 and state() == before and panel.parameters.firstNode is None
    assert len(user.errors) == (0 if failure == "cancel" else 1)
    widget.cleanup()


@pytest.mark.parametrize("prefer", [True, False])
@pytest.mark.parametrize("dicom", [True, False])
def test_a_file_is_told_no_more_than_it_needs(panel, fake_logic, user, tmp_path, dicom, prefer):
    path = tmp_path / "side"
    path.write_bytes(bytes(128) + b"DICM" if dicom else b"\x89PNG")
    user.file = str(path)
    panel.geometry.ui.fileGeometryCheckBox.setChecked(prefer)
    fake_logic.error = InputError("more is needed")
    panel.inputs.ui.secondLoadButton.click()
    told = [(arguments[1], bool(keywords)) for _, arguments, keywords in fake_logic.calls]
    everything = ("LLAT", True)
    if not prefer:
        assert told == [everything]
    elif dicom:
        assert told == [(None, False), ("LLAT", False), everything]
    else:
        assert told == [(None, False), everything]
    assert user.errors == ["more is needed"] and panel.parameters.secondNode is None
    fake_logic.error = None
    panel.inputs.ui.secondLoadButton.click()
    assert panel.parameters.secondNode.GetName() == ("X-ray PA" if prefer else "X-ray LLAT")
    assert status(panel).endswith("view PA." if prefer else "view LLAT.")


def test_a_picture_has_a_pixel_size_of_its_own_which_is_unknown_until_given(panel, fake_logic, user, tmp_path):
    """Never that of the DRRs: with their 2 mm a picture of 2500 x 2000 pixels would be a detector of 5 x 4 m."""
    (tmp_path / "front.png").write_bytes(b"\x89PNG")
    user.file = str(tmp_path / "front.png")
    box = panel.geometry.ui.filePixelSizeSpinBox
    assert box.text() == "unknown" and panel.geometry.ui.pixelSizeSpinBox.value() == 2.0
    fake_logic.error = InputError("more is needed")
    panel.inputs.ui.firstLoadButton.click()
    assert fake_logic.calls[-1][2]["spacing"] is None
    box.setValue(0.172)
    panel.inputs.ui.firstLoadButton.click()
    assert fake_logic.calls[-1][2]["spacing"] == 0.172
    user.questions.clear()
    user.answer = False
    assert fake_logic.asked("Is the pixel size right?") is False and user.questions == ["Is the pixel size right?"]


def test_no_file_chosen_loads_nothing(panel, fake_logic):
    panel.inputs.ui.firstLoadButton.click()
    assert fake_logic.calls == [] and panel.parameters.firstNode is None


def test_only_radiographs_are_offered_as_xrays(two_views, bare_ct):
    assert two_views.inputs.ui.firstSelector.nodeCount() == 2
    two_views.inputs.ui.firstSelector.setCurrentNode(bare_ct)
    assert two_views.parameters.firstNode is None


def test_xrays_are_shown_in_3d(two_views, fake_logic):
    fake_logic.calls.clear()
    two_views.inputs.ui.showButton.click()
    assert [arguments[0].GetName() for _, arguments, _ in fake_logic.calls] == ["X-ray AP", "X-ray LLAT"]


def test_the_real_logic_takes_what_the_panels_give(user):
    from XRayTo3DSlicer.logic import Logic
    from XRayTo3DSlicer.panels.protocol import PanelLogic

    for name, wanted in inspect.getmembers(PanelLogic, inspect.isfunction):
        if name.startswith("_"):
            continue
        real = inspect.signature(getattr(Logic, name)).parameters
        asked = inspect.signature(wanted).parameters
        assert set(asked) <= set(real), name
        positional = [n for n, p in asked.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == list(real)[: len(positional)], name
        needed = {n for n, p in real.items() if p.default is p.empty}
        assert needed <= {n for n, p in asked.items() if p.default is p.empty}, name


def test_signals_are_plain_calls(user):
    from XRayTo3DSlicer.panels.signal import Signal

    signal, heard = Signal(), []
    signal.connect(heard.append)
    signal.connect(heard.append)
    signal.emit(1)
    signal.disconnect(heard.append)
    signal.disconnect(heard.append)
    signal.emit(2)
    assert heard == [1]


def test_every_section_fits_the_narrowest_panel(two_views):
    """Slicer's module panel has no horizontal scroll bar: what is wider makes the views smaller for good."""
    two_views.reconstruct.ui.applyButton.click()
    margins = 22
    for widget in two_views.widgets:
        assert widget.minimumSizeHint().width() <= 320 - margins, widget.objectName()


def test_screenshot(two_views, tmp_path):
    """The whole panel is drawn: wide enough for its texts, with many colours, and not the same after a change."""
    from Harness.screenshot import WIDTH, grab
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QPushButton, QTableWidget, QVBoxLayout, QWidget

    container = QWidget()
    layout = QVBoxLayout(container)
    for part in two_views.widgets:
        layout.addWidget(part)
    pictures = []
    for name in ("empty", "reconstructed"):
        grab(container, tmp_path / f"{name}.png")
        pictures.append(QImage(str(tmp_path / f"{name}.png")))
        two_views.reconstruct.ui.applyButton.click()
    assert pictures[0].width() == WIDTH == 320 and pictures[0].height() > 500
    assert pictures[1].height() > pictures[0].height(), "the table of errors and the notes take room"
    colours = {pictures[0].pixel(x, y) for x in range(0, WIDTH, 3) for y in range(0, pictures[0].height(), 3)}
    assert len(colours) > 30
    for table in container.findChildren(QTableWidget):
        if table.isVisible():
            end = table.mapTo(container, table.rect().bottomRight())
            assert end.y() < container.height() and table.viewport().height() >= table.verticalHeader().length()
    for button in container.findChildren(QPushButton):
        if button.isVisible():
            assert button.width() >= button.fontMetrics().horizontalAdvance(button.text()), button.text()
    for part in two_views.widgets:
        part.setParent(None)
