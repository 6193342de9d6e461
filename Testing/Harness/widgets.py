"""Stand-ins for the ctk and qMRML widgets of the panel, with the properties and methods that it uses.

Each class holds all its methods itself, because PySide6 looks properties up in the leaf class.
"""

from __future__ import annotations

from typing import Any

import shiboken6
from PySide6.QtCore import Property, QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPalette, QPolygon
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLayout, QSlider, QWidget

_HEADER = 24


class qMRMLWidget(QWidget):
    """A widget with a scene, which it passes on to the widgets that its .ui file connects."""

    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)


class ctkCollapsibleButton(QWidget):
    """A heading that shows or hides what it holds."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(0, _HEADER, 0, 0)

    def getText(self) -> str:
        return self._text

    def putText(self, text: str) -> None:
        self._text = text

    text = Property(str, getText, putText)

    def getCollapsed(self) -> bool:
        return self._collapsed

    def putCollapsed(self, collapsed: bool) -> None:
        # What is held is cut off, not hidden: whether each of its parts is shown is the panel's to say.
        self._collapsed = collapsed
        self.setMaximumHeight(_HEADER if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, getCollapsed, putCollapsed)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.position().y() <= _HEADER:
            self.putCollapsed(not self._collapsed)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = self.palette()
        painter.fillRect(0, 0, self.width(), _HEADER - 3, colours.color(QPalette.ColorRole.Midlight))
        painter.setBrush(colours.color(QPalette.ColorRole.ButtonText))
        painter.setPen(Qt.PenStyle.NoPen)
        arrow = [(8, 6), (8, 15), (14, 10)] if self._collapsed else [(6, 8), (15, 8), (10, 14)]
        painter.drawPolygon(QPolygon([QPoint(x, y) for x, y in arrow]))
        painter.setPen(colours.color(QPalette.ColorRole.ButtonText))
        painter.drawText(22, 0, self.width() - 22, _HEADER - 3, Qt.AlignmentFlag.AlignVCenter, self._text)
        painter.end()


class ctkSliderWidget(QWidget):
    """A slider and a spin box with one value."""

    valueChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSizeConstraint(QLayout.SizeConstraint.SetMinimumSize)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._onBox)
        self._slider.valueChanged.connect(self._onSlider)

    def _steps(self) -> float:
        return 10.0 ** self._box.decimals()

    def _onBox(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round(value * self._steps()))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _onSlider(self, position: int) -> None:
        self._box.setValue(position / self._steps())

    def _fit(self) -> None:
        self._slider.blockSignals(True)
        self._slider.setRange(round(self._box.minimum() * self._steps()), round(self._box.maximum() * self._steps()))
        self._slider.setValue(round(self._box.value() * self._steps()))
        self._slider.blockSignals(False)

    def getValue(self) -> float:
        return self._box.value()

    def putValue(self, value: float) -> None:
        self._box.setValue(value)

    value = Property(float, getValue, putValue)

    def getMinimum(self) -> float:
        return self._box.minimum()

    def putMinimum(self, value: float) -> None:
        self._box.setMinimum(value)
        self._fit()

    minimum = Property(float, getMinimum, putMinimum)

    def getMaximum(self) -> float:
        return self._box.maximum()

    def putMaximum(self, value: float) -> None:
        self._box.setMaximum(value)
        self._fit()

    maximum = Property(float, getMaximum, putMaximum)

    def getSingleStep(self) -> float:
        return self._box.singleStep()

    def putSingleStep(self, value: float) -> None:
        self._box.setSingleStep(value)

    singleStep = Property(float, getSingleStep, putSingleStep)

    def getDecimals(self) -> int:
        return self._box.decimals()

    def putDecimals(self, value: int) -> None:
        self._box.setDecimals(value)
        self._fit()

    decimals = Property(int, getDecimals, putDecimals)


class qMRMLNodeComboBox(QWidget):
    """A selector of nodes of given types, and attributes, that follows its scene."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QComboBox()
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._scene: Any = None
        self._observers: list[int] = []
        self._types: list[str] = []
        self._attributes: list[tuple[str, str, str]] = []
        self._current: str | None = None
        self._flags: dict[str, Any] = {"noneEnabled": False, "noneDisplay": "None"}
        self._filling = False
        self._box.currentIndexChanged.connect(self._onChosen)

    def _flag(name: str, kind: type) -> Any:  # type: ignore[misc] # noqa: N805
        return Property(kind, lambda self: self._flags.get(name, kind()), lambda self, value: self._flags.update({name: value}))

    noneEnabled = _flag("noneEnabled", bool)
    noneDisplay = _flag("noneDisplay", str)
    addEnabled = _flag("addEnabled", bool)
    removeEnabled = _flag("removeEnabled", bool)
    renameEnabled = _flag("renameEnabled", bool)
    showChildNodeTypes = _flag("showChildNodeTypes", bool)

    def getNodeTypes(self) -> list[str]:
        return self._types

    def putNodeTypes(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    nodeTypes = Property("QStringList", getNodeTypes, putNodeTypes)

    def addAttribute(self, nodeType: str, name: str, value: str) -> None:
        self._attributes.append((nodeType, name, value))
        self._fill()

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = () if scene is None else (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
        self._observers = [scene.AddObserver(event, self._onScene) for event in events]
        self._fill()

    def _onScene(self, caller: Any, event: str) -> None:
        if shiboken6.isValid(self._box):  # Qt may have deleted the widget, and the scene still knows it
            self._fill()

    def currentNode(self) -> Any:
        return None if self._scene is None or self._current is None else self._scene.GetNodeByID(self._current)

    def setCurrentNode(self, node: Any) -> None:
        # A node that does not pass the filter cannot be chosen. Attributes may have been written since it was added.
        chosen = node.GetID() if node is not None and self._passes(node) else None
        changed, self._current = chosen != self._current, chosen
        self._fill()
        if changed:
            self.currentNodeChanged.emit(self.currentNode())

    def nodeCount(self) -> int:
        return self._box.count() - bool(self._flags["noneEnabled"])

    def _passes(self, node: Any) -> bool:
        if node.GetClassName() not in self._types or node.GetHideFromEditors():
            return False
        return all(node.GetAttribute(name) == value for kind, name, value in self._attributes if kind == node.GetClassName())

    def _fill(self) -> None:
        nodes = [] if self._scene is None else [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        passing = [node for node in nodes if self._passes(node)]
        if self._current not in [node.GetID() for node in passing]:
            gone, self._current = self._current is not None, None
        else:
            gone = False
        self._filling = True
        self._box.clear()
        if self._flags["noneEnabled"]:
            self._box.addItem(self._flags["noneDisplay"] or "None", None)
        for node in passing:
            self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(self._box.findData(self._current))
        self._filling = False
        if gone:
            self.currentNodeChanged.emit(None)

    def _onChosen(self, index: int) -> None:
        if not self._filling:
            self._current = self._box.itemData(index)
            self.currentNodeChanged.emit(self.currentNode())


ALL = {kind.__name__: kind for kind in (qMRMLWidget, ctkCollapsibleButton, ctkSliderWidget, qMRMLNodeComboBox)}
