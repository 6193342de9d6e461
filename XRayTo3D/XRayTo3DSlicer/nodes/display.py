"""How nodes look: windows, colours and line widths. Nothing here is read back into a computation."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.anatomy.catalogue import structure_colour, structure_opacity
from XRayTo3DSlicer.nodes import shapes

#: Window and level in HU that show lungs, soft tissue and bone at once.
CT_WINDOW, CT_LEVEL = 1500.0, 0.0
BEAM_COLOUR = (1.0, 0.8, 0.2)


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
