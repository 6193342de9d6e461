"""An organ found in X-rays as nodes: a segmentation, a table with its volume, and its outline on each X-ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import slicer
import vtk

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DSlicer.nodes import outline_nodes, provenance, scene, segmentation_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.shapes.base import OrganShape

#: Columns of the table, in order, with their units.
COLUMNS = ("Organ", "Volume (mL)", "90 % from (mL)", "90 % to (mL)", "Model")


class OrganNodes(NamedTuple):
    """What :meth:`Logic.organShape` adds: ``outlineNodes`` for each X-ray; ``shape`` is what the library found, with its notes."""

    segmentationNode: slicer.vtkMRMLSegmentationNode
    tableNode: slicer.vtkMRMLTableNode
    outlineNodes: list[list[slicer.vtkMRMLMarkupsClosedCurveNode]]
    shape: OrganShape


def add(shape: OrganShape, radiographs: Sequence[Radiograph], sources: Sequence[slicer.vtkMRMLNode], name: str) -> OrganNodes:
    """The nodes of an organ, in a folder of their own; call it inside :func:`scene.all_or_nothing`."""
    title = scene.unique_name(name)
    folder = scene.new_folder(title)
    segmentation = segmentation_nodes.segmentation_to_node(shape.labelmap, title)
    table = _table(shape, f"{title} volume")
    outlines = []
    for radiograph, curves in zip(radiographs, shape.outlines, strict=True):
        label = f"{title} outline {radiograph.name}"
        several = len(curves) > 1
        outlines.append(
            [
                outline_nodes.outline_to_node(curve, radiograph.projection, f"{label} {number}" if several else label, shape.organ)
                for number, curve in enumerate(curves, start=1)
            ]
        )
    for node in (segmentation, table, *(node for own in outlines for node in own)):
        provenance.stamp(node, list(sources), Organ=shape.organ, Model=shape.model, ModelSHA256=shape.sha256)
        scene.put(node, folder)
    provenance.write(
        segmentation, Type=provenance.ORGAN, VolumeML=shape.volume_ml, IntervalML=shape.interval_ml, Notes=list(shape.notes)
    )
    return OrganNodes(segmentation, table, outlines, shape)


def _table(shape: OrganShape, name: str) -> slicer.vtkMRMLTableNode:
    """One row: the volume in mL with its 90 % interval, whose cells are empty where the model states none."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    low, high = ("", "") if shape.interval_ml is None else (f"{end:.1f}" for end in shape.interval_ml)
    for title, text in zip(COLUMNS, (shape.organ, f"{shape.volume_ml:.1f}", low, high, shape.model), strict=True):
        column = vtk.vtkStringArray()
        column.SetName(title)
        column.InsertNextValue(text)
        node.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node
