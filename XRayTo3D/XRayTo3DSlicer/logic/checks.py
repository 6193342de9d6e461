"""What the nodes that a call is given must be."""

from __future__ import annotations

from typing import Any

import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.volume import check_ct
from XRayTo3DSlicer.nodes import volume_nodes

#: What a node that is asked for must be.
_CLASSES: dict[str, tuple[str, ...]] = {
    "volume": ("vtkMRMLScalarVolumeNode",),
    "radiograph": ("vtkMRMLScalarVolumeNode",),
    "segmentation": ("vtkMRMLSegmentationNode",),
    "surface": ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode"),
    "outline": ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"),
    "point list": ("vtkMRMLMarkupsFiducialNode",),
}


def given(node: Any, kind: str) -> Any:
    """The node itself, if it is of the kind that is needed, and in the scene."""
    if node is None:
        raise InputError(f"No {kind} is chosen: choose one.")
    if not isinstance(node, slicer.vtkMRMLNode):
        raise InputError(f"{node!r} is no node of the scene: give a {kind} node, as slicer.util.getNode finds it by its name.")
    if not any(node.IsA(name) for name in _CLASSES[kind]):
        raise InputError(f"{node.GetName()} is no {kind}: choose one.")
    if node.GetScene() is not slicer.mrmlScene:
        raise InputError(f"{node.GetName()} is not in the scene (any more): choose a {kind} that is.")
    return node


def ct(node: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """The volume of a node, checked to be in HU."""
    volume = volume_nodes.volume_from_node(given(node, "volume"))
    check_ct(volume, node.GetName())
    return volume


def oneScale(spacing: object) -> None:
    """Refuse ``spacing`` beside a marker: either gives a picture its mm."""
    if spacing is not None:
        raise InputError("Both a spacing and a marker are given, and either gives the picture its mm: leave one of them out.")
