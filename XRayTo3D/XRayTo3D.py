"""XRay to 3D: what 3D Slicer loads. The panel is in XRayTo3DSlicer/panels, the work in XRayTo3DSlicer/logic.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Installed, the library stands beside this file. In a checkout whose module folder was added to Slicer it is one above.
_ROOT = Path(__file__).resolve().parent
if not (_ROOT / "XRayTo3DLib").is_dir() and str(_ROOT.parent) not in sys.path:
    sys.path.append(str(_ROOT.parent))

from XRayTo3DSlicer.logic import Logic  # noqa: E402


class XRayTo3D(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.parent.title = _("XRay to 3D")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Tomographic Reconstruction")]
        self.parent.dependencies = []
        self.parent.contributors = ["XRayTo3D contributors"]
        self.parent.helpText = _(
            "Simulates X-rays (DRRs) from a CT, reconstructs a volume in HU from one or two X-rays, and corrects it "
            "until it re-projects to them. Results are ordinary volumes, segmentations and models. Two X-rays do not "
            "determine a volume: what they leave open comes from a model. For research, not for diagnosis. "
            'See the <a href="{url}">documentation</a>.'
        ).format(url="https://github.com/XRayTo3D/SlicerXRayTo3D")
        self.parent.acknowledgementText = _(
            "The methods follow published work, which the documentation names, among it on 3D reconstruction from "
            "topograms and on parametrized X-rays, whose authors state that these features are research and not "
            "commercially available."
        )
        slicer.app.connect("startupCompleted()", self._registerSampleData)

    def _registerSampleData(self) -> None:
        from XRayTo3DSlicer import sample_data

        sample_data.register(str(_ROOT / "Resources" / "Icons" / "XRayTo3D.png"))


class XRayTo3DWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Ties the panel to the application: to its scene, to entering and leaving the module, and to reloading it."""

    # Of the class, because without a parent the widget is set up while it is being made, and a setup may fail.
    logic: Any = None
    panel: Any = None

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        from XRayTo3DSlicer.panels.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = XRayTo3DLogic()
        self.panel = Panel(self.logic)
        for widget in self.panel.widgets:
            self.layout.addWidget(widget)
        self.layout.addItem(qt.QSpacerItem(0, 0, qt.QSizePolicy.Minimum, qt.QSizePolicy.Expanding))
        self.panel.setScene(slicer.mrmlScene)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.panel.work.busyChanged.connect(self.onBusyChanged)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Before the application ends, or the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.setParameters(None)

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        # A running operation goes on to its end, and needs the parameters.
        if self.panel is not None and not self.panel.work.busy:
            self.panel.setParameters(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        if self.panel is not None:
            self.panel.setParameters(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        if self._entered():
            self.initializeParameterNode()

    def onSceneStartImport(self, caller: Any, event: Any) -> None:
        """A file overwrites the parameter node, perhaps with what cannot be read here: nobody may listen meanwhile."""
        if self.panel is not None and not self.panel.work.busy:
            self.panel.setParameters(None)

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """The wrapper has read the references before their nodes were there: only binding again finds them."""
        if self._entered():
            self.initializeParameterNode()

    def onBusyChanged(self, busy: bool) -> None:
        """After an operation during which the scene was closed, or the user left the module."""
        if busy:
            return
        if not self._entered():
            self.panel.setParameters(None)
        elif self.panel.parameters is None:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Bind the panel to the parameter node of the scene, which is made when there is none."""
        if self.panel is not None and not self.panel.work.busy:
            self.panel.setParameters(None)
            self.panel.setParameters(self.logic.getParameterNode())
            self.panel.useFirstVolume()

    def _entered(self) -> bool:
        """Whether the user is in the module; a widget that made its own parent is always shown."""
        return bool(getattr(self.parent, "isEntered", True))

    def onReload(self) -> None:
        """Reload the packages as well as this file, for developers."""
        for name in [n for n in sys.modules if n.split(".")[0] in ("XRayTo3DSlicer", "XRayTo3DLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class XRayTo3DLogic(ScriptedLoadableModuleLogic, Logic):
    """The operations for the Python console, see :class:`XRayTo3DSlicer.logic.Logic`, and the panel's parameters."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> Any:
        from XRayTo3DSlicer import parameters

        return parameters.bind(super().getParameterNode())


class XRayTo3DTest(ScriptedLoadableModuleTest):
    """Runs in the application; what needs no application is tested in Testing/Python."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_panelFollowsTheScene()

    def test_panelFollowsTheScene(self) -> None:
        """The panel takes a volume as CT, offers to render it, and survives the closing of the scene."""
        from XRayTo3DSlicer.panels.panel import Panel

        logic = XRayTo3DLogic()
        panel = Panel(logic)
        panel.setScene(slicer.mrmlScene)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        panel.setParameters(logic.getParameterNode())
        panel.useFirstVolume()
        self.assertEqual(panel.inputs.ui.ctSelector.currentNode(), node)
        self.assertTrue(panel.inputs.ui.renderButton.enabled)
        self.assertFalse(panel.reconstruct.ui.applyButton.enabled)
        panel.setParameters(None)
        slicer.mrmlScene.Clear()
        panel.setParameters(logic.getParameterNode())
        self.assertFalse(panel.inputs.ui.renderButton.enabled)
        panel.setParameters(None)
