"""The section Reconstruct: the model, the fusion, and the button that starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.progress import Progress
from XRayTo3DSlicer import dependencies
from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.panels import trust
from XRayTo3DSlicer.panels.section import Section, whenBound

#: The name of the bundled model that is taken when none is chosen; the library's own constant needs PyTorch to be read.
DEFAULT_MODEL = "biplanar"


class ReconstructSection(Section):
    uiName = "XRayTo3DReconstruct"

    def __init__(self, logic: Any, work: Any) -> None:
        super().__init__(logic, work)
        self._models: dict[str, Any] = {}
        self._fillingModels = False
        self._fillModels()
        self.ui.modelComboBox.currentIndexChanged.connect(self.onModelChosen)
        self.ui.refreshModelsButton.clicked.connect(self.onRefreshModels)
        self.ui.openModelButton.clicked.connect(self.onOpenModel)
        self.ui.applyButton.clicked.connect(self.onApply)

    def update(self) -> None:
        if self.parameters is None:
            return
        self.ui.betaSliderWidget.enabled = self.parameters.fuse
        self._showModel()
        problem = state.reconstructionProblem(self.parameters)
        self.enable("applyButton", problem)
        self.ui.problemLabel.text = problem
        self.ui.problemLabel.visible = bool(problem)

    # The model

    @whenBound
    def onRefreshModels(self) -> None:
        """List the models in the search path. They are not listed at the start, because that needs PyTorch."""
        found = self.work.run(_("Looking for models"), lambda progress: self.logic.models(), dependencies.ALL)
        if found is not None:
            self._models = {str(model.path): model for model in found if model.card.get("task") == "volume"}
            self._fillModels()
            self.work.say(_("{count} reconstruction models found.").format(count=len(self._models)))

    @whenBound
    def onOpenModel(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Open a model"), "", _("TorchScript models (*.pt)"))
        if path and self.parameters is not None:
            self.parameters.model = path

    def onModelChosen(self) -> None:
        if not self._fillingModels and self.parameters is not None:
            self.parameters.model = self.ui.modelComboBox.itemData(self.ui.modelComboBox.currentIndex) or ""

    def _fillModels(self) -> None:
        selector = self.ui.modelComboBox
        self._fillingModels = True
        try:
            selector.clear()
            selector.addItem(_("Bundled model (default)"), "")
            for path, model in self._models.items():
                if model.bundled and model.name == DEFAULT_MODEL:  # it stands first already
                    continue
                version = model.card.get("version", "")
                origin = _("bundled") if model.bundled else _("from elsewhere")
                selector.addItem(f"{model.name} {version} ({origin})", path)
        finally:
            self._fillingModels = False
        self._showModel()

    def _showModel(self) -> None:
        """Select the parameter's model, and warn of one that did not come with this software."""
        path = "" if self.parameters is None else self.parameters.model
        selector = self.ui.modelComboBox
        self._fillingModels = True
        try:
            index = selector.findData(path)
            if index < 0:
                selector.addItem(Path(path).name, path)
                index = selector.findData(path)
            selector.currentIndex = index
        finally:
            self._fillingModels = False
        selector.toolTip = path or _("The model that comes with XRay to 3D")
        model = self._models.get(path)
        self.ui.foreignLabel.visible = bool(path) and not (model is not None and model.bundled)

    # The work

    @whenBound
    def onApply(self) -> None:
        parameters = self.parameters
        problem = state.reconstructionProblem(parameters)
        if problem:
            self.work.say(problem)
            return

        def reconstruct(progress: Progress) -> Any:
            return self.logic.reconstruct(
                state.radiographs(parameters),
                parameters.model or None,
                fuse=parameters.fuse,
                beta=parameters.beta,
                checkViews=parameters.checkViews,
                ask=trust.ask,
                progress=progress,
            )

        result = self.work.run(_("Reconstructing"), reconstruct, dependencies.ALL)
        if result is not None and self.parameters is not None:
            self.parameters.reconstructionNode = result.volumeNode
            self.work.say(
                _("Reconstructed in {seconds:.0f} s with the model {model}.").format(seconds=result.seconds, model=result.modelName)
            )
            slicer.util.setSliceViewerLayers(background=result.volumeNode, fit=True, rotateToVolumePlane=True)
