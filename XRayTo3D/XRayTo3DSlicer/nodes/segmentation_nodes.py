"""Labelmaps as segmentation nodes with closed surfaces, and the segments of a node as labelmaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from XRayTo3DLib.anatomy.catalogue import structure_colour, structure_opacity, terminology
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import LARGEST_LABEL, Labelmap
from XRayTo3DSlicer.nodes import mrml, provenance, scene

#: Smoothing of closed surfaces. Slicer's own 0.5 makes what is two voxels thick vanish, as ribs on 4 mm voxels are.
_SMOOTHING = "0.2"
_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()


def segmentation_to_node(
    labelmap: Labelmap, name: str, source: slicer.vtkMRMLScalarVolumeNode | None = None, surfaces: bool = True
) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation with a binary labelmap and, with ``surfaces``, a closed surface of each structure, in the labels' order.

    ``source``: the volume that was segmented, which editing and export ask for.
    """
    image = mrml.oriented_image(labelmap.array.astype(np.uint8), labelmap.grid.affine)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    if source is None:
        segmentation.SetConversionParameter(_GEOMETRY, slicer.vtkSegmentationConverter.SerializeImageGeometry(image))
    else:
        node.SetReferenceImageGeometryParameterFromVolumeNode(source)
    segmentation.SetConversionParameter("Smoothing factor", _SMOOTHING)
    for order, (label, structure) in enumerate(labelmap.names.items()):
        segment = slicer.vtkSegment()
        segment.SetName(structure)
        segment.SetColor(*structure_colour(structure, order))
        segment.SetLabelValue(label)
        # All segments share the one image: that is how Slicer stores segments that do not overlap.
        segment.AddRepresentation(_LABELMAP, image)
        code = terminology(structure)
        if code is not None:
            segment.SetTag(segment.GetTerminologyEntryTagName(), code)
        segmentation.AddSegment(segment, structure)
        node.GetDisplayNode().SetSegmentOpacity3D(structure, structure_opacity(structure))
    if surfaces:
        node.CreateClosedSurfaceRepresentation()
    provenance.write(node, Type=provenance.SEGMENTATION)
    scene.put(node)
    return node


def segmentation_from_node(node: slicer.vtkMRMLSegmentationNode) -> Labelmap:
    """The labelmap of a segmentation on its reference geometry; where segments overlap, the later one counts.

    Labels are the segments' own where these are all different, and else 1, 2, 3 and so on in the segments' order.
    """
    return _merged(node, range(_segment_count(node)))


def structures_from_node(node: slicer.vtkMRMLSegmentationNode) -> list[Labelmap]:
    """The segments whole: in one labelmap where none can overlap, else in one each, on the reference geometry."""
    count = _segment_count(node)
    if node.GetSegmentation().GetNumberOfLayers() == 1 and count <= LARGEST_LABEL:
        return [_merged(node, range(count))]
    return [_merged(node, [index]) for index in range(count)]


def _segment_count(node: slicer.vtkMRMLSegmentationNode) -> int:
    count = node.GetSegmentation().GetNumberOfSegments()
    if not count:
        raise InputError(f"The segmentation {node.GetName()} has no segment: add one.")
    return count


def _merged(node: slicer.vtkMRMLSegmentationNode, chosen: Sequence[int]) -> Labelmap:
    """Some segments, by their numbers, as one labelmap."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in chosen]
    labels = [segment.GetLabelValue() for segment in segments]
    if len(set(labels)) < len(labels) or not all(0 < label <= LARGEST_LABEL for label in labels):
        labels = list(range(1, len(segments) + 1))
    if len(labels) > LARGEST_LABEL:
        raise InputError(
            f"The segmentation {node.GetName()} has {len(labels)} segments: at most {LARGEST_LABEL} are possible; split it."
        )
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for index, label in zip(chosen, labels, strict=True):
        ids.InsertNextValue(segmentation.GetNthSegmentID(index))
        values.InsertNextValue(label)
    merged = slicer.vtkOrientedImageData()
    whole = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    if not node.GenerateMergedLabelmapForAllSegments(merged, whole, None, ids, values):
        raise InputError(f"The segmentation {node.GetName()} has no binary labelmap: create that representation.")
    array, affine = mrml.from_oriented_image(merged, node)
    names = {label: segment.GetName() for label, segment in zip(labels, segments, strict=True)}
    return Labelmap(array.astype(np.uint8), mrml.grid(array, affine), names)
