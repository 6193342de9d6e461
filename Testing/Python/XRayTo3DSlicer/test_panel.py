"""The panel on the harness: real .ui files, a real scene, clicks on the controls, and a logic that notes its calls."""

from __future__ import annotations

import inspect
import json
import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing"))

import Harness  # noqa: E402

from XRayTo3DLib.errors import InputError  # noqa: E402
from XRayTo3DLib.progress import silent  # noqa: E402

UI = sorted((ROOT / "XRayTo3D" / "Resources" / "UI").glob("*.ui"))


@pytest.fixture(scope="module")
def started():
    with Harness.application() as user:
        yield user


@pytest.fixture
def user(started, scene):
    """The user of an application with an empty scene, who agrees to everything."""
    started.errors.clear()
    started.questions.clear()
    started.shown.clear()
    started.answer, started.file = True, ""
    return started


class FakeLogic:
    """Notes its calls, and makes nodes as the real one does. ``step`` is called at each step of the progress."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.step = lambda: None
        self.found = []
        self.trusted = None

    def node(self, name, kind, **attributes):
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        for key, value in attributes.items():
            node.SetAttribute(f"XRayTo3D.{key}", value if isinstance(value, str) else json.dumps(value))
        return node

    def note(self, name, *arguments, progress=silent, **keywords):
        self.calls.append((name, arguments, keywords))
        for fraction in (0.3, 0.6):
            progress(fraction, f"{name} {fraction}")
            self.step()
        if self.error is not None:
            raise self.error

    def radiograph(self, view):
        return self.node(f"X-ray {view}", "vtkMRMLScalarVolumeNode", Type="Radiograph", View=view)

    def renderDRR(self, ct, view="AP", *, progress=silent, **geometry):
        self.note("renderDRR", ct, view, progress=progress, **geometry)
        return self.radiograph(view)

    def loadRadiograph(self, path, view=None, **geometry):
        self.note("loadRadiograph", path, view, **geometry)
        return self.radiograph(view or "PA")

    def showProjection(self, radiograph):
        self.note("showProjection", radiograph)

    def reconstruct(self, radiographs, model=None, *, ask=None, progress=silent, **options):
        self.note("reconstruct", list(radiographs), model, progress=progress, **options)
        if model is not None:
            file = SimpleNamespace(name="mine", path=model, sha256="ab12" * 16, bundled=False, card={})
            self.trusted = ask(file)
        views = [node.GetAttribute("XRayTo3D.View") for node in radiographs]
        volume = self.node(
            "Reconstruction",
            "vtkMRMLScalarVolumeNode",
            Type="Reconstruction",
            Views=views,
            Errors=[0.0005 * (i + 1) for i in range(len(views))],
            ErrorsBefore=[0.125 * (i + 1) for i in range(len(views))],
            Notes=["AP: the scale was fitted."],
        )
        return SimpleNamespace(volumeNode=volume, seconds=1.5, modelName="biplanar")

    def segment(self, volume):
        self.note("segment", volume)
        return self.node("Segmentation", "vtkMRMLSegmentationNode")

    def extractSurfaces(self, segmentation):
        self.note("extractSurfaces", segmentation)
        return [self.node(name, "vtkMRMLModelNode") for name in ("body", "bone")]

    def compare(self, reconstruction, ct):
        self.note("compare", reconstruction, ct)
        bone = {"dice": 0.812, "hd95_mm": float("nan"), "volume_ml": 1234.4, "volume_ml_ct": 1300.0}
        return {"psnr": 26.125, "ssim": 0.8218, "hu_mae_body": 71.6, "structures": {"bone": bone}}

    def models(self):
        self.note("models")
        return self.found


@pytest.fixture
def logic():
    return FakeLogic()


@pytest.fixture
def panel(user, logic):
    """The panel in the module's widget, as Slicer shows it, with another logic in it."""
    import slicer
    from XRayTo3DSlicer.panels.panel import Panel

    import XRayTo3D

    made = Panel(logic)
    made.setScene(slicer.mrmlScene)
    made.setParameters(XRayTo3D.XRayTo3DLogic().getParameterNode())
    yield made
    made.setParameters(None)
    made.setScene(None)


@pytest.fixture
def ct(user):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")


