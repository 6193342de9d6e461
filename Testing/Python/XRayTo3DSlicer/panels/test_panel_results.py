"""Reconstruction and its results in the panel on the harness: clicks, and a logic that notes its calls."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from panel_parts import rows, status

from XRayTo3DLib.errors import InputError

# PySide6 looks for its name in the text of a module, to tell whether Qt properties are methods there: it stands here.


def test_reconstruction_shows_its_errors_and_notes(two_views, fake_logic, user):
    fake_logic.calls.clear()
    two_views.reconstruct.ui.betaSliderWidget.putValue(1.5)
    two_views.reconstruct.ui.checkViewsCheckBox.click()
    two_views.reconstruct.ui.applyButton.click()
    name, (chosen, model), options = fake_logic.calls[0]
    assert name == "reconstruct" and model is None
    assert [node.GetName() for node in chosen] == ["X-ray AP", "X-ray LLAT"]
    assert options == {"fuse": True, "beta": 1.5, "checkViews": False}
    assert rows(two_views.results.ui.errorTable) == [["AP", "12.5", "0.05"], ["LLAT", "25", "0.1"]]
    assert two_views.results.ui.notesLabel.text() == "AP: the scale was fitted."
    assert two_views.results.ui.reconstructionSelector.currentNode().GetName() == "Reconstruction"
    assert user.shown[-1].GetName() == "Reconstruction"
    assert status(two_views) == "Reconstructed in 2 s with the model biplanar."


def test_fusion_off_switches_its_exponent_off(two_views, fake_logic):
    two_views.reconstruct.ui.fuseCheckBox.click()
    assert not two_views.reconstruct.ui.betaSliderWidget.isEnabled()
    two_views.reconstruct.ui.applyButton.click()
    assert fake_logic.calls[-1][2]["fuse"] is False


def test_cancel_stops_the_work_and_leaves_the_panel_as_it_was(two_views, fake_logic, user):
    seen = []

    def cancel():
        ui = two_views.work.ui
        seen.append((ui.progressBar.value(), two_views.inputs.widget.isEnabled(), not ui.cancelButton.isHidden()))
        ui.cancelButton.click()

    fake_logic.step = cancel
    fake_logic.calls.clear()
    two_views.reconstruct.ui.applyButton.click()
    assert seen == [(30, False, True)], "stopped at the next step, with the rest of the panel locked and Cancel shown"
    assert status(two_views) == "Reconstructing: cancelled; the scene is as it was."
    assert two_views.parameters.reconstructionNode is None and user.errors == []
    assert two_views.inputs.widget.isEnabled() and two_views.work.ui.cancelButton.isHidden()
    fake_logic.step = lambda: None
    two_views.reconstruct.ui.applyButton.click()
    assert two_views.parameters.reconstructionNode is not None, "the next run is not cancelled"


def test_a_second_start_while_busy_is_ignored(two_views, fake_logic):
    fake_logic.calls.clear()
    fake_logic.step = two_views.reconstruct.onApply
    two_views.reconstruct.ui.applyButton.click()
    assert len(fake_logic.calls) == 1


def test_bad_input_is_one_sentence(two_views, fake_logic, user):
    fake_logic.error = InputError("The views AP and LLAT look exchanged: exchange the two files.")
    two_views.reconstruct.ui.applyButton.click()
    assert user.errors == [str(fake_logic.error)] == [status(two_views)]


def test_an_unexpected_failure_is_shown_and_the_panel_goes_on(two_views, fake_logic, user):
    fake_logic.error = ZeroDivisionError("division by zero")
    two_views.reconstruct.ui.applyButton.click()
    assert user.errors == ["Reconstructing: failed unexpectedly.\n\ndivision by zero"], "once, and no traceback after it"
    assert status(two_views) == "Reconstructing: failed, see the error log."
    assert two_views.reconstruct.widget.isEnabled()


def test_packages_that_the_user_refuses_stop_everything(two_views, fake_logic, user, monkeypatch):
    from XRayTo3DSlicer import dependencies

    monkeypatch.setattr(dependencies, "ALL", ("no-such-package>=1",))
    user.answer = False
    fake_logic.calls.clear()
    two_views.reconstruct.ui.applyButton.click()
    assert fake_logic.calls == [] and len(user.questions) == 1 and "no-such-package>=1" in user.questions[0]
    assert "nothing was started" in status(two_views) and user.errors == [], "who declines has made no error"


def test_a_failed_installation_is_shown_once(two_views, fake_logic, user, monkeypatch):
    from XRayTo3DSlicer import dependencies

    monkeypatch.setattr(dependencies, "ALL", ("no-such-package>=1",))
    user.pipWorks = False
    fake_logic.calls.clear()
    two_views.reconstruct.ui.applyButton.click()
    assert fake_logic.calls == [] and user.installed == [["no-such-package>=1"]]
    assert user.errors == ["Package installation failed."] and "could not be installed" in status(two_views)


def test_only_what_needs_packages_asks_for_them(two_views, fake_logic, user, monkeypatch, tmp_path):
    """Showing, loading, segmenting and deleting work without PyTorch, so nobody is asked for it."""
    from XRayTo3DSlicer import dependencies

    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    monkeypatch.setattr(dependencies, "ALL", ("no-such-package>=1",))
    user.answer = False
    user.file = str(tmp_path / "front.png")
    two_views.parameters.reconstructionNode = fake_logic.node("R", "vtkMRMLScalarVolumeNode", Type="Reconstruction")
    two_views.parameters.segmentationNode = fake_logic.node("S", "vtkMRMLSegmentationNode")
    fake_logic.calls.clear()
    inputs, results = two_views.inputs.ui, two_views.results.ui
    for button in (inputs.showButton, inputs.firstLoadButton, results.segmentButton, results.surfacesButton):
        button.click()
    names = [name for name, *_ in fake_logic.calls]
    assert set(names) == {"showProjection", "loadRadiograph", "segment", "extractSurfaces"}
    inputs.deleteSampleButton.click()
    assert user.questions == [] and user.errors == []
    for button in (inputs.renderButton, two_views.reconstruct.ui.applyButton, two_views.reconstruct.ui.refreshModelsButton):
        button.click()
    assert len(user.questions) == 3 and fake_logic.calls[-1][0] == "extractSurfaces"


@pytest.mark.parametrize("answer", [True, False])
def test_a_model_from_elsewhere_is_warned_of_and_asked_about(two_views, fake_logic, user, answer):
    ui = two_views.reconstruct.ui
    assert ui.foreignLabel.isHidden()
    user.file, user.answer = "/models/mine.pt", answer
    ui.openModelButton.click()
    assert ui.modelComboBox.currentText() == "mine.pt" and not ui.foreignLabel.isHidden()
    assert "runs its code" in ui.foreignLabel.text()
    ui.applyButton.click()
    assert fake_logic.calls[-1][1][1] == "/models/mine.pt" and fake_logic.trusted is answer
    assert "/models/mine.pt" in user.questions[0] and "ab12" * 16 in user.questions[0]
    ui.modelComboBox.setCurrentIndex(0)
    assert two_views.parameters.model == "" and ui.foreignLabel.isHidden()


def test_models_are_listed_on_demand(two_views, fake_logic):
    def model(name, bundled, task="volume"):
        return SimpleNamespace(name=name, path=Path(f"/m/{name}.pt"), bundled=bundled, card={"version": "1.0", "task": task})

    ui = two_views.reconstruct.ui
    from XRayTo3DSlicer.panels.reconstruct import DEFAULT_MODEL

    from XRayTo3DLib.models import zoo

    assert DEFAULT_MODEL == zoo.DEFAULT_MODEL
    bundled, same = model(DEFAULT_MODEL, True), model(DEFAULT_MODEL, False)
    fake_logic.found = [bundled, model("mine", False), model("other", True), model("marks", True, "landmarks"), same]
    same.path = Path("/elsewhere/x.pt")
    ui.refreshModelsButton.click()
    offered = [ui.modelComboBox.itemText(i) for i in range(ui.modelComboBox.count())]
    assert offered == [
        "Bundled model (default)",
        "mine 1.0 (from elsewhere)",
        "other 1.0 (bundled)",
        f"{DEFAULT_MODEL} 1.0 (from elsewhere)",
    ], "the bundled one once"
    ui.modelComboBox.setCurrentIndex(2)
    assert two_views.parameters.model == "/m/other.pt" and ui.foreignLabel.isHidden()
    ui.modelComboBox.setCurrentIndex(1)
    assert two_views.parameters.model == "/m/mine.pt" and not ui.foreignLabel.isHidden()


def test_segment_surfaces_and_comparison(two_views, fake_logic, bare_ct):
    ui = two_views.results.ui
    two_views.reconstruct.ui.applyButton.click()
    ui.segmentButton.click()
    assert ui.segmentationSelector.currentNode().GetName() == "Segmentation"
    ui.surfacesButton.click()
    assert fake_logic.calls[-1][1][0].GetName() == "Segmentation"
    assert status(two_views) == "2 surfaces were added as models."
    ui.compareSelector.setCurrentNode(bare_ct)
    ui.compareButton.click()
    assert rows(ui.compareTable) == [
        ["PSNR, peak 2500 HU", "26.12", "dB"],
        ["SSIM", "0.822", ""],
        ["Mean error in the body", "72", "HU"],
        ["bone: Dice", "0.812", ""],
        ["bone: HD95", "not defined", "mm"],
        ["bone: volume", "1234", "mL"],
        ["bone: volume in the CT", "1300", "mL"],
    ]
    ui.reconstructionSelector.setCurrentNode(None)
    assert ui.compareTable.rowCount() == 0, "figures of another volume must not stay"
