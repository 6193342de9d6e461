""".ui files as Slicer loads them: custom widgets from ``widgets``, and connections whose types only Slicer knows."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QWidget

from Harness import widgets


def loadUI(path: str) -> QWidget:
    """The widget of a .ui file; a file that is missing, broken, or has widgets unknown here is a RuntimeError."""
    if not Path(path).is_file():
        raise RuntimeError(f"Could not load UI file: file not found {path}")
    tree = ElementTree.parse(path)
    unknown = {node.text for node in tree.iter("class") if node.text and node.text.startswith(("q", "ctk"))}
    unknown -= set(widgets.ALL)
    if unknown:
        raise RuntimeError(f"{path} uses {', '.join(sorted(unknown))}, for which the harness has no stand-in")
    connections = tree.find("connections")
    mrml = [c for c in connections if "*" in (c.findtext("signal") or "")] if connections is not None else []
    for connection in mrml:
        connections.remove(connection)
    loader = QUiLoader()
    for stand_in in widgets.ALL.values():
        loader.registerCustomWidget(stand_in)
    buffer = QBuffer()
    buffer.setData(QByteArray(ElementTree.tostring(tree.getroot())))
    widget = loader.load(buffer)
    if widget is None:
        raise RuntimeError(f"Could not load UI file: {path}: {loader.errorString()}")
    for connection in mrml:
        sender, receiver = (_named(widget, connection.findtext(end)) for end in ("sender", "receiver"))
        signal, slot = ((connection.findtext(end) or "").split("(")[0] for end in ("signal", "slot"))
        getattr(sender, signal).connect(getattr(receiver, slot))
    return widget


def _named(widget: QWidget, name: str | None) -> QWidget:
    found = widget if widget.objectName() == name else widget.findChild(QWidget, name)
    if found is None:
        raise RuntimeError(f"A connection names {name}, which the file does not have")
    return found


def childWidgetVariables(widget: QWidget) -> Any:
    """Every named child widget as an attribute; those that Qt makes inside its widgets are left out."""
    named = [child for child in widget.findChildren(QWidget) if child.objectName() and not child.objectName().startswith("qt_")]
    return types.SimpleNamespace(**{child.objectName(): child for child in named})
