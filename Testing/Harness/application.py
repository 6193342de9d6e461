"""Puts the stand-ins in place, and takes them away again, so that other tests see slicer-core as it is."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
#: Modules that run on the stand-ins: they see properties as attributes, and are forgotten afterwards.
_PANEL_MODULES = ("XRayTo3D", "XRayTo3DSlicer.panels", "XRayTo3DSlicer.parameters", "XRayTo3DSlicer.dependencies")
_PANEL_MODULES += ("XRayTo3DSlicer.sample_data",)


class Application:
    """What the user would see and answer: texts shown, questions asked, and the answers given to them."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.questions: list[str] = []
        #: What an exception leaves behind that nobody caught: in a slot or an observer the application only prints it.
        self.tracebacks: list[str] = []
        self.answer = True
        self.file = ""
        self.shown: list[Any] = []
        #: The folder that a dialog answers with, and the module that was opened last.
        self.folder = ""
        self.module = ""
        self.editor = types.SimpleNamespace(setSegmentationNode=self.shown.append, setSourceVolumeNode=self.shown.append)
        self.threeDViewsReset = 0
        self.startupSlots: list[Any] = []
        self.testing = False
        self.settings: dict[str, Any] = {}
        #: What pip was asked for, and whether it can.
        self.installed: list[list[str]] = []
        self.pipWorks = True

    def clear(self) -> None:
        """Forget what was shown and asked, and answer with yes again."""
        self.__init__()  # type: ignore[misc]

    def ask(self, text: str, windowTitle: str | None = None, **kwargs: Any) -> bool:
        self.questions.append(text)
        return self.answer

    def error(self, text: str, windowTitle: str | None = None, **kwargs: Any) -> None:
        self.errors.append(text)

    @contextmanager
    def tryWithErrorDisplay(self, message: str | None = None, show: bool = True, waitCursor: bool = False) -> Iterator[None]:
        """Shows an exception of the block, and passes it on."""
        try:
            yield
        except Exception as error:
            logging.exception(message)
            if show and not self.testing:
                self.error(f"{message or ''}\n\n{error}".strip())
            raise

    def excepthook(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        self.tracebacks.append("".join(traceback.format_exception(kind, error, trace)))

    def setSliceViewerLayers(self, background: Any = None, **kwargs: Any) -> None:
        self.shown.append(background)

    def selectModule(self, name: str) -> None:
        self.module = name

    def getModuleWidget(self, name: str) -> Any:
        """Of the Segment Editor alone."""
        return types.SimpleNamespace(editor=self.editor)

    def resetThreeDViews(self) -> None:
        self.threeDViewsReset += 1

    def connect(self, signal: str, slot: Any) -> None:
        if signal == "startupCompleted()":
            self.startupSlots.append(slot)

    def testingEnabled(self) -> bool:
        return self.testing

    def userSettings(self) -> Any:
        return types.SimpleNamespace(value=self.settings.get, setValue=self.settings.__setitem__)

    def pip_install(self, requirements: Any, show_progress: bool = True, **kwargs: Any) -> None:
        """With ``show_progress`` a failure is shown, and raised as well."""
        self.installed.append([str(requirement) for requirement in requirements])
        if not self.pipWorks:
            if show_progress:
                self.error("Package installation failed.")
            raise subprocess.CalledProcessError(1, "pip install")

    def pip_ensure(self, requirements: Any, prompt_install: bool = True, requester: str = "", **kwargs: Any) -> None:
        if self.testing:
            return
        if prompt_install and not self.ask(f"{len(requirements)} Python packages need to be installed."):
            raise RuntimeError("User declined package installation")
        self.pip_install(requirements, **kwargs)

    def processEvents(self) -> None:
        from PySide6.QtCore import QCoreApplication

        QCoreApplication.processEvents()

    def useAttributes(self, module: str) -> None:
        """Let a module see Qt properties as attributes, as PythonQt does everywhere."""
        import __feature__

        true_property = 2
        # At its first call PySide6 reads the source of every module there is, which torch's do not survive.
        torch = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "torch"}
        try:
            __feature__.set_selection(true_property, module)
        finally:
            sys.modules.update(torch)


