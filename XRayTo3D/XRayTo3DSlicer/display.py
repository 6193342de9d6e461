"""How nodes look: windows, colours and line widths. Nothing here is read back into a computation."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DSlicer import shapes

#: Window and level in HU that show lungs, soft tissue and bone at once.
CT_WINDOW, CT_LEVEL = 1500.0, 0.0
BEAM_COLOUR = (1.0, 0.8, 0.2)

_TERMINOLOGY = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
#: Colour, opacity in 3D, and SNOMED CT category and type (those of Slicer's own anatomy list) of the known structures.
_STRUCTURES = {
    "body": ((128, 174, 128), 0.25, "SCT^85756007^Tissue", "SCT^85756007^Tissue"),
    "lungs": ((197, 165, 145), 0.7, "SCT^123037004^Anatomical Structure", "SCT^39607008^Lung"),
    "bone": ((241, 214, 145), 1.0, "SCT^123037004^Anatomical Structure", "SCT^272673000^Bone"),
}
#: Colours of other structures, in the order of their labels.
_OTHERS = ((216, 101, 79), (111, 184, 210), (220, 245, 20), (183, 156, 220), (78, 152, 141), (244, 142, 52))


def structure_colour(name: str, order: int) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1 of a structure, by its name or else by its order."""
    colour = _STRUCTURES[name][0] if name in _STRUCTURES else _OTHERS[order % len(_OTHERS)]
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def structure_opacity(name: str) -> float:
    """Opacity in 3D from 0 to 1: what encloses other structures lets them show through."""
    return _STRUCTURES[name][1] if name in _STRUCTURES else 1.0


def terminology(name: str) -> str | None:
    """Slicer's text for the code of a structure, ``None`` for one that has no code here."""
    if name not in _STRUCTURES:
        return None
    category, kind = _STRUCTURES[name][2:]
    return f"{_TERMINOLOGY}~{category}~{kind}~^^~{_REGIONS}~^^~^^"


def show_volume(node: slicer.vtkMRMLScalarVolumeNode, window: float, level: float) -> None:
    """Grey, with a fixed window and level."""
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    shown.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    shown.SetAutoWindowLevel(False)
    shown.SetWindowLevel(window, level)


def grey_range(values: np.ndarray) -> tuple[float, float]:
    """The values shown black and white in a radiograph: bone is white, and single pixels do not count."""
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low), float(max(high, low + 1e-6))


def symmetric_range(values: np.ndarray) -> tuple[float, float]:
    """The values shown black and white in a difference: zero is the middle grey."""
    high = max(float(np.percentile(np.abs(values), 99.5)), 1e-6)
    return -high, high


def show_beam(node: slicer.vtkMRMLModelNode) -> None:
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    shown.SetColor(*BEAM_COLOUR)
    shown.SetLineWidth(2)
    shown.SetLighting(False)


def show_picture(node: slicer.vtkMRMLModelNode, low: float, high: float) -> None:
    """Grey values on the surface, the same from both sides and without shading."""
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    shown.SetActiveScalarName(shapes.PICTURE_VALUES)
    shown.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    shown.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
    shown.SetScalarRange(low, high)
    shown.SetScalarVisibility(True)
    shown.SetLighting(False)
    shown.SetBackfaceCulling(False)


def show_surface(node: slicer.vtkMRMLModelNode, order: int = 0) -> None:
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    shown.SetColor(*structure_colour(node.GetName(), order))
    shown.SetOpacity(structure_opacity(node.GetName()))
    shown.SetBackfaceCulling(False)
