"""Outlines on X-rays as closed curves, and drawn ones as pixels."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.anatomy.catalogue import structure_colour
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample_labels
from XRayTo3DSlicer.nodes import mrml, provenance, segmentation_nodes

#: A curve keeps the points that it needs to stay within this many pixels of the outline.
_TOLERANCE = 0.4


def outline_to_node(curve: np.ndarray, projection: Projection, name: str, structure: str) -> slicer.vtkMRMLMarkupsClosedCurveNode:
    """A closed curve through (row, column) positions (N, 2) of a radiograph, in the structure's colour; it cannot be dragged.

    The first of the positions is repeated at their end.
    """
    from skimage.measure import approximate_polygon

    kept = approximate_polygon(curve, _TOLERANCE)[:-1]
    node = mrml.markups_to_node("vtkMRMLMarkupsClosedCurveNode", projection.pixel_positions(kept), name)
    node.SetCurveTypeToLinear()
    node.SetLocked(True)
    for index in range(len(kept)):
        node.SetNthControlPointVisibility(index, False)
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    shown.SetSelectedColor(*structure_colour(structure))
    shown.SetColor(*structure_colour(structure))
    shown.SetPropertiesLabelVisibility(False)
    shown.SetPointLabelsVisibility(False)
    shown.SetCurveLineSizeMode(shown.UseLineDiameter)
    shown.SetLineDiameter(max(projection.spacing))
    provenance.write(node, Type=provenance.OUTLINE)
    return node


def drawn_on(node: slicer.vtkMRMLNode, radiographs: list[Radiograph], organ: str) -> list[np.ndarray | None]:
    """Which pixels (bool, [row, column]) of each radiograph a segmentation or labelmap node covers; ``None`` where none.

    A segment with the name of the organ counts alone, else all do. What was drawn with one radiograph as its geometry is only for
    that one; anything else is for those that it lies on. :class:`InputError` when it covers no pixel.
    """
    labels = _labels(node, organ)
    grids = [Grid.from_affine(r.projection.detector_affine, (r.projection.size[1], r.projection.size[0], 1)) for r in radiographs]
    own = [grid for grid in grids if labels.grid.same_as(grid)]
    found: list[np.ndarray | None] = []
    for grid in grids:
        marked = np.zeros(grid.shape, bool) if own and grid not in own else resample_labels(labels.array, labels.grid, grid) > 0
        found.append(marked[0] if marked.any() else None)
    if all(marked is None for marked in found):
        names = ", ".join(radiograph.name for radiograph in radiographs)
        raise InputError(
            f"{node.GetName()} marks no pixel of the X-rays ({names}): draw the outline on one of them, or choose none."
        )
    return found


def _labels(node: slicer.vtkMRMLNode, organ: str) -> Labelmap:
    if not node.IsA("vtkMRMLSegmentationNode"):
        array, affine = mrml.image_from_node(node)
        return Labelmap((array != 0).astype(np.uint8), mrml.grid(array, affine), {1: organ})
    labels = segmentation_nodes.segmentation_from_node(node)
    named = [number for number, name in labels.names.items() if name.strip().lower().replace(" ", "_") == organ]
    return Labelmap(np.isin(labels.array, named or list(labels.names)).astype(np.uint8), labels.grid, {1: organ})