@contextmanager
def application() -> Iterator[Application]:
    """slicer-core with a scene, and beside it ``qt``, ``ctk`` and what of ``slicer`` only the application has."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    window_system = QApplication.instance() or QApplication(["XRayTo3D"])
    assert isinstance(window_system, QApplication)
    for folder in (ROOT, ROOT / "XRayTo3D"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from XRayTo3DSlicer import headless

    headless.start()
    import slicer

    from Harness import parameter_node, sample_data, scripted_module, ui, widgets

    user = Application()
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    modules = {
        "qt": _qt(user),
        "ctk": _module("ctk", ctkCollapsibleButton=widgets.ctkCollapsibleButton, ctkSliderWidget=widgets.ctkSliderWidget),
        "SampleData": sample_data,
        "slicer.i18n": i18n,
        "slicer.packaging": _module("slicer.packaging", pip_install=user.pip_install, pip_ensure=user.pip_ensure),
        "slicer.parameterNodeWrapper": parameter_node,
        "slicer.ScriptedLoadableModule": scripted_module,
    }
    patches = {
        "loadUI": ui.loadUI,
        "childWidgetVariables": ui.childWidgetVariables,
        "errorDisplay": user.error,
        "confirmOkCancelDisplay": user.ask,
        "confirmYesNoDisplay": user.ask,
        "tryWithErrorDisplay": user.tryWithErrorDisplay,
        "setSliceViewerLayers": user.setSliceViewerLayers,
        "selectModule": user.selectModule,
        "getModuleWidget": user.getModuleWidget,
        "resetThreeDViews": user.resetThreeDViews,
        "pip_install": user.pip_install,
    }
    _forgetPanel()
    with ExitStack() as stack:
        stack.enter_context(_inSysModules(modules))
        for name, module in modules.items():
            if name.startswith("slicer."):
                stack.enter_context(mock.patch.object(slicer, name.split(".")[1], module, create=True))
        for name, stand_in in patches.items():
            stack.enter_context(mock.patch.object(slicer.util, name, stand_in, create=True))
        stack.enter_context(mock.patch.object(sys, "excepthook", user.excepthook))
        stack.enter_context(mock.patch.object(slicer, "qMRMLWidget", widgets.qMRMLWidget, create=True))
        stack.enter_context(mock.patch.object(slicer, "app", user, create=True))
        for path in (ROOT / "XRayTo3D" / "XRayTo3DSlicer").rglob("*.py"):
            user.useAttributes(".".join(path.relative_to(ROOT / "XRayTo3D").with_suffix("").parts))
        user.useAttributes("XRayTo3D")
        try:
            yield user
        finally:
            _forgetPanel()


@contextmanager
def _inSysModules(modules: dict[str, types.ModuleType]) -> Iterator[None]:
    """These modules importable by their names; what else is imported meanwhile stays."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _forgetPanel() -> None:
    for name in list(sys.modules):
        if name in _PANEL_MODULES or name.startswith("XRayTo3DSlicer.panels."):
            del sys.modules[name]
            package, _, own = name.rpartition(".")
            if package in sys.modules:  # or else ``from package import own`` would still find it
                vars(sys.modules[package]).pop(own, None)


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return module


def _qt(user: Application) -> types.ModuleType:
    """All of Qt in one module, as in Slicer; a file dialog answers at once, with one path as PythonQt does."""
    from PySide6 import QtCore, QtGui, QtWidgets

    names = [(part, name) for part in (QtCore, QtGui, QtWidgets) for name in dir(part) if name.startswith("Q")]
    members = {name: getattr(part, name) for part, name in names}
    dialog = types.SimpleNamespace(
        getOpenFileName=lambda parent=None, title="", folder="", files="": user.file,
        getExistingDirectory=lambda parent=None, title="", folder="": user.folder,
    )
    return _module("qt", **{**members, "QFileDialog": dialog})
