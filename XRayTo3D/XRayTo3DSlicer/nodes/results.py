"""A finished reconstruction as nodes, in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import slicer

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, scene, volume_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.reconstruction.result import Reconstruction

VolumeNode: TypeAlias = slicer.vtkMRMLScalarVolumeNode


@dataclass(frozen=True, eq=False)
class ReconstructionNodes:
    """What a reconstruction added to the scene, and how well it agrees with the radiographs, in the order of these.

    ``beforeFusionNode`` is ``None`` without fusion, ``deviationNode`` (a standard deviation in HU) for a model that
    gives none. ``errors`` are mean absolute re-projection errors over the mean measured line integral, after and before
    fusion; a small one is not evidence of correct depth. ``notes`` are sentences that the user must see.
    """

    volumeNode: VolumeNode
    beforeFusionNode: VolumeNode | None
    deviationNode: VolumeNode | None
    reprojectionNodes: list[VolumeNode]
    residualNodes: list[VolumeNode]
    errors: list[float]
    errorsBefore: list[float]
    modelName: str
    modelSHA256: str
    seconds: float
    notes: list[str]
    folder: int


def add(found: Reconstruction, radiographNodes: list[VolumeNode], name: str, fused: bool) -> ReconstructionNodes:
    """Add the nodes of a reconstruction to the scene; call it inside :func:`scene.all_or_nothing`."""
    title = scene.unique_name(name)
    folder = scene.new_folder(title)

    def keep(node: VolumeNode, sources: list[VolumeNode], **values: object) -> VolumeNode:
        provenance.stamp(node, sources, Model=found.model_name, ModelSHA256=found.model_sha256, **values)
        scene.put(node, folder)
        return node

    made_from = {
        "Views": [radiograph.name for radiograph in found.radiographs],
        "Projections": [provenance.projection_to_text(radiograph.projection) for radiograph in found.radiographs],
    }
    volume = keep(
        volume_nodes.volume_to_node(found.volume, title),
        radiographNodes,
        Type=provenance.RECONSTRUCTION,
        Fused=fused,
        Errors=found.errors,
        ErrorsBefore=found.errors_before,
        Notes=found.notes,
        **made_from,
    )
    before = deviation = None
    if fused:
        before = keep(
            volume_nodes.volume_to_node(found.before_fusion, f"{title} before fusion"),
            radiographNodes,
            Type=provenance.RECONSTRUCTION,
            Fused=False,
            Errors=found.errors_before,
            **made_from,
        )
    if found.deviation is not None:
        deviation = keep(volume_nodes.deviation_to_node(found.deviation, f"{title} uncertainty"), radiographNodes, **made_from)
    reprojections, residuals = [], []
    for measured, picture, error in zip(found.radiographs, found.reprojections, found.errors, strict=True):
        label = f"{title} {measured.name}"
        again = Radiograph(picture.astype(np.float32), measured.projection, measured.name)
        node = radiograph_nodes.radiograph_to_node(again, f"{label} re-projection", provenance.REPROJECTION)
        reprojections.append(keep(node, [volume], Error=error))
        difference = again.line_integrals - measured.line_integrals
        if measured.valid is not None:
            difference = np.where(measured.valid, difference, 0)
        rest = Radiograph(difference, measured.projection, measured.name)
        node = radiograph_nodes.radiograph_to_node(rest, f"{label} residual", provenance.RESIDUAL)
        residuals.append(keep(node, [volume], Error=error))
    return ReconstructionNodes(
        volumeNode=volume,
        beforeFusionNode=before,
        deviationNode=deviation,
        reprojectionNodes=reprojections,
        residualNodes=residuals,
        errors=found.errors,
        errorsBefore=found.errors_before,
        modelName=found.model_name,
        modelSHA256=found.model_sha256,
        seconds=found.seconds,
        notes=found.notes,
        folder=folder,
    )
