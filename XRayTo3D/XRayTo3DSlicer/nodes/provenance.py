"""Where a node came from, written on the node itself: text attributes that are saved with the scene."""

from __future__ import annotations

import json
from typing import Any

import slicer

import XRayTo3DLib
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection

#: Every attribute of this extension begins so.
PREFIX = "XRayTo3D."

# The values of the attribute Type.
RADIOGRAPH = "Radiograph"
REPROJECTION = "Reprojection"
RESIDUAL = "Residual"
STRUCTURE = "Structure"
RECONSTRUCTION = "Reconstruction"
DEVIATION = "Deviation"
SEGMENTATION = "Segmentation"
SURFACE = "Surface"
MASK = "Mask"
BEAM = "Beam"
PICTURE = "Picture"
PREDICTION = "Prediction"
SURFACE_IMAGE = "SurfaceImage"
LANDMARKS = "Landmarks"
ORGAN = "Organ"
OUTLINE = "Outline"


def write(node: slicer.vtkMRMLNode, **values: object) -> None:
    """Write attributes (names in CamelCase); what is not text becomes JSON, with every digit of a float."""
    for key, value in values.items():
        node.SetAttribute(PREFIX + key, value if isinstance(value, str) else json.dumps(value))


def read(node: slicer.vtkMRMLNode, key: str) -> str | None:
    """One attribute as text, ``None`` when the node does not have it."""
    return node.GetAttribute(PREFIX + key)


def read_list(node: slicer.vtkMRMLNode, key: str) -> list[Any]:
    """An attribute that holds a list, empty when the node does not have it; :class:`InputError` when it is damaged."""
    return _decoded(node, key, list, [])


def read_flag(node: slicer.vtkMRMLNode, key: str, otherwise: bool) -> bool:
    """An attribute that is true or false, or ``otherwise``; :class:`InputError` when it is damaged."""
    return _decoded(node, key, bool, otherwise)


def _decoded(node: slicer.vtkMRMLNode, key: str, kind: type, otherwise: Any) -> Any:
    text = read(node, key)
    if not text:
        return otherwise
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InputError(f"The attribute {PREFIX}{key} of {node.GetName()} is damaged: load or make the node again.")
    return value


def stamp(node: slicer.vtkMRMLNode, sources: list[slicer.vtkMRMLNode], **values: object) -> None:
    """Write what made the node: the software's version, the nodes it was made from, and ``values``."""
    version = getattr(XRayTo3DLib, "__version__", "unknown")
    write(node, Software=f"XRayTo3D {version}", Source=[source.GetName() for source in sources], **values)
    for source in sources:  # names stay readable when the node is gone; references find it as long as it is there
        node.AddNodeReferenceID(PREFIX + "Source", source.GetID())


def sources(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """The nodes that a node was made from, as far as they are still in the scene."""
    role = PREFIX + "Source"
    found = [node.GetNthNodeReference(role, i) for i in range(node.GetNumberOfNodeReferences(role))]
    return [source for source in found if source is not None]


def projection_to_text(projection: Projection) -> str:
    """A projection as JSON (LPS, mm), with every digit."""
    return json.dumps(projection.to_dict())


def projection_from_text(text: str, name: str) -> Projection:
    """The inverse of :func:`projection_to_text`; ``name`` is the node's, for the :class:`InputError` of a bad one."""
    try:
        return Projection.from_dict(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"The projection stored on {name} is damaged ({error}): set its geometry again.") from error