@pytest.fixture
def two_views(panel, ct):
    """A panel with a CT whose AP and lateral views were rendered."""
    panel.parameters.ctNode = ct
    panel.inputs.ui.renderButton.click()
    return panel


def status(panel):
    return panel.work.ui.statusLabel.text()


def rows(table):
    return [[table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())]


# The .ui files


def test_every_parameter_is_bound_once_and_every_binding_is_a_parameter(user):
    from XRayTo3DSlicer.parameters import PanelParameters

    bound = [
        element.findtext("string")
        for path in UI
        for element in ElementTree.parse(path).iter("property")
        if element.get("name") == "SlicerParameterName"
    ]
    members = {name for name, member in vars(PanelParameters).items() if isinstance(member, property)}
    # The list of models is not known before PyTorch is there, so the panel fills and binds it itself.
    assert sorted(bound) == sorted(members - {"model"})


@pytest.mark.parametrize("path", UI, ids=lambda path: path.stem)
def test_conventions_of_a_ui_file(path):
    tree = ElementTree.parse(path)
    root = tree.getroot().find("widget")
    assert root.get("class") == "qMRMLWidget" and root.get("name") == path.stem
    selectors = {widget.get("name") for widget in root.iter("widget") if widget.get("class") == "qMRMLNodeComboBox"}
    wired = {
        connection.findtext("receiver")
        for connection in tree.iter("connection")
        if connection.findtext("sender") == root.get("name")
        and connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert wired == selectors
    assert not any(element.get("name") == "styleSheet" for element in tree.iter("property")), "custom styling"


@pytest.mark.parametrize("path", UI, ids=lambda path: path.stem)
def test_every_control_has_a_tooltip_and_every_number_a_unit(path):
    operable = (
        "QPushButton",
        "QCheckBox",
        "QComboBox",
        "QSpinBox",
        "QDoubleSpinBox",
        "ctkSliderWidget",
        "qMRMLNodeComboBox",
    )
    for widget in ElementTree.parse(path).iter("widget"):
        kind, name = widget.get("class"), widget.get("name")
        texts = {p.get("name"): p.findtext("string") or "" for p in widget.findall("property")}
        if kind in operable:
            assert len(texts.get("toolTip", "").split()) >= 4, f"{name} needs a tooltip that helps"
        if kind in ("QSpinBox", "QDoubleSpinBox", "ctkSliderWidget"):
            shown = texts.get("suffix", "")
            unit = any(u in shown for u in (" mm", " °", "(pixels)")) or "(no unit)" in texts["toolTip"]
            assert unit, f"{name} does not name its unit"


# Inputs and geometry


def test_an_empty_scene_offers_nothing_and_says_why(panel):
    assert not panel.inputs.ui.renderButton.isEnabled()
    assert panel.inputs.ui.renderButton.toolTip() == "Choose the CT volume to simulate X-rays from."
    assert not panel.reconstruct.ui.applyButton.isEnabled()
    assert panel.reconstruct.ui.problemLabel.text().startswith("Choose the first X-ray")
    for button in ("segmentButton", "surfacesButton", "compareButton"):
        assert not getattr(panel.results.ui, button).isEnabled()
    assert "do not determine a volume" in panel.results.ui.honestyLabel.text()
    assert "not for diagnosis" in panel.results.ui.honestyLabel.text()


def test_rendering_passes_view_and_geometry_and_selects_the_xrays(panel, logic, ct):
    panel.inputs.ui.ctSelector.setCurrentNode(ct)
    assert panel.parameters.ctNode is ct
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
        "parallel": False,
        "size": (300, 200),
    }
    assert logic.calls == [("renderDRR", (ct, "AP+10"), geometry), ("renderDRR", (ct, "LLAT"), geometry)]
    assert panel.inputs.ui.firstSelector.currentNode().GetName() == "X-ray AP+10"
    assert panel.inputs.ui.secondSelector.currentNode().GetName() == "X-ray LLAT"
    assert panel.reconstruct.ui.applyButton.isEnabled()
    assert status(panel) == "Rendering the X-rays: done."


