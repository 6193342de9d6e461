"""The whole panel: its sections in order, bound to one parameter node."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from XRayTo3DSlicer.panels.geometry import GeometrySection
from XRayTo3DSlicer.panels.inputs import InputsSection
from XRayTo3DSlicer.panels.landmarks import LandmarksSection
from XRayTo3DSlicer.panels.organs import OrgansSection
from XRayTo3DSlicer.panels.protocol import PanelLogic
from XRayTo3DSlicer.panels.reconstruct import ReconstructSection
from XRayTo3DSlicer.panels.results import ResultsSection
from XRayTo3DSlicer.panels.work import Work


class Panel:
    """The sections as ``widgets``, to be laid out one below the other; ``logic`` computes what they start."""

    def __init__(self, logic: PanelLogic) -> None:
        self.work = Work()
        self.inputs = InputsSection(logic, self.work)
        self.geometry = GeometrySection(logic, self.work)
        self.reconstruct = ReconstructSection(logic, self.work)
        self.results = ResultsSection(logic, self.work)
        self.organs = OrgansSection(logic, self.work)
        self.landmarks = LandmarksSection(logic, self.work)
        self.sections = (self.inputs, self.geometry, self.reconstruct, self.results, self.organs, self.landmarks)
        #: From top to bottom.
        self.widgets = [part.widget for part in (*self.sections[:3], self.work, *self.sections[3:])]
        self.parameters: Any = None
        self._observer: int | None = None
        self.work.busyChanged.connect(self._onBusyChanged)

    def setScene(self, scene: Any) -> None:
        """Give the scene to the node selectors; each .ui file passes it on to its own."""
        for section in self.sections:
            section.widget.setMRMLScene(scene)

    def setParameters(self, parameters: Any) -> None:
        """Bind the panel to a parameter node; with ``None``, as when the scene closes, unbind it and stop what runs."""
        if self._observer is not None:
            self.parameters.RemoveObserver(self._observer)
            self._observer = None
        if parameters is None and self.work.busy:
            self.work.cancel()
        self.parameters = parameters
        for section in self.sections:
            section.setParameters(parameters)
        if parameters is not None:
            self._observer = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onParametersModified)

    def useFirstVolume(self) -> None:
        """Take the first volume of the scene that is not of this extension as the CT, where none is chosen."""
        from XRayTo3DSlicer.nodes import provenance

        if self.parameters is None or self.parameters.ctNode is not None:
            return
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if provenance.read(node, "Type") is None and not node.IsA("vtkMRMLLabelMapVolumeNode"):
                self.parameters.ctNode = node
                return

    def _onParametersModified(self, caller: Any, event: Any) -> None:
        for section in self.sections:
            section.update()

    def _onBusyChanged(self, busy: bool) -> None:
        for section in self.sections:
            section.lock()
