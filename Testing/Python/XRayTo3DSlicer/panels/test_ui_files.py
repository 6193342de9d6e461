"""The .ui files of the panel: what is bound, wired, explained and given a unit."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

UI = sorted((Path(__file__).resolve().parents[4] / "XRayTo3D" / "Resources" / "UI").glob("*.ui"))


def test_every_parameter_is_bound_once_and_every_binding_is_a_parameter(user):
    from XRayTo3DSlicer.parameters import PanelParameters

    bound = [
        element.findtext("string")
        for path in UI
        for element in ElementTree.parse(path).iter("property")
        if element.get("name") == "SlicerParameterName"
    ]
    members = {name for name, member in vars(PanelParameters).items() if isinstance(member, property)}
    # Lists that are read, or not known before PyTorch is there: the panel fills and binds them itself.
    own = {"model", "organ", "organModel", "region", "regionView"}
    assert sorted(bound) == sorted(members - own)


@pytest.mark.parametrize("path", UI, ids=lambda path: path.stem)
def test_conventions_of_a_ui_file(path):
    tree = ElementTree.parse(path)
    root = tree.getroot().find("widget")
    assert root.get("class") == "qMRMLWidget" and root.get("name") == path.stem
    selectors = {widget.get("name") for widget in root.iter("widget") if widget.get("class") == "qMRMLNodeComboBox"}
    wired = {
        connection.findtext("receiver")
        for connection in tree.iter("connection")
        if connection.findtext("sender") == root.get("name")
        and connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert wired == selectors
    assert not any(element.get("name") == "styleSheet" for element in tree.iter("property")), "custom styling"


@pytest.mark.parametrize("path", UI, ids=lambda path: path.stem)
def test_every_control_has_a_tooltip_and_every_number_a_unit(path):
    operable = (
        "QPushButton",
        "QCheckBox",
        "QComboBox",
        "QSpinBox",
        "QDoubleSpinBox",
        "ctkSliderWidget",
        "qMRMLNodeComboBox",
    )
    for widget in ElementTree.parse(path).iter("widget"):
        kind, name = widget.get("class"), widget.get("name")
        texts = {p.get("name"): p.findtext("string") or "" for p in widget.findall("property")}
        if kind in operable:
            assert len(texts.get("toolTip", "").split()) >= 4, f"{name} needs a tooltip that helps"
        if kind in ("QSpinBox", "QDoubleSpinBox", "ctkSliderWidget"):
            shown = texts.get("suffix", "")
            unit = any(u in shown for u in (" mm", " °", "(pixels)")) or "(no unit)" in texts["toolTip"]
            assert unit, f"{name} does not name its unit"