def test_a_parallel_beam_has_no_distances(panel, logic, ct):
    panel.parameters.ctNode = ct
    panel.geometry.ui.beamComboBox.setCurrentIndex(1)
    assert not panel.geometry.ui.sourceToDetectorSpinBox.isEnabled()
    panel.inputs.ui.useSecondCheckBox.click()
    assert not panel.inputs.ui.secondSelector.isEnabled()
    panel.inputs.ui.renderButton.click()
    ((_, (_, view), geometry),) = logic.calls
    assert view == "AP" and geometry["parallel"] and geometry["sourceToIsocentre"] is None and geometry["size"] is None


def test_an_impossible_geometry_is_said_where_it_is_and_nothing_runs(panel, logic, ct):
    panel.parameters.ctNode = ct
    panel.geometry.ui.sourceToIsocentreSpinBox.setValue(1600.0)
    assert not panel.inputs.ui.renderButton.isEnabled()
    sentence = panel.geometry.ui.problemLabel.text()
    assert "1600 mm" in sentence and "1500 mm" in sentence
    assert panel.inputs.ui.renderButton.toolTip() == sentence
    panel.geometry.ui.sourceToIsocentreSpinBox.setValue(1200.0)
    assert panel.inputs.ui.renderButton.isEnabled() and panel.inputs.ui.renderButton.toolTip().startswith("Simulate")
    assert logic.calls == []


def test_views_along_the_same_line_are_refused(panel, ct):
    panel.parameters.ctNode = ct
    panel.inputs.ui.secondViewComboBox.setCurrentIndex(1)
    assert "The two views look along the same line" in panel.inputs.ui.renderButton.toolTip()


def test_a_failure_at_the_second_view_takes_the_first_away_again(panel, logic, ct, scene):
    panel.parameters.ctNode = ct
    before = scene.GetNumberOfNodes()

    def failAtSecond():
        logic.error = InputError("The CT does not overlap the beam.") if len(logic.calls) == 2 else None

    logic.step = failAtSecond
    panel.inputs.ui.renderButton.click()
    assert len(logic.calls) == 2 and scene.GetNumberOfNodes() == before
    assert panel.parameters.firstNode is None


@pytest.mark.parametrize("prefer", [True, False])
@pytest.mark.parametrize("dicom", [True, False])
def test_a_file_is_told_no_more_than_it_needs(panel, logic, user, tmp_path, dicom, prefer):
    path = tmp_path / "side"
    path.write_bytes(bytes(128) + b"DICM" if dicom else b"\x89PNG")
    user.file = str(path)
    panel.geometry.ui.fileGeometryCheckBox.setChecked(prefer)
    logic.error = InputError("more is needed")
    panel.inputs.ui.secondLoadButton.click()
    told = [(arguments[1], bool(keywords)) for _, arguments, keywords in logic.calls]
    everything = ("LLAT", True)
    if not prefer:
        assert told == [everything]
    elif dicom:
        assert told == [(None, False), ("LLAT", False), everything]
    else:
        assert told == [(None, False), everything]
    assert user.errors == ["more is needed"] and panel.parameters.secondNode is None
    logic.error = None
    panel.inputs.ui.secondLoadButton.click()
    assert panel.parameters.secondNode.GetName() == ("X-ray PA" if prefer else "X-ray LLAT")
    assert status(panel).endswith("view PA." if prefer else "view LLAT.")


def test_no_file_chosen_loads_nothing(panel, logic):
    panel.inputs.ui.firstLoadButton.click()
    assert logic.calls == [] and panel.parameters.firstNode is None


def test_only_radiographs_are_offered_as_xrays(two_views, ct):
    assert two_views.inputs.ui.firstSelector.nodeCount() == 2
    two_views.inputs.ui.firstSelector.setCurrentNode(ct)
    assert two_views.parameters.firstNode is None


def test_xrays_are_shown_in_3d(two_views, logic):
    logic.calls.clear()
    two_views.inputs.ui.showButton.click()
    assert [arguments[0].GetName() for _, arguments, _ in logic.calls] == ["X-ray AP", "X-ray LLAT"]


# Reconstruct and results


