"""Stand-in for ``slicer.ScriptedLoadableModule``: the base classes that the module's file derives from."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6.QtWidgets import QVBoxLayout, QWidget

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """A widget with a layout; as in the application ``parent`` says whether the user is in the module."""

    def __init__(self, parent: Any = None) -> None:
        self.container = QWidget()
        self.layout = QVBoxLayout(self.container)
        self.parent = parent or SimpleNamespace(isEntered=True)
        self.logic: Any = None
        self.reloaded = False

    def setup(self) -> None: ...

    def onReload(self) -> None:
        self.reloaded = True

    def resourcePath(self, name: str) -> str:
        return str(Path(sys.modules[type(self).__module__].__file__ or "").parent / "Resources" / name)


class ScriptedLoadableModuleLogic:
    """A logic whose parameter node is the only one of its kind in the scene."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase): ...
