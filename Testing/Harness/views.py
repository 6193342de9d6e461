"""Slice and 3D views off-screen, with slicer-core's displayable managers, and a mouse that drags what they show.

What the application's view widgets do: a render window, the displayable managers of the view's node, and an interactor style that
hands events to them. A view lasts as long as its object, and takes its nodes along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtkmodules.vtkRenderingOpenGL2 import vtkEGLRenderWindow

#: Pixels of a view.
_WIDTH, _HEIGHT = 240, 200
_THREE_D = ("Camera", "View", "Model", "Crosshair3D", "Markups")
_SLICE = ("Crosshair", "Markups")


class _View:
    """A window with an interactor and the managers of one view node."""

    def __init__(self, kind: str, managers: Sequence[str], style: Any, node: Any) -> None:
        factory = getattr(slicer, f"vtkMRML{kind}DisplayableManagerFactory").GetInstance()
        for name in managers:
            class_name = f"vtkMRML{name.removesuffix('3D')}DisplayableManager{'3D' if name.endswith('3D') else ''}"
            if not factory.IsDisplayableManagerRegistered(class_name):
                factory.RegisterDisplayableManager(class_name)
        self.node, self.style = node, style
        self.window = vtkEGLRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetSize(_WIDTH, _HEIGHT)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.managers = factory.InstantiateDisplayableManagers(self.renderer)
        style.SetDisplayableManagers(self.managers)
        style.SetInteractor(self.interactor)
        self.managers.SetMRMLDisplayableNode(node)
        self.interactor.Initialize()

    def close(self) -> None:
        """Let go of the scene."""
        self.style.SetInteractor(None)
        self.managers.SetMRMLDisplayableNode(None)
        slicer.mrmlScene.RemoveNode(self.node)
        self.window.Finalize()

    def at(self, position: Sequence[float]) -> np.ndarray:
        """Where a point (RAS mm) is seen, in pixels from the lower left."""
        raise NotImplementedError

    def event(self, name: str, place: np.ndarray) -> None:
        """Let the mouse do something at a place in pixels."""
        self.interactor.SetEventInformation(*(round(float(value)) for value in place[:2]))
        self.interactor.InvokeEvent(name)

    def drag(
        self, position: Sequence[float], way: Sequence[float], moves: int = 4, between: Callable[[], None] = lambda: None
    ) -> None:
        """Take hold of what is at a point (RAS mm), draw it ``way`` pixels along in so many moves, and let go.

        ``between`` is called after each move, as the application's event loop would.
        """
        start = np.round(self.at(position))
        for name in ("EnterEvent", "MouseMoveEvent", "MouseMoveEvent", "LeftButtonPressEvent"):
            self.event(name, start)
        for number in range(1, moves + 1):
            self.event("MouseMoveEvent", start + np.asarray(way) * number / moves)
            between()
        self.event("LeftButtonReleaseEvent", start + np.asarray(way))
        self.event("LeaveEvent", start + np.asarray(way))


class ThreeDView(_View):
    """A 3D view that looks from a position to a point (RAS mm), ``height`` mm high."""

    def __init__(self, position: Sequence[float], focus: Sequence[float], height: float) -> None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLViewNode", "View")
        node.SetLayoutName("1")
        super().__init__("ThreeDView", _THREE_D, slicer.vtkMRMLThreeDViewInteractorStyle(), node)
        camera = self.renderer.GetActiveCamera()
        camera.SetPosition(*position)
        camera.SetFocalPoint(*focus)
        camera.SetViewUp(0, 0, 1)
        camera.ParallelProjectionOn()
        camera.SetParallelScale(height / 2)
        self.renderer.ResetCameraClippingRange()
        self.window.Render()

    def at(self, position: Sequence[float]) -> np.ndarray:
        point = vtk.vtkCoordinate()
        point.SetCoordinateSystemToWorld()
        point.SetValue(*position)
        return np.array(point.GetComputedDoubleDisplayValue(self.renderer))


class SliceView(_View):
    """A slice view on the only slice of a volume, all of which it shows."""

    def __init__(self, volume: Any) -> None:
        scene = slicer.mrmlScene
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(slicer.modules.markups.logic().GetMRMLApplicationLogic())
        self.logic.SetMRMLScene(scene)
        node = self.logic.AddSliceNode("Red")
        node.SetDimensions(_WIDTH, _HEIGHT, 1)
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        node.RotateToVolumePlane(volume)
        self.logic.FitSliceToAll(_WIDTH, _HEIGHT)
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        node.JumpSliceByCentering(*((bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)))
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        style.SetSliceLogic(self.logic)
        super().__init__("SliceView", _SLICE, style, node)
        self.window.Render()

    def close(self) -> None:
        super().close()
        self.logic.SetMRMLScene(None)

    def at(self, position: Sequence[float]) -> np.ndarray:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        return np.array(inverse.MultiplyPoint((*position, 1.0))[:2])