def test_reconstruction_shows_its_errors_and_notes(two_views, logic, user):
    logic.calls.clear()
    two_views.reconstruct.ui.betaSliderWidget.putValue(1.5)
    two_views.reconstruct.ui.checkViewsCheckBox.click()
    two_views.reconstruct.ui.applyButton.click()
    name, (chosen, model), options = logic.calls[0]
    assert name == "reconstruct" and model is None
    assert [node.GetName() for node in chosen] == ["X-ray AP", "X-ray LLAT"]
    assert options == {"fuse": True, "beta": 1.5, "checkViews": False}
    assert rows(two_views.results.ui.errorTable) == [["AP", "12.5", "0.05"], ["LLAT", "25", "0.1"]]
    assert two_views.results.ui.notesLabel.text() == "AP: the scale was fitted."
    assert two_views.results.ui.reconstructionSelector.currentNode().GetName() == "Reconstruction"
    assert user.shown[-1].GetName() == "Reconstruction"
    assert status(two_views) == "Reconstructed in 2 s with the model biplanar."


def test_fusion_off_switches_its_exponent_off(two_views, logic):
    two_views.reconstruct.ui.fuseCheckBox.click()
    assert not two_views.reconstruct.ui.betaSliderWidget.isEnabled()
    two_views.reconstruct.ui.applyButton.click()
    assert logic.calls[-1][2]["fuse"] is False


def test_cancel_stops_the_work_and_leaves_the_panel_as_it_was(two_views, logic, user):
    seen = []

    def cancel():
        ui = two_views.work.ui
        seen.append((ui.progressBar.value(), two_views.inputs.widget.isEnabled(), not ui.cancelButton.isHidden()))
        ui.cancelButton.click()

    logic.step = cancel
    logic.calls.clear()
    two_views.reconstruct.ui.applyButton.click()
    assert seen == [(30, False, True)], "stopped at the next step, with the rest of the panel locked and Cancel shown"
    assert status(two_views) == "Reconstructing: cancelled; the scene is as it was."
    assert two_views.parameters.reconstructionNode is None and user.errors == []
    assert two_views.inputs.widget.isEnabled() and two_views.work.ui.cancelButton.isHidden()
    logic.step = lambda: None
    two_views.reconstruct.ui.applyButton.click()
    assert two_views.parameters.reconstructionNode is not None, "the next run is not cancelled"


def test_a_second_start_while_busy_is_ignored(two_views, logic):
    logic.calls.clear()
    logic.step = two_views.reconstruct.onApply
    two_views.reconstruct.ui.applyButton.click()
    assert len(logic.calls) == 1


def test_bad_input_is_one_sentence(two_views, logic, user):
    logic.error = InputError("The views AP and LLAT look exchanged: exchange the two files.")
    two_views.reconstruct.ui.applyButton.click()
    assert user.errors == [str(logic.error)] == [status(two_views)]


def test_an_unexpected_failure_is_shown_and_the_panel_goes_on(two_views, logic, user):
    logic.error = ZeroDivisionError("division by zero")
    two_views.reconstruct.ui.applyButton.click()
    assert user.errors == ["Reconstructing: failed unexpectedly.\n\ndivision by zero"]
    assert status(two_views) == "Reconstructing: failed, see the error log."
    assert two_views.reconstruct.widget.isEnabled()


def test_packages_that_the_user_refuses_stop_everything(two_views, logic, user, monkeypatch):
    from XRayTo3DSlicer import dependencies

    monkeypatch.setattr(dependencies, "PACKAGES", ("no-such-package>=1",))
    user.answer = False
    logic.calls.clear()
    two_views.reconstruct.ui.applyButton.click()
    assert logic.calls == [] and len(user.questions) == 1 and "no-such-package>=1" in user.questions[0]
    assert "nothing was started" in user.errors[0]


@pytest.mark.parametrize("answer", [True, False])
def test_a_model_from_elsewhere_is_warned_of_and_asked_about(two_views, logic, user, answer):
    ui = two_views.reconstruct.ui
    assert ui.foreignLabel.isHidden()
    user.file, user.answer = "/models/mine.pt", answer
    ui.openModelButton.click()
    assert ui.modelComboBox.currentText() == "mine.pt" and not ui.foreignLabel.isHidden()
    assert "runs its code" in ui.foreignLabel.text()
    ui.applyButton.click()
    assert logic.calls[-1][1][1] == "/models/mine.pt" and logic.trusted is answer
    assert "/models/mine.pt" in user.questions[0] and "ab12" * 16 in user.questions[0]
    ui.modelComboBox.setCurrentIndex(0)
    assert two_views.parameters.model == "" and ui.foreignLabel.isHidden()


