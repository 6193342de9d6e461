"""The section Organs: an organ of the chosen X-rays, with or without an outline that the user has drawn."""

from __future__ import annotations

import json
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.shapes.organs import ORGANS
from XRayTo3DSlicer import dependencies
from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.nodes import provenance
from XRayTo3DSlicer.panels import segment_editor, tables, trust
from XRayTo3DSlicer.panels.section import Section, whenBound


class OrgansSection(Section):
    uiName = "XRayTo3DOrgans"

    def __init__(self, logic: Any, work: Any) -> None:
        super().__init__(logic, work)
        self._filling = False
        for name in ORGANS:
            self.ui.organComboBox.addItem(name.replace("_", " "), name)
        tables.prepare(self.ui.organTable, [_("Organ"), _("mL"), _("90 % from"), _("to")])
        self.ui.organComboBox.currentIndexChanged.connect(self.onOrganChosen)
        self.ui.organModelComboBox.currentIndexChanged.connect(self.onModelChosen)
        self.ui.openOrganModelButton.clicked.connect(self.onOpenModel)
        self.ui.drawButton.clicked.connect(self.onDraw)
        self.ui.findButton.clicked.connect(self.onFind)
        self._showModel()
        self._showOrgans()

    def update(self) -> None:
        if self.parameters is None:
            return
        self._filling = True
        self.ui.organComboBox.currentIndex = max(0, self.ui.organComboBox.findData(self.parameters.organ))
        self._filling = False
        self._showModel()
        problem = state.organProblem(self.parameters)
        self.enable("findButton", problem)
        self.enable("drawButton", problem)
        self.ui.organProblemLabel.text = problem
        self.ui.organProblemLabel.visible = bool(problem)
        self._showOrgans()

    def onOrganChosen(self, *ignored: Any) -> None:
        if not self._filling and self.parameters is not None:
            self.parameters.organ = self.ui.organComboBox.itemData(self.ui.organComboBox.currentIndex)

    def onModelChosen(self, *ignored: Any) -> None:
        if not self._filling and self.parameters is not None:
            self.parameters.organModel = self.ui.organModelComboBox.itemData(self.ui.organModelComboBox.currentIndex) or ""

    @whenBound
    def onOpenModel(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Open a model"), "", _("TorchScript models (*.pt)"))
        if path and self.parameters is not None:
            self.parameters.organModel = path

    @whenBound
    def onDraw(self) -> None:
        """An outline on the first X-ray, which is opened in the Segment Editor."""
        xray, organ = state.radiographs(self.parameters)[0], self.parameters.organ
        node = self.work.run(_("Preparing the outline"), lambda progress: self.logic.drawOutline(xray, organ))
        if node is not None and self.parameters is not None:
            self.parameters.outlineNode = node
            segment_editor.edit(node, xray)

    @whenBound
    def onFind(self) -> None:
        parameters = self.parameters
        problem = state.organProblem(parameters)
        if problem:
            self.work.say(problem)
            return
        xrays, organ, outline, model = (
            state.radiographs(parameters),
            parameters.organ,
            parameters.outlineNode,
            parameters.organModel or None,
        )
        found = self.work.run(
            _("Finding the organ"),
            lambda progress: self.logic.organShape(xrays, organ, outline, model, ask=trust.ask, progress=progress),
            dependencies.ALL,
        )
        if found is not None:
            slicer.util.setSliceViewerLayers(background=xrays[0], fit=True, rotateToVolumePlane=True)
            slicer.util.resetThreeDViews()
            self._showOrgans()

    def _showModel(self) -> None:
        """The default, and the file that the parameters name."""
        path = "" if self.parameters is None else self.parameters.organModel
        selector = self.ui.organModelComboBox
        self._filling = True
        try:
            if selector.findData("") < 0:
                selector.addItem(_("Best for the organ (default)"), "")
            if selector.findData(path) < 0:
                selector.addItem(path.replace("\\", "/").rpartition("/")[2], path)
            selector.currentIndex = selector.findData(path)
        finally:
            self._filling = False

    def _showOrgans(self) -> None:
        """The organs of the scene with their volumes, and what is to be said of the newest."""
        rows, notes = [], []
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if provenance.read(node, "Type") == provenance.ORGAN:
                volume, interval, notes = (_decoded(node, key) for key in ("VolumeML", "IntervalML", "Notes"))
                ends = interval if isinstance(interval, list) and len(interval) == 2 else [None, None]
                rows.append((provenance.read(node, "Organ") or "?", *(_millilitres(value) for value in (volume, *ends))))
        tables.fill(self.ui.organTable, rows)
        self.ui.organTable.visible = bool(rows)
        told = [str(note) for note in notes] if isinstance(notes, list) else []
        self.ui.organNotesLabel.text = "\n".join(told)
        self.ui.organNotesLabel.visible = bool(told)


def _decoded(node: Any, key: str) -> Any:
    """What a node knows; nothing where it is damaged, because looking at a node must not fail."""
    try:
        return json.loads(provenance.read(node, key) or "null")
    except ValueError:
        return None


def _millilitres(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, (int, float)) else ""
