"""Stand-in for ``slicer.parameterNodeWrapper``: typed members kept in a real node of the scene, bound to widgets."""

from __future__ import annotations

import enum
import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSpinBox

from Harness import widgets

__all__ = ["WithinRange", "parameterNodeWrapper"]


@dataclass(frozen=True)
class WithinRange:
    """A number from ``minimum`` to ``maximum``; another one is a ValueError."""

    minimum: float
    maximum: float


class _Parameter:
    """One typed member, and its text or reference on the node."""

    def __init__(self, name: str, kind: Any, default: Any) -> None:
        hints = typing.get_args(kind) if typing.get_origin(kind) is typing.Annotated else (kind,)
        self.name, self.kind, self.annotations, self.default = name, hints[0], hints[1:], default
        self.isNode = issubclass(self.kind, slicer.vtkMRMLNode)
        if not self.isNode and self.default is None:
            self.default = next(iter(self.kind)) if issubclass(self.kind, enum.Enum) else self.kind()

    def isIn(self, node: Any) -> bool:
        return node.HasParameter(self.name)

    def read(self, node: Any) -> Any:
        if not self.isIn(node):  # as after the scene was closed
            self.write(node, self.default)
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "true"
        if issubclass(self.kind, enum.Enum) and text not in self.kind.__members__:
            raise ValueError(f"Found {text!r} in parameter node but it is not a name in {self.kind!r}")
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        if self.isNode:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes a {self.kind.__name__}, not {value!r}")
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
            return
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"{self.name} takes a {self.kind.__name__}, not {value!r}")
        for limit in self.annotations:
            if not limit.minimum <= value <= limit.maximum:
                raise ValueError(f"{self.name} = {value} is not within {limit.minimum} and {limit.maximum}")
        text = value.name if isinstance(value, enum.Enum) else str(value).lower() if self.kind is bool else str(value)
        node.SetParameter(self.name, text)


class _Cached:
    """The value of one parameter, read again only when the parameter node itself says that it was modified.

    So in the application: a reference whose node enters the scene after that stays ``None``.
    """

    def __init__(self, parameter: _Parameter, node: Any) -> None:
        self.parameter, self.node, self.writing = parameter, node, False
        self.value = parameter.read(node)
        mine = weakref.ref(self)
        self.tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: mine().modified())  # type: ignore[union-attr]

    def __del__(self) -> None:
        if hasattr(self, "tag"):
            self.node.RemoveObserver(self.tag)

    def modified(self) -> None:
        if not self.writing:
            self.value = self.parameter.read(self.node)

    def write(self, value: Any) -> None:
        self.writing = True
        was = self.node.StartModify()
        try:
            self.parameter.write(self.node, value)
            self.value = self.parameter.read(self.node)
        finally:
            self.node.EndModify(was)
            self.writing = False


class _Connector:
    """One widget bound to one parameter. As in Slicer, the widget's type must fit the parameter's exactly."""

    def __init__(self, widget: Any, parameter: _Parameter) -> None:
        self.widget, self.parameter = widget, parameter
        self._connection: Any = None
        kind, is_a = parameter.kind, type(widget)
        self.choices: list[Any] = []
        if kind is bool and is_a is QCheckBox:
            self.read, self.write, self.signal = widget.isChecked, widget.setChecked, widget.toggled
        elif (kind is int and is_a is QSpinBox) or (kind is float and is_a is QDoubleSpinBox):
            for limit in parameter.annotations:
                widget.setRange(limit.minimum, limit.maximum)
            self.read, self.write, self.signal = widget.value, widget.setValue, widget.valueChanged
        elif kind is float and is_a is widgets.ctkSliderWidget:
            if not parameter.annotations:
                raise RuntimeError(f"{parameter.name} needs a range to be bound to a slider")
            widget.minimum, widget.maximum = parameter.annotations[0].minimum, parameter.annotations[0].maximum
            self.read, self.write, self.signal = widget.getValue, widget.putValue, widget.valueChanged
        elif isinstance(kind, type) and issubclass(kind, enum.Enum) and is_a is QComboBox:
            self.choices = list(kind)
            widget.clear()
            widget.addItems([choice.label() for choice in self.choices])
            self.read = lambda: self.choices[widget.currentIndex()]
            self.write = lambda value: widget.setCurrentIndex(self.choices.index(value))
            self.signal = widget.currentIndexChanged
        elif parameter.isNode and is_a is widgets.qMRMLNodeComboBox:
            self.read, self.write, self.signal = widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype {kind} to widget type {is_a}")

    def connect(self, changed: Callable[[], None]) -> None:
        self._connection = self.signal.connect(lambda *ignored: changed())

    def disconnect(self) -> None:
        self.signal.disconnect(self._connection)


def parameterNodeWrapper(cls: type) -> type:
    """A class decorator: annotated members become properties kept in the node that the constructor takes."""
    parameters = {
        name: _Parameter(name, kind, getattr(cls, name, None))
        for name, kind in typing.get_type_hints(cls, include_extras=True).items()
    }

    def initialise(self: Any, node: Any) -> None:
        self.parameterNode, self._guis, self._updating = node, {}, False
        self._cached = {}
        for name, parameter in parameters.items():
            self._cached[name] = _Cached(parameter, node)

    def connectGui(self: Any, gui: Any) -> int:
        bound = {}
        for widget in vars(gui).values():
            name = widget.property("SlicerParameterName")
            if name:
                if name not in parameters:
                    raise ValueError(f"Cannot find a param with the given name: {name}")
                bound[name] = _Connector(widget, parameters[name])

        def fromGui(name: str, connector: _Connector) -> None:
            if not self._updating:
                setattr(self, name, connector.read())

        def toGui(caller: Any, event: Any) -> None:
            if not self._updating:
                self._updating = True
                try:
                    for name, connector in bound.items():
                        connector.write(getattr(self, name))
                finally:
                    self._updating = False

        toGui(None, None)
        for name, connector in bound.items():
            connector.connect(lambda name=name, connector=connector: fromGui(name, connector))
        tag = len(self._guis)
        self._guis[tag] = bound, self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, toGui)
        return tag

    def disconnectGui(self: Any, tag: int) -> None:
        bound, observer = self._guis[tag]
        self._guis[tag] = {}, None
        for connector in bound.values():
            connector.disconnect()
        if observer is not None:
            self.parameterNode.RemoveObserver(observer)

    def addObserver(self: Any, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    for name in parameters:
        setattr(
            cls,
            name,
            property(
                lambda self, name=name: self._cached[name].value,
                lambda self, value, name=name: self._cached[name].write(value),
            ),
        )
    members = {
        "__init__": initialise,
        "connectGui": connectGui,
        "disconnectGui": disconnectGui,
        "AddObserver": addObserver,
        "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
        "StartModify": lambda self: self.parameterNode.StartModify(),
        "EndModify": lambda self, was: self.parameterNode.EndModify(was),
    }
    for name, member in members.items():
        if name != "__init__" and hasattr(cls, name):
            raise ValueError(f"Cannot use reserved name {name!r} in a parameterNodeWrapper")
        setattr(cls, name, member)
    return cls