def test_models_are_listed_on_demand(two_views, logic):
    def model(name, bundled, task="volume"):
        return SimpleNamespace(name=name, path=Path(f"/m/{name}.pt"), bundled=bundled, card={"version": "1.0", "task": task})

    ui = two_views.reconstruct.ui
    logic.found = [model("mine", False), model("other", True), model("marks", True, "landmarks")]
    ui.refreshModelsButton.click()
    offered = [ui.modelComboBox.itemText(i) for i in range(ui.modelComboBox.count())]
    assert offered == ["Bundled model (default)", "mine 1.0 (from elsewhere)", "other 1.0 (bundled)"]
    ui.modelComboBox.setCurrentIndex(2)
    assert two_views.parameters.model == "/m/other.pt" and ui.foreignLabel.isHidden()
    ui.modelComboBox.setCurrentIndex(1)
    assert two_views.parameters.model == "/m/mine.pt" and not ui.foreignLabel.isHidden()


def test_segment_surfaces_and_comparison(two_views, logic, ct):
    ui = two_views.results.ui
    two_views.reconstruct.ui.applyButton.click()
    ui.segmentButton.click()
    assert ui.segmentationSelector.currentNode().GetName() == "Segmentation"
    ui.surfacesButton.click()
    assert logic.calls[-1][1][0].GetName() == "Segmentation"
    assert status(two_views) == "2 surfaces were added as models."
    ui.compareSelector.setCurrentNode(ct)
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


# The module in the application


@pytest.fixture
def widget(user):
    import XRayTo3D

    made = XRayTo3D.XRayTo3DWidget()
    made.setup()
    yield made
    made.cleanup()


def test_the_state_survives_leaving_and_another_panel(widget, ct):
    widget.panel.parameters.ctNode = ct
    widget.panel.geometry.ui.pixelSizeSpinBox.setValue(0.75)
    widget.panel.inputs.ui.firstViewComboBox.setCurrentIndex(4)
    widget.panel.inputs.ui.firstTurnSpinBox.setValue(-20.0)
    widget.exit()
    assert widget.panel.parameters is None
    widget.enter()
    ui = widget.panel.inputs.ui
    assert ui.ctSelector.currentNode() is ct and ui.firstTurnSpinBox.value() == -20.0
    assert ui.firstViewComboBox.currentIndex() == 4
    assert widget.panel.geometry.ui.pixelSizeSpinBox.value() == 0.75


def test_the_first_volume_becomes_the_ct_unless_it_is_a_result(widget, scene, logic):
    widget.exit()
    logic.radiograph("AP")
    widget.enter()
    assert widget.panel.parameters.ctNode is None
    widget.exit()
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Chest")
    widget.enter()
    assert widget.panel.parameters.ctNode is volume


def test_closing_the_scene_empties_the_panel_and_it_goes_on(widget, scene, ct):
    widget.panel.parameters.ctNode = ct
    widget.panel.parameters.pixelSize = 0.75
    scene.Clear(False)
    assert widget.panel.parameters is not None, "the user is in the module, so it is ready again"
    assert widget.panel.parameters.ctNode is None and widget.panel.inputs.ui.ctSelector.currentNode() is None
    assert not widget.panel.inputs.ui.renderButton.isEnabled()
    widget.parent.isEntered = False
    scene.Clear(False)
    assert widget.panel.parameters is None


def test_a_scene_closed_while_work_runs_cancels_it(widget, scene, ct):
    panel, fake = widget.panel, FakeLogic()
    for section in panel.sections:
        section.logic = fake
    panel.parameters.ctNode = ct
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
    from XRayTo3DLib import sample_ct
    from XRayTo3DLib.geometry import Grid
    from XRayTo3DLib.phantom import thorax_phantom

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
    from XRayTo3DSlicer.signal import Signal

    signal, heard = Signal(), []
    signal.connect(heard.append)
    signal.connect(heard.append)
    signal.emit(1)
    signal.disconnect(heard.append)
    signal.disconnect(heard.append)
    signal.emit(2)
    assert heard == [1]


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
    assert pictures[0].width() == WIDTH and pictures[0].height() > 500
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
