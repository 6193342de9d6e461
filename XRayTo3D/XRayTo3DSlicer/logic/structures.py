"""Segments and surfaces of a volume, and its comparison with a CT."""

from __future__ import annotations

from typing import Any

import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DSlicer.logic import checks
from XRayTo3DSlicer.nodes import model_nodes, provenance, scene, segmentation_nodes


class StructureLogic:
    """The part of :class:`Logic` that makes something of a volume."""

    def segment(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str | None = None) -> slicer.vtkMRMLSegmentationNode:
        """Body, lungs and bone of a CT or a reconstruction, with closed surfaces, in the folder of that volume."""
        from XRayTo3DLib.anatomy.segmentation import segment_ct

        labelmap = segment_ct(checks.ct(volumeNode))
        with scene.all_or_nothing():
            title = scene.unique_name(name or f"{volumeNode.GetName()} segmentation")
            node = segmentation_nodes.segmentation_to_node(labelmap, title, volumeNode)
            provenance.stamp(node, [volumeNode])
            scene.put(node, scene.folder_of(volumeNode))
        return node

    def extractSurfaces(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkMRMLModelNode]:
        """One closed surface a segment as a model, its volume in mL as an attribute; empty segments are left out."""
        from XRayTo3DLib.anatomy.surfaces import extract_surfaces

        surfaces = extract_surfaces(segmentation_nodes.segmentation_from_node(checks.given(segmentationNode, "segmentation")))
        if not surfaces:
            raise InputError(f"All segments of {segmentationNode.GetName()} are empty: there is no surface to extract.")
        with scene.all_or_nothing():
            added = []
            for order, surface in enumerate(surfaces):
                node = model_nodes.surface_to_node(surface, order)
                provenance.stamp(node, [segmentationNode])
                scene.put(node, scene.folder_of(segmentationNode))
                added.append(node)
        return added

    def compare(self, reconstructionNode: slicer.vtkMRMLScalarVolumeNode, ctNode: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
        """Figures of a reconstruction against the CT, on the reconstruction's grid; nothing is added to the scene.

        ``psnr`` (dB, peak 2500) and ``ssim`` on HU + 1024 clipped to [0, 2500] over the whole grid; ``psnr_x2ct`` the
        same with the peak 4095; ``hu_mae_body`` in HU where the CT is above -300 HU; for each of body (all inside the
        skin), lungs and bone ``dice``, ``hd95_mm``, ``volume_ml`` and ``volume_ml_ct``. What is not defined is NaN.
        """
        from XRayTo3DLib.evaluation import comparison

        estimate, ct = checks.ct(reconstructionNode), checks.ct(ctNode)
        try:
            found = comparison.compare_with_ct(ct, {"reconstruction": estimate})
        except InputError as error:
            raise InputError(f"{reconstructionNode.GetName()} cannot be compared with {ctNode.GetName()}: {error}") from None
        return {
            "reconstruction": reconstructionNode.GetName(),
            "ct": ctNode.GetName(),
            "range": comparison.RANGE,
            "structures": {},
            **found.figures["reconstruction"],
        }
