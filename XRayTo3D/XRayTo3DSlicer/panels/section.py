"""What all sections of the panel share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer

from XRayTo3DSlicer.panels.ui_files import loadUI

if TYPE_CHECKING:
    from XRayTo3DSlicer.panels.protocol import PanelLogic
    from XRayTo3DSlicer.panels.work import Work


def whenBound(slot: Callable[[Any], None]) -> Callable[..., None]:
    """A slot that does nothing while its section is bound to no parameters, as while a scene is closed."""

    @functools.wraps(slot)
    def guarded(self: Any, *ignored: Any) -> None:
        if self.parameters is not None:
            slot(self)

    return guarded


class Section:
    """A section: the widget of its .ui file, its controls as ``ui``, and the parameters that they are bound to."""

    #: The name of the .ui file.
    uiName = ""

    def __init__(self, logic: PanelLogic, work: Work) -> None:
        self.logic = logic
        self.work = work
        self.parameters: Any = None
        self._guiTag: Any = None
        self._tips: dict[str, str] = {}
        self.widget = loadUI(self.uiName)
        self.ui = slicer.util.childWidgetVariables(self.widget)

    def setParameters(self, parameters: Any) -> None:
        """Bind the controls to a parameter node, or with ``None`` to nothing."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
        self.parameters = parameters
        self._guiTag = None if parameters is None else parameters.connectGui(self.ui)
        self.lock()
        self.update()

    def lock(self) -> None:
        """Let nothing be pressed while there is nothing to work on, or an operation runs."""
        self.widget.enabled = self.parameters is not None and not self.work.busy

    def update(self) -> None:
        """Show what follows from the parameters; called after each of their changes."""

    def enable(self, name: str, problem: str) -> None:
        """Enable a button unless there is a problem, which its tooltip then says."""
        button = getattr(self.ui, name)
        tip = self._tips.setdefault(name, button.toolTip)
        button.enabled = not problem
        button.toolTip = problem or tip
