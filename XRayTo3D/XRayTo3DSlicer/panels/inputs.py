"""The section Inputs: a CT to simulate X-rays from, and the one or two X-rays to reconstruct from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Progress
from XRayTo3DSlicer import dependencies, sample_data
from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.nodes import provenance
from XRayTo3DSlicer.panels.section import Section, whenBound

_FILES = "(*.dcm *.dic *.nrrd *.nii *.nii.gz *.mha *.mhd *.png *.jpg *.jpeg *.tif *.tiff *)"


class InputsSection(Section):
    uiName = "XRayTo3DInputs"

    def __init__(self, logic: Any, work: Any) -> None:
        super().__init__(logic, work)
        for selector in (self.ui.firstSelector, self.ui.secondSelector):
            selector.addAttribute("vtkMRMLScalarVolumeNode", provenance.PREFIX + "Type", provenance.RADIOGRAPH)
        self.ui.sampleButton.clicked.connect(self.onLoadSample)
        self.ui.deleteSampleButton.clicked.connect(self.onDeleteSample)
        self.ui.renderButton.clicked.connect(self.onRender)
        self.ui.firstLoadButton.clicked.connect(self.onLoadFirst)
        self.ui.secondLoadButton.clicked.connect(self.onLoadSecond)
        self.ui.showButton.clicked.connect(self.onShow)

    def update(self) -> None:
        if self.parameters is None:
            return
        second = self.parameters.useSecond
        for control in ("secondViewComboBox", "secondTurnSpinBox", "secondSelector", "secondLoadButton"):
            getattr(self.ui, control).enabled = second
        self.enable("renderButton", state.renderProblem(self.parameters))
        self.enable("showButton", "" if state.radiographs(self.parameters) else _("Choose an X-ray first."))

    @whenBound
    def onLoadSample(self) -> None:
        node = self.work.run(_("Loading the sample CT"), sample_data.load)
        if node is not None and self.parameters is not None:
            self.parameters.ctNode = node
            self.work.say(node.GetDescription())
            slicer.util.setSliceViewerLayers(background=node, fit=True, rotateToVolumePlane=True)

    @whenBound
    def onDeleteSample(self) -> None:
        said = self.work.run(_("Deleting the downloaded sample CT"), lambda progress: sample_data.delete())
        if said:
            self.work.say(said)

    @whenBound
    def onRender(self) -> None:
        """Render the views that are switched on; they become the X-rays to reconstruct from."""
        parameters = self.parameters
        problem = state.renderProblem(parameters)
        if problem:
            self.work.say(problem)
            return
        words, size, geometry = state.views(parameters), state.detectorSize(parameters), state.geometry(parameters)
        ct = parameters.ctNode

        def render(progress: Progress) -> list[Any]:
            # One call for all views, so that there are either all of them or none.
            return self.logic.renderDRR(ct, words, size=size, progress=progress, **geometry)

        done = self.work.run(_("Rendering the X-rays"), render, dependencies.ALL)
        if done is not None and self.parameters is not None:
            self.parameters.firstNode = done[0]
            if len(done) > 1:
                self.parameters.secondNode = done[1]

    @whenBound
    def onLoadFirst(self) -> None:
        node = self._load(state.viewWord(self.parameters.firstView, self.parameters.firstTurn))
        if node is not None and self.parameters is not None:
            self.parameters.firstNode = node

    @whenBound
    def onLoadSecond(self) -> None:
        node = self._load(state.viewWord(self.parameters.secondView, self.parameters.secondTurn))
        if node is not None and self.parameters is not None:
            self.parameters.secondNode = node

    def _load(self, word: str) -> Any:
        problem = state.geometryProblem(self.parameters)
        if problem:
            self.work.say(problem)
            return None
        title = _("Open the {view} X-ray").format(view=word)
        path = qt.QFileDialog.getOpenFileName(self.widget, title, "", _("X-ray images {files}").format(files=_FILES))
        if not path:
            return None
        given = {"view": word, **state.fileGeometry(self.parameters)}
        attempts = [{}, {"view": word}] if _isDicom(path) else [{}]
        attempts = [*attempts, given] if self.parameters.fileGeometry else [given]
        node = self.work.run(_("Loading the {view} X-ray").format(view=word), lambda progress: self._loadWith(path, attempts))
        if node is not None:
            self.work.say(_("{name}: view {view}.").format(name=node.GetName(), view=provenance.read(node, "View")))
        return node

    def _loadWith(self, path: str, attempts: list[dict[str, Any]]) -> Any:
        """Load a file, told no more than it needs: first nothing, so that it says everything itself."""
        for given in attempts[:-1]:
            with contextlib.suppress(InputError):
                return self.logic.loadRadiograph(path, ask=_confirm, **given)
        return self.logic.loadRadiograph(path, ask=_confirm, **attempts[-1])

    @whenBound
    def onShow(self) -> None:
        chosen = state.radiographs(self.parameters)
        shown = self.work.run(
            _("Showing the X-rays in 3D"),
            lambda progress: [self.logic.showProjection(radiograph) for radiograph in chosen],
        )
        if shown is not None:
            slicer.util.resetThreeDViews()


def _confirm(question: str) -> bool:
    return bool(slicer.util.confirmYesNoDisplay(question, _("XRay to 3D: size of the detector")))


def _isDicom(path: str) -> bool:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(132)[128:] == b"DICM"
    return False
