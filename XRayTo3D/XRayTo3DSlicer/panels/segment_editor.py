"""Opening Slicer's Segment Editor on a segmentation."""

from __future__ import annotations

from typing import Any

import slicer


def edit(segmentationNode: Any, volumeNode: Any) -> None:
    """Show the Segment Editor with a segmentation and the image that it is drawn on."""
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True, rotateToVolumePlane=True)
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    editor.setSegmentationNode(segmentationNode)
    editor.setSourceVolumeNode(volumeNode)
