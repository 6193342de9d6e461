"""The section Landmarks: an X-ray that is predicted from the body's surface, and follows its landmarks."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError
from XRayTo3DSlicer import dependencies
from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.nodes import provenance
from XRayTo3DSlicer.panels import tables, trust
from XRayTo3DSlicer.panels.section import Section, whenBound

_NAME, _SHOWN, _LOCKED, _MOVED = range(4)


class LandmarksSection(Section):
    uiName = "XRayTo3DLandmarks"

    def __init__(self, logic: Any, work: Any) -> None:
        super().__init__(logic, work)
        self._filling = False
        self._loop: Any = None
        self._node: Any = None
        self._observers: list[tuple[Any, int]] = []
        self.ui.landmarksSelector.addAttribute("vtkMRMLMarkupsFiducialNode", provenance.PREFIX + "Type", provenance.LANDMARKS)
        self.ui.realSelector.addAttribute("vtkMRMLScalarVolumeNode", provenance.PREFIX + "Type", provenance.RADIOGRAPH)
        tables.prepare(self.ui.landmarksTable, [_("Landmark"), _("Shown"), _("Locked"), _("Moved (mm)")])
        header = self.ui.landmarksTable.horizontalHeader()
        for column in (_SHOWN, _LOCKED, _MOVED):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        self._fill(self.ui.regionComboBox, state.regionTitles(), "head_neck")
        self.ui.regionComboBox.currentIndexChanged.connect(self.onRegionChosen)
        self.ui.regionViewComboBox.currentIndexChanged.connect(self.onViewChosen)
        self.ui.landmarksTable.itemChanged.connect(self._onItemChanged)
        for name in ("generate", "follow", "undo", "reset", "complete", "anomaly", "training"):
            getattr(self.ui, f"{name}Button").clicked.connect(getattr(self, f"on{name.capitalize()}"))

    def setParameters(self, parameters: Any) -> None:
        if parameters is None:
            self._watch(None)
        super().setParameters(parameters)

    def update(self) -> None:
        if self.parameters is None:
            return
        self._fill(self.ui.regionComboBox, state.regionTitles(), self.parameters.region)
        self._fill(
            self.ui.regionViewComboBox,
            [(view, view) for view in state.regionViews(self.parameters.region)],
            self.parameters.regionView,
        )
        self._watch(self.parameters.landmarksNode)
        followed = "" if self._loop is not None and self._loop.attached else _("Generate an X-ray, or choose its landmarks, first.")
        self.enable("generateButton", "" if self.parameters.surfaceNode is not None else _("Choose the surface of the body first."))
        self.enable(
            "followButton", "" if followed and self._node is not None else _("There is nothing that does not follow already.")
        )
        for name in ("undoButton", "resetButton", "trainingButton"):
            self.enable(name, followed)
        real = followed or ("" if self.parameters.realNode is not None else _("Choose a real X-ray first."))
        self.enable("completeButton", real)
        self.enable("anomalyButton", real)
        self._showTable()

    # What is chosen

    def onRegionChosen(self, *ignored: Any) -> None:
        if not self._filling and self.parameters is not None:
            self.parameters.region = self.ui.regionComboBox.itemData(self.ui.regionComboBox.currentIndex)

    def onViewChosen(self, *ignored: Any) -> None:
        if not self._filling and self.parameters is not None:
            self.parameters.regionView = self.ui.regionViewComboBox.itemData(self.ui.regionViewComboBox.currentIndex)

    def _onItemChanged(self, item: Any) -> None:
        """A box of the table was ticked or cleared."""
        if self._filling or self._node is None:
            return
        ticked = item.checkState() == qt.Qt.Checked
        if item.column() == _SHOWN:
            self._node.SetNthControlPointVisibility(item.row(), ticked)
        elif item.column() == _LOCKED:
            self._node.SetNthControlPointLocked(item.row(), ticked)

    # What is pressed

    @whenBound
    def onGenerate(self) -> None:
        parameters = self.parameters
        surface, region, view = parameters.surfaceNode, parameters.region, self._view()
        found = self.work.run(
            _("Predicting the X-ray"),
            lambda progress: self.logic.parametrizedXRay(surface, region, view, ask=trust.ask, progress=progress),
            dependencies.ALL,
        )
        if found is not None and self.parameters is not None:
            self.parameters.landmarksNode = found.pointsNode
            slicer.util.setSliceViewerLayers(background=found.imageNode, fit=True, rotateToVolumePlane=True)
            slicer.util.resetThreeDViews()
            self.update()

    @whenBound
    def onFollow(self) -> None:
        node = self._node
        loop = self.work.run(
            _("Following the landmarks"), lambda progress: self.logic.parametrizedLoop(node, ask=trust.ask), dependencies.ALL
        )
        if loop is not None:
            self._loop = loop
            self.update()

    @whenBound
    def onUndo(self) -> None:
        if not self.work.run(_("Undo"), lambda progress: self._loop.undo()):
            self.work.say(_("There is nothing to undo."))

    @whenBound
    def onReset(self) -> None:
        self.work.run(_("Reset of the landmarks"), lambda progress: self._loop.reset())

    @whenBound
    def onComplete(self) -> None:
        points, real = self._node, self.parameters.realNode
        node = self.work.run(
            _("Completing the X-ray"), lambda progress: self.logic.completeXRay(points, real, progress=progress), dependencies.ALL
        )
        if node is not None:
            slicer.util.setSliceViewerLayers(background=node, fit=True, rotateToVolumePlane=True)

    @whenBound
    def onAnomaly(self) -> None:
        points, real, share = self._node, self.parameters.realNode, self.parameters.anomalyThreshold / 100
        found = self.work.run(
            _("Looking for anomalies"),
            lambda progress: self.logic.findAnomaly(points, real, share, progress=progress),
            dependencies.ALL,
        )
        if found is not None:
            self.work.say(_("Anomaly score {score:.3g} cm².").format(score=found.score))
            slicer.util.setSliceViewerLayers(background=real, fit=True, rotateToVolumePlane=True)

    @whenBound
    def onTraining(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("An empty folder for the X-rays"))
        if not folder or self.parameters is None:
            return
        points, count = self._node, self.parameters.trainingCount
        files = self.work.run(
            _("Writing training data"),
            lambda progress: self.logic.trainingXRays(points, folder, count, progress=progress),
            dependencies.ALL,
        )
        if files:
            self.work.say(
                _("{count} X-rays and landmarks.csv were written to {folder}.").format(count=len(files) - 1, folder=folder)
            )

    # The landmarks

    def _watch(self, node: Any) -> None:
        """Follow another point list, and nothing of the one before."""
        if node is self._node and (node is None or (self._loop is not None and self._loop.attached)):
            return
        if node is not self._node:
            for watched, tag in self._observers:
                watched.RemoveObserver(tag)
            self._node, self._observers = node, []
            if node is not None:
                self._observers = [(node, node.AddObserver(node.PointModifiedEvent, self._onPointModified))]
            self._loop = None
            # What was saved goes on by itself where nothing has to be installed or asked for that.
            if node is not None and not dependencies.missing():
                self._resume(node)

    def _resume(self, node: Any) -> None:
        try:
            self._loop = self.logic.parametrizedLoop(node, ask=lambda model: False)
        except InputError as error:
            self.work.say(str(error))

    def _onPointModified(self, caller: Any, event: Any) -> None:
        if self.parameters is not None:
            self._showTable()

    def _view(self) -> str | None:
        return self.ui.regionViewComboBox.itemData(self.ui.regionViewComboBox.currentIndex) or None

    def _fill(self, selector: Any, choices: list[tuple[str, str]], chosen: str) -> None:
        """The choices (what is shown, value) of a selector, and the value that is chosen."""
        self._filling = True
        try:
            if [selector.itemData(index) for index in range(selector.count)] != [value for _shown, value in choices]:
                selector.clear()
                for shown, value in choices:
                    selector.addItem(shown, value)
            selector.currentIndex = max(0, selector.findData(chosen))
        finally:
            self._filling = False

    def _showTable(self) -> None:
        """A row a landmark; only what has changed is written, because this runs while the mouse moves."""
        table, node = self.ui.landmarksTable, self._node
        count = 0 if node is None else node.GetNumberOfControlPoints()
        moved = {} if self._loop is None else self._loop.moved_mm()
        self._filling = True
        try:
            if table.rowCount != count:
                table.rowCount = count
                for row in range(count):
                    for column in range(4):
                        item = qt.QTableWidgetItem("")
                        boxed = column in (_SHOWN, _LOCKED)
                        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable if boxed else qt.Qt.ItemIsEnabled)
                        table.setItem(row, column, item)
                tables.fit(table)
            for row in range(count):
                name = node.GetNthControlPointLabel(row)
                _write(table.item(row, _NAME), name, node.GetNthControlPointDescription(row))
                _write(table.item(row, _MOVED), f"{moved[name]:.1f}" if name in moved else _("absent") if moved else "")
                _tick(table.item(row, _SHOWN), node.GetNthControlPointVisibility(row))
                _tick(table.item(row, _LOCKED), node.GetNthControlPointLocked(row))
        finally:
            self._filling = False
        table.visible = count > 0
        self.ui.loopLabel.text = self._told(moved)
        self.ui.loopLabel.visible = bool(self.ui.loopLabel.text)

    def _told(self, moved: dict[str, float]) -> str:
        if self._loop is None:
            return _("Press Follow to let the X-ray follow these landmarks.") if self._node is not None else ""
        current = self._loop.state
        settled = _("at rest after {rounds} rounds") if current.converged else _("moving, round {rounds}")
        return " ".join([settled.format(rounds=current.rounds).capitalize() + ".", *current.surface.notes])


def _write(item: Any, text: str, tip: str = "") -> None:
    if item.text() != text:
        item.setText(text)
    if tip and item.toolTip() != tip:
        item.setToolTip(tip)


def _tick(item: Any, ticked: bool) -> None:
    wanted = qt.Qt.Checked if ticked else qt.Qt.Unchecked
    if item.data(qt.Qt.CheckStateRole) is None or item.checkState() != wanted:
        item.setCheckState(wanted)
