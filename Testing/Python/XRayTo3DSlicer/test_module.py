"""The module in the application: entering and leaving it, closing the scene, its buttons, its sample and its own test."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from panel_parts import FakeLogic, status


@pytest.fixture
def widget(user):
    import XRayTo3D

    made = XRayTo3D.XRayTo3DWidget()
    made.setup()
    yield made
    made.cleanup()


def test_the_state_survives_leaving_and_another_panel(widget, bare_ct):
    widget.panel.parameters.ctNode = bare_ct
    widget.panel.geometry.ui.pixelSizeSpinBox.setValue(0.75)
    widget.panel.inputs.ui.firstViewComboBox.setCurrentIndex(4)
    widget.panel.inputs.ui.firstTurnSpinBox.setValue(-20.0)
    widget.exit()
    assert widget.panel.parameters is None
    widget.enter()
    ui = widget.panel.inputs.ui
    assert ui.ctSelector.currentNode() is bare_ct and ui.firstTurnSpinBox.value() == -20.0
    assert ui.firstViewComboBox.currentIndex() == 4
    assert widget.panel.geometry.ui.pixelSizeSpinBox.value() == 0.75


def test_the_first_volume_becomes_the_ct_unless_it_is_a_result(widget, scene, fake_logic):
    widget.exit()
    fake_logic.radiograph("AP")
    widget.enter()
    assert widget.panel.parameters.ctNode is None
    widget.exit()
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Chest")
    widget.enter()
    assert widget.panel.parameters.ctNode is volume


def test_closing_the_scene_empties_the_panel_and_it_goes_on(widget, scene, bare_ct):
    widget.panel.parameters.ctNode = bare_ct
    widget.panel.parameters.pixelSize = 0.75
    scene.Clear(False)
    assert widget.panel.parameters is not None, "the user is in the module, so it is ready again"
    assert widget.panel.parameters.ctNode is None and widget.panel.inputs.ui.ctSelector.currentNode() is None
    assert not widget.panel.inputs.ui.renderButton.isEnabled()
    widget.parent.isEntered = False
    scene.Clear(False)
    assert widget.panel.parameters is None


def test_a_scene_closed_while_work_runs_cancels_it(widget, scene, bare_ct):
    panel, fake = widget.panel, FakeLogic()
    for section in panel.sections:
        section.logic = fake
    panel.parameters.ctNode = bare_ct
    fake.step = lambda: scene.Clear(False)
    panel.inputs.ui.renderButton.click()
    assert len(fake.calls) == 1 and "cancelled" in status(panel)
    assert panel.work.busy is False


def test_a_press_on_every_button_of_a_fresh_panel_does_no_harm(widget, user, scene):
    """What can be pressed leads to a sentence at worst; the sample and the search for models are tested elsewhere."""
    from PySide6.QtWidgets import QPushButton

    for section in widget.panel.sections:
        for button in section.widget.findChildren(QPushButton):
            if button.objectName() not in ("sampleButton", "deleteSampleButton", "refreshModelsButton"):
                button.click()
    assert user.errors == []


def test_the_sample_is_loaded_as_the_ct_and_its_file_can_be_deleted(widget, user, monkeypatch, tmp_path):
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.simulation import sample as sample_ct
    from XRayTo3DLib.simulation.phantom import thorax_phantom

    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (23, 16, 20), 16.0), supersample=1)
    monkeypatch.setattr(sample_ct, "sample_ct", lambda progress: (volume, "A phantom, not a real CT."))
    widget.panel.inputs.ui.sampleButton.click()
    assert widget.panel.parameters.ctNode.GetName() == "XRayTo3DChestCT"
    assert status(widget.panel) == "A phantom, not a real CT."
    widget.panel.inputs.ui.deleteSampleButton.click()
    assert status(widget.panel) == "There is no downloaded sample CT."
    sample_ct.sample_path().parent.mkdir(parents=True, exist_ok=True)
    sample_ct.sample_path().touch()
    widget.panel.inputs.ui.deleteSampleButton.click()
    assert status(widget.panel).startswith("Deleted ") and not sample_ct.sample_path().exists()
    assert user.errors == []


def test_module_description_and_sample_registration(user, monkeypatch):
    import XRayTo3D

    registered = []
    source = types.SimpleNamespace(registerCustomSampleDataSource=lambda **keywords: registered.append(keywords))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=source))
    user.startupSlots.clear()
    module = XRayTo3D.XRayTo3D(types.SimpleNamespace())
    assert module.parent.title == "XRay to 3D" and module.parent.categories == ["Tomographic Reconstruction"]
    assert "not for diagnosis" in module.parent.helpText and "not commercially available" in module.parent.acknowledgementText
    assert registered == [], "nothing is registered before Slicer has started"
    for slot in user.startupSlots:
        slot()
    (sample,) = registered
    assert sample["sampleName"] == "XRayTo3DChestCT" and Path(sample["thumbnailFileName"]).is_file()
    assert callable(sample["customDownloader"])


def test_reload_forgets_the_packages(widget):
    before = sys.modules["XRayTo3DLib.errors"]
    kept = {name: module for name, module in sys.modules.items() if name.startswith("XRayTo3D")}
    try:
        widget.onReload()
        assert widget.reloaded and not any(name.startswith(("XRayTo3DLib", "XRayTo3DSlicer")) for name in sys.modules)
    finally:
        sys.modules.update(kept)
    assert sys.modules["XRayTo3DLib.errors"] is before


def test_the_modules_own_test_passes(user):
    import XRayTo3D

    XRayTo3D.XRayTo3DTest("runTest").runTest()
