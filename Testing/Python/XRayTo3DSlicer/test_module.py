"""The module in the application: entering and leaving it, closing the scene, its buttons, its sample and its own test."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from panel_parts import FakeLogic, status


@pytest.fixture
def widget(user):
    from Harness.scripted_module import ModuleWidget

    import XRayTo3D

    made = XRayTo3D.XRayTo3DWidget(ModuleWidget())
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


def test_after_a_scene_closed_during_work_the_buttons_work_again(widget, user, scene, bare_ct):
    from XRayTo3DLib.errors import InputError

    panel, fake = widget.panel, FakeLogic()
    for section in panel.sections:
        section.logic = fake
    panel.parameters.ctNode = bare_ct

    def close():
        fake.step = lambda: None
        scene.Clear(False)
        fake.error = InputError("The scene was closed while the work ran.")

    fake.step = close
    panel.inputs.ui.renderButton.click()
    fake.error = None
    assert panel.parameters is not None and panel.inputs.widget.isEnabled()
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Chest")
    panel.inputs.ui.ctSelector.setCurrentNode(volume)
    panel.inputs.ui.renderButton.click()
    assert panel.parameters.firstNode.GetName() == "X-ray AP"

    # Without parameters, as while a scene is being closed, whatever is called does nothing.
    panel.setParameters(None)
    for section in panel.sections:
        assert not section.widget.isEnabled()
        for name in dir(section):
            if name.startswith("on"):
                getattr(section, name)()


def test_the_user_leaves_during_work_and_the_panel_lets_go_at_its_end(widget, bare_ct):
    panel, fake = widget.panel, FakeLogic()
    for section in panel.sections:
        section.logic = fake
    panel.parameters.ctNode = bare_ct

    def leave():
        widget.parent.isEntered = False
        widget.exit()
        assert panel.parameters is not None

    fake.step = leave
    panel.inputs.ui.renderButton.click()
    assert len(fake.calls) == 1 and panel.parameters is None


def test_a_scene_loaded_with_the_module_open_brings_its_selections(widget, user, scene, bare_ct, fake_logic, tmp_path):
    """The wrapper caches references, and reads them before the nodes of the file are there."""
    front = fake_logic.radiograph("AP")
    widget.panel.parameters.ctNode, widget.panel.parameters.firstNode = bare_ct, front
    widget.panel.parameters.pixelSize = 0.75
    path = str(tmp_path / "scene.mrml")
    scene.SetURL(path)
    assert scene.Commit(path)
    text = Path(path).read_text(encoding="utf-8")
    assert "firstView=AP" in text or "firstView AP" in text
    Path(path).write_text(text.replace("firstView=AP", "firstView=SKYLINE").replace("firstView AP", "firstView SKYLINE"))
    scene.Clear(False)
    assert widget.panel.parameters.ctNode is None
    scene.SetURL(path)
    scene.Import()
    chosen = widget.panel.parameters
    assert (
        chosen.pixelSize == 0.75
        and chosen.firstView.value == "AP"
        and chosen.ctNode.GetName() == "CT"
        and chosen.firstNode.GetName() == "X-ray AP"
    )
    assert widget.panel.inputs.ui.ctSelector.currentNode() is chosen.ctNode


def test_what_cannot_be_read_of_a_saved_scene_is_reset(widget, user, scene, bare_ct):
    widget.panel.parameters.sourceToDetector = 1020.5
    widget.exit()
    node = scene.GetSingletonNode("XRayTo3D", "vtkMRMLScriptedModuleNode")
    damaged = {"firstView": "SKYLINE", "beam": "", "pixelSize": "wide", "detectorRows": "1e3", "beta": "nan", "fuse": "maybe"}
    for name, text in damaged.items():
        node.SetParameter(name, text)
    node.SetNodeReferenceID("reconstructionNode", scene.AddNewNodeByClass("vtkMRMLModelNode").GetID())
    widget.enter()
    found = widget.panel.parameters
    assert (found.firstView.value, found.beam.value, found.pixelSize, found.detectorRows) == ("AP", "cone", 2.0, 0)
    assert found.beta == 0.5 and found.fuse is True and found.sourceToDetector == 1020.5, "the rest is kept"
    widget.exit()


def test_a_widget_without_parent_and_one_whose_setup_fails(user, scene, monkeypatch):
    from XRayTo3DSlicer.panels import panel

    import XRayTo3D

    alone = XRayTo3D.XRayTo3DWidget()
    assert alone.panel.parameters is not None and alone.Observations
    alone.exit()
    assert alone.panel.parameters is None
    alone.enter()
    assert alone.panel.parameters is not None
    scene.Clear(False)
    alone.cleanup()
    assert not alone.Observations and not alone.parent.isHidden()

    def fail(logic):
        raise RuntimeError("a file of the panel is missing")

    monkeypatch.setattr(panel, "Panel", fail)
    from Harness.scripted_module import ModuleWidget

    broken = XRayTo3D.XRayTo3DWidget(ModuleWidget())
    with pytest.raises(RuntimeError, match="missing"):
        broken.setup()
    for call in (broken.enter, broken.exit, lambda: scene.Clear(False), broken.cleanup):
        call()


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
    from Harness import sample_data

    import XRayTo3D

    sample_data.sources.clear()
    user.startupSlots.clear()
    module = XRayTo3D.XRayTo3D(types.SimpleNamespace())
    assert module.parent.title == "XRay to 3D" and module.parent.categories == ["Tomographic Reconstruction"]
    assert "not for diagnosis" in module.parent.helpText and "not commercially available" in module.parent.acknowledgementText
    assert sample_data.sources == {}, "nothing is registered before Slicer has started"
    for slot in user.startupSlots:
        slot()
    ((sample,),) = sample_data.sources.values()
    assert sample["sampleName"] == "XRayTo3DChestCT" and Path(sample["thumbnailFileName"]).is_file()

    # A press on its button loads it; a failure is shown, a refusal is none, and nothing leaves the slot.
    from XRayTo3DSlicer import dependencies
    from XRayTo3DSlicer import sample_data as ours

    for outcome, shown in ((dependencies.Unavailable("declined"), []), (OSError("disk full"), ["disk full"])):

        def load(outcome=outcome):
            raise outcome

        monkeypatch.setattr(ours, "load", load)
        assert sample["customDownloader"](sample) == [] and user.errors == shown
    monkeypatch.setattr(ours, "load", lambda: "a node")
    assert sample["customDownloader"](sample) == ["a node"]


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
