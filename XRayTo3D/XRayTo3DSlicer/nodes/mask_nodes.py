"""Which pixels of an X-ray are no measurements, as a segmentation beside it that is shown and edited like any other."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DSlicer.nodes import provenance, segmentation_nodes

#: The name of the segment.
SEGMENT = "no measurement"


def mask_to_node(valid: np.ndarray, node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation of the pixels that are not ``valid`` (bool, [row, column]) of a radiograph node, in its place.

    It counts for the radiograph as long as it is in the scene; what the user paints or erases in it counts at once.
    """
    projection = provenance.projection_from_text(provenance.read(node, "Projection") or "", node.GetName())
    grid = Grid.from_affine(projection.detector_affine, (projection.size[1], projection.size[0], 1))
    labels = Labelmap(np.where(valid, 0, 1).astype(np.uint8)[np.newaxis], grid, {1: SEGMENT})
    name = f"{node.GetName()} mask"
    mask = segmentation_nodes.segmentation_to_node(labels, name, node, surfaces=False)
    provenance.stamp(mask, [node], Type=provenance.MASK)
    mask.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    return mask


def mask_of(node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode | None:
    """The mask of a radiograph node, ``None`` where it has none."""
    masks = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return next((m for m in masks if provenance.read(m, "Type") == provenance.MASK and node in provenance.sources(m)), None)


def valid_of(node: slicer.vtkMRMLScalarVolumeNode, size: tuple[int, int]) -> np.ndarray | None:
    """Which pixels (bool, of ``size`` [row, column]) of a radiograph node its mask leaves, ``None`` when all are."""
    mask = mask_of(node)
    if mask is None or not mask.GetSegmentation().GetNumberOfSegments():
        return None
    array = segmentation_nodes.segmentation_from_node(mask).array
    if array.shape != (1, *size):
        raise InputError(
            f"The mask {mask.GetName()} has {array.shape[1:]} pixels but {node.GetName()} has {size}: delete it, or paint it anew "
            "on this X-ray."
        )
    return None if not array.any() else array[0] == 0
