"""Radiographs as volume nodes with one slice, standing in 3D where their detectors are, and back."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DSlicer.nodes import display, mask_nodes, mrml, provenance

#: A radiograph counts as moved when a corner of its image lies further from where its geometry says, in mm.
_MOVED_MM = 1e-2


def radiograph_to_node(radiograph: Radiograph, name: str, kind: str = provenance.RADIOGRAPH) -> slicer.vtkMRMLScalarVolumeNode:
    """A radiograph as a volume with one slice, standing in 3D where its detector is, and its mask where it has one.

    ``kind`` is the node's attribute Type: a radiograph, its re-projection, the difference of both, or a single structure.
    """
    values = radiograph.line_integrals.astype(np.float32)
    node = mrml.image_to_node(values[np.newaxis], radiograph.projection.detector_affine, name)
    provenance.write(node, Type=kind, View=radiograph.name, Unknown=" ".join(radiograph.unknown))
    provenance.write(node, Projection=provenance.projection_to_text(radiograph.projection), Notes=radiograph.notes)
    if kind == provenance.STRUCTURE:  # most of the picture is empty
        low, high = 0.0, max(float(values.max()), 1e-6)
    else:
        shown = values if radiograph.valid is None else values[radiograph.valid]
        low, high = display.symmetric_range(shown) if kind == provenance.RESIDUAL else display.grey_range(shown)
    display.show_volume(node, high - low, (high + low) / 2)
    if radiograph.valid is not None:
        mask_nodes.mask_to_node(radiograph.valid, node)
    return node


def xray_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Radiograph:
    """The radiograph of a node that was measured or simulated; what was derived from one is refused as an X-ray."""
    kind = provenance.read(node, "Type")
    if kind not in (None, provenance.RADIOGRAPH):
        raise InputError(f"{node.GetName()} is no X-ray but a {kind.lower()} made from others: choose a measured X-ray or a DRR.")
    return radiograph_from_node(node)


def set_projection(node: slicer.vtkMRMLScalarVolumeNode, projection: Projection) -> None:
    """Give a radiograph node another geometry (of the same size) and move it there."""
    columns, rows, _ = mrml.dimensions(node)
    if projection.size != (rows, columns):
        raise InputError(f"{node.GetName()} has {rows} rows and {columns} columns but its geometry {projection.size}: correct it.")
    mrml.place(node, projection.detector_affine)
    provenance.write(node, Projection=provenance.projection_to_text(projection))
    node.RemoveAttribute(f"{provenance.PREFIX}Isocentre")


def isocentre_of(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray | None:
    """The point that the beam of a radiograph node is aimed at, LPS mm, where it is known; a parent transform moves it along."""
    point = provenance.read_list(node, "Isocentre")
    return (mrml.to_world(node) @ [*point, 1.0])[:3] if point else None


def radiograph_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Radiograph:
    """The radiograph of a node that :func:`radiograph_to_node` made, with exactly its projection and its mask as it is now.

    A rigid parent transform moves source and detector together. A node whose own geometry was changed since is refused,
    because nobody knows where its source is then.
    """
    text = provenance.read(node, "Projection")
    if text is None:
        raise InputError(f"{node.GetName()} has no projection geometry, so it is no radiograph: load it as one, or make a DRR.")
    projection = provenance.projection_from_text(text, node.GetName())
    array, stands = mrml.image_from_node(node, world=False)
    if array.shape[1:] != projection.size or array.shape[0] != 1 or _apart(stands, projection) > _MOVED_MM:
        raise InputError(
            f"{node.GetName()} was moved, cropped or resampled after its geometry was set: load it again, or set the "
            "geometry again."
        )
    world = mrml.to_world(node)
    if not np.array_equal(world, np.eye(4)):
        try:
            projection = projection.transformed(world)
        except InputError:
            raise InputError(
                f"The transform of {node.GetName()} is not rigid, which no X-ray system is: use a rigid transform."
            ) from None
    unknown = tuple((provenance.read(node, "Unknown") or "").split())
    if not set(unknown) <= set(UNKNOWN):
        raise InputError(f"{node.GetName()} has the damaged attribute XRayTo3D.Unknown: make or load the X-ray again.")
    notes = tuple(str(note) for note in provenance.read_list(node, "Notes"))
    valid = mask_nodes.valid_of(node, projection.size)
    name = provenance.read(node, "View") or node.GetName()
    return Radiograph(array[0].astype(np.float32), projection, name, unknown, notes, valid)


def _apart(affine: np.ndarray, projection: Projection) -> float:
    """How far, in mm, two placements of a detector differ at its corners."""
    rows, columns = projection.size
    corners = np.array([[c, r, 0, 1] for c in (0, columns - 1) for r in (0, rows - 1)], dtype=float)
    return float(np.abs(corners @ (affine - projection.detector_affine).T).max())
