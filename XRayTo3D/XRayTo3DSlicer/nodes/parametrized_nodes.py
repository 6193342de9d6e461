"""A parametrized X-ray in the scene: its image, its surface image and its landmarks, and all that it takes to go on after a reload.

The state is text on the point list; the X-ray and the surface image are volumes, so that every way of saving a scene keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.parametrized.answer import state_radiograph
from XRayTo3DLib.parametrized.loop import State
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.parametrized.surface_image import SurfaceImage
from XRayTo3DSlicer.nodes import model_nodes, mrml, provenance, radiograph_nodes, scene

#: Roles of the references of the point list.
_IMAGE, _SURFACE, _PICTURE = (provenance.PREFIX + role for role in ("Image", "SurfaceImage", "Picture"))


class Nodes(NamedTuple):
    """The nodes of one parametrized X-ray: its pixels, its landmarks, its picture in 3D (a model) and its surface image."""

    imageNode: slicer.vtkMRMLScalarVolumeNode
    pointsNode: slicer.vtkMRMLMarkupsFiducialNode
    pictureNode: slicer.vtkMRMLModelNode | None
    surfaceImageNode: slicer.vtkMRMLScalarVolumeNode


@dataclass(frozen=True, eq=False)
class Saved:
    """What a point list knows of its parametrized X-ray: ``networks``: marker and image network, by name or path."""

    region: str
    networks: tuple[str, str]
    first: State
    state: State


def add(state: State, region: Region, name: str, sources: list[slicer.vtkMRMLNode]) -> Nodes:
    """The nodes of a state, in a folder of their own; call it inside :func:`scene.all_or_nothing`."""
    title = scene.unique_name(name)
    folder = scene.new_folder(title)
    surface = state.surface
    xray = state_radiograph(state)
    image = radiograph_nodes.radiograph_to_node(xray, title, provenance.PREDICTION)
    picture = model_nodes.picture_to_node(xray, f"{title} picture")
    layers = np.stack([*surface.array, surface.field]).astype(np.float32)
    hidden = mrml.image_to_node(layers, surface.projection.detector_affine, f"{title} surface image")
    provenance.write(hidden, Type=provenance.SURFACE_IMAGE)
    hidden.SetHideFromEditors(True)
    points = mrml.markups_to_node("vtkMRMLMarkupsFiducialNode", positions(state), f"{title} landmarks")
    for index, landmark in enumerate(region.landmarks):
        points.SetNthControlPointLabel(index, landmark.name)
        points.SetNthControlPointDescription(index, landmark.definition)
    points.SetFixedNumberOfControlPoints(True)
    points.CreateDefaultDisplayNodes()
    shown = points.GetDisplayNode()
    shown.SetGlyphScale(2.0)
    shown.SetTextScale(2.5)
    shown.SetPropertiesLabelVisibility(False)
    provenance.write(points, Type=provenance.LANDMARKS)
    for role, node in ((_IMAGE, image), (_SURFACE, hidden), (_PICTURE, picture)):
        points.SetNodeReferenceID(role, node.GetID())
    for node in (image, picture, hidden, points):
        provenance.stamp(node, sources)
        scene.put(node, folder)
    return Nodes(image, points, picture, hidden)


def positions(state: State) -> np.ndarray:
    """LPS mm of all landmarks (N, 3) on the picture, NaN for absent ones."""
    return state.surface.projection.pixel_positions(state.points)


def show_image(nodes: Nodes, xray: np.ndarray) -> None:
    """Other pixels (line integrals, [row, column]) in the X-ray and its picture in 3D, in place."""
    mrml.refill(nodes.imageNode, xray[np.newaxis])
    if nodes.pictureNode is not None and nodes.pictureNode.GetPolyData() is not None:
        model_nodes.refill_picture(nodes.pictureNode, xray)


def save(nodes: Nodes, region: str, networks: Sequence[str], first: State, state: State) -> None:
    """Write on the point list what :func:`load` reads."""
    surface = state.surface
    provenance.write(
        nodes.pointsNode,
        Region=region,
        View=surface.view,
        Networks=list(networks),
        FramePoints={name: point.tolist() for name, point in surface.points.items()},
        Projection=provenance.projection_to_text(surface.projection),
        Notes=list(surface.notes),
        Names=list(state.names),
        First=_pixels(first.points),
        Points=_pixels(state.points),
        Held=state.held.tolist(),
        Locked=state.locked.tolist(),
        Rounds=state.rounds,
        MovedMM=state.moved_mm if np.isfinite(state.moved_mm) else None,
        Converged=bool(state.converged),
    )


def nodes_of(pointsNode: slicer.vtkMRMLMarkupsFiducialNode) -> Nodes:
    """The nodes that belong to a point list; :class:`InputError` when it has no parametrized X-ray (any more)."""
    image, surface, picture = (pointsNode.GetNodeReference(role) for role in (_IMAGE, _SURFACE, _PICTURE))
    if provenance.read(pointsNode, "Type") != provenance.LANDMARKS or image is None or surface is None:
        raise InputError(
            f"{pointsNode.GetName()} belongs to no parametrized X-ray of this scene: generate one, or choose its landmarks."
        )
    return Nodes(image, pointsNode, picture, surface)


def load(nodes: Nodes) -> Saved:
    """What was saved; the X-ray of ``first`` is not saved, and has to be drawn again: it is all 0 here."""
    points, name = nodes.pointsNode, nodes.pointsNode.GetName()
    try:
        told = {key: json.loads(provenance.read(points, key) or "") for key in _SAVED}
        projection = provenance.projection_from_text(provenance.read(points, "Projection") or "", name)
        layers = mrml.image_from_node(nodes.surfaceImageNode, world=False)[0]
        xray = mrml.image_from_node(nodes.imageNode, world=False)[0][0].astype(np.float32)
        frame = {key: np.array(value, dtype=np.float64) for key, value in told["FramePoints"].items()}
        surface = SurfaceImage(
            layers[:2].astype(np.float32),
            projection,
            str(provenance.read(points, "Region")),
            str(provenance.read(points, "View")),
            frame,
            layers[2] > 0.5,
            tuple(map(str, told["Notes"])),
        )
        names, count = tuple(map(str, told["Names"])), len(told["Names"])
        flags = [np.array(told[key], dtype=bool) for key in ("Held", "Locked")]
        places = [_numbers(told[key]) for key in ("Points", "First")]
        sizes = [layers.shape[1:], xray.shape] == [projection.size] * 2 and points.GetNumberOfControlPoints() == count
        if not (sizes and all(f.shape == (count,) for f in flags) and all(p.shape == (count, 2) for p in places)):
            raise ValueError("sizes differ")
        moved = float("inf") if told["MovedMM"] is None else float(told["MovedMM"])
        state = State(surface, names, places[0], xray, *flags, int(told["Rounds"]), moved, bool(told["Converged"]))
        marker, image = map(str, told["Networks"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"What {name} knows of its parametrized X-ray is damaged ({error}): generate the X-ray again.") from None
    first = replace(state, points=places[1], xray=np.zeros_like(xray), held=np.zeros(count, dtype=bool))
    return Saved(surface.region, (marker, image), first, state)


_SAVED = ("Networks", "FramePoints", "Notes", "Names", "First", "Points", "Held", "Locked", "Rounds", "MovedMM", "Converged")


def _pixels(points: np.ndarray) -> list[Any]:
    return [point.tolist() if np.isfinite(point).all() else None for point in points]


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([[np.nan, np.nan] if value is None else value for value in values], dtype=np.float64).reshape(-1, 2)
