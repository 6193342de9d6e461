"""X-rays parametrized by landmarks: drawn from the body's surface, changed by dragging landmarks, and what they serve for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.vectors import vector
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DSlicer.logic import checks
from XRayTo3DSlicer.nodes import model_nodes, mrml, provenance, radiograph_nodes, scene, segmentation_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.anatomy.surfaces import Surface
    from XRayTo3DLib.models.zoo import LoadedModel, ModelFile
    from XRayTo3DLib.parametrized.networks import Networks
    from XRayTo3DSlicer.logic.live_loop import Later, LiveLoop


class ParametrizedXRay(NamedTuple):
    """The predicted X-ray, its landmarks as a point list, and the loop that lets them follow each other."""

    imageNode: slicer.vtkMRMLScalarVolumeNode
    pointsNode: slicer.vtkMRMLMarkupsFiducialNode
    loop: LiveLoop


class AnomalyNodes(NamedTuple):
    """What in an X-ray is not as predicted: a segmentation on it, the difference in shares of the range, the score in cm^2."""

    segmentationNode: slicer.vtkMRMLSegmentationNode
    differenceNode: slicer.vtkMRMLScalarVolumeNode
    score: float


class ParametrizedLogic:
    """The part of :class:`Logic` that draws X-rays of a body's surface and its landmarks."""

    def parametrizedXRay(
        self,
        surfaceNode: slicer.vtkMRMLNode,
        region: str | Path = "head_neck",
        view: str | None = None,
        networks: tuple[str, str] | None = None,
        points: slicer.vtkMRMLMarkupsFiducialNode | Mapping[str, Sequence[float]] | None = None,
        name: str | None = None,
        ask: Callable[[ModelFile], bool] | None = None,
        progress: Progress = silent,
        later: Later | None = None,
    ) -> ParametrizedXRay:
        """The X-ray and the landmarks that a body's surface lets expect, and which follow each other from now on.

        Drag a landmark in a slice or 3D view: the X-ray is drawn anew in place, and the others go along, except locked ones.

        - ``surfaceNode``: a CT, a segmentation with the whole body, or a closed model of the skin;
        - ``region``: ``head_neck``, ``torso``, or a JSON file; ``view``: one of its frame's, by default the first;
        - ``networks``: names or paths of a marker and an image network, by default those that are found for region and view;
        - ``points``: where landmarks of the skin are (LPS mm, or a point list whose points have their names), in place of those
          that are measured; the frame is placed by two of them;
        - ``later``: see :class:`.live_loop.LiveLoop`.
        """
        from XRayTo3DLib.parametrized.answer import networks_for, surface_of
        from XRayTo3DLib.parametrized.loop import Loop
        from XRayTo3DLib.parametrized.regions import find_region
        from XRayTo3DSlicer.logic.live_loop import LiveLoop
        from XRayTo3DSlicer.nodes import parametrized_nodes

        wanted = find_region(region)
        word = wanted.views[0] if view is None else view
        source, given = _source(checks.given(surfaceNode, "surface")), _given(points)
        with scene.operation(surfaceNode) as adding:
            progress(0.0, "finding the networks")
            nets = networks_for(wanted, word, *(networks or (None, None)), ask=ask)
            progress(0.1, "measuring the surface")
            surface = surface_of(source, wanted, word, given)
            loop = Loop(nets, wanted, surface, part(progress, 0.4, 0.95))
            with adding():
                title = name or f"{surfaceNode.GetName()} {wanted.title} {surface.view}"
                nodes = parametrized_nodes.add(loop.state, wanted, title, [surfaceNode])
                live = LiveLoop(loop, nodes, str(region), _named(nets), later)
        return ParametrizedXRay(nodes.imageNode, nodes.pointsNode, live)

    def parametrizedLoop(
        self,
        pointsNode: slicer.vtkMRMLMarkupsFiducialNode,
        ask: Callable[[ModelFile], bool] | None = None,
        later: Later | None = None,
    ) -> LiveLoop:
        """The loop of the landmarks of a parametrized X-ray; in a scene that was loaded it goes on where it was.

        Landmarks that were moved while no loop was there count as dragged. There is nothing to undo at first.
        """
        from XRayTo3DLib.parametrized.loop import Loop
        from XRayTo3DLib.parametrized.networks import load_networks
        from XRayTo3DSlicer.logic.live_loop import LiveLoop
        from XRayTo3DSlicer.nodes import parametrized_nodes

        running = LiveLoop.running.get(checks.given(pointsNode, "point list").GetID())
        if running is not None and running.nodes.pointsNode is pointsNode:
            return running
        nodes = parametrized_nodes.nodes_of(pointsNode)
        saved = parametrized_nodes.load(nodes)
        nets = load_networks(*saved.networks, ask=ask)
        nets.check(saved.state.names, saved.state.surface.projection.size, nets.spacing_mm, saved.state.surface.view)
        first = replace(saved.first, xray=nets.xray(saved.state.surface.array, saved.first.points))
        loop = Loop.resumed(nets, first, saved.state)
        meanwhile = mrml.markups_from_node(pointsNode)
        live = LiveLoop(loop, nodes, saved.region, saved.networks, later)
        live.catchUp(meanwhile)
        return live

    def completeXRay(
        self,
        pointsNode: slicer.vtkMRMLMarkupsFiducialNode,
        radiographNode: slicer.vtkMRMLScalarVolumeNode,
        name: str | None = None,
        progress: Progress = silent,
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """An X-ray that shows a part of the region, completed: its pixels stay, the rest is predicted. Landmarks are fitted to it.

        The X-ray must be calibrated and look along the view of the parametrized X-ray. The result stands in the frame of that.
        """
        from XRayTo3DLib.parametrized.completion import complete, in_frame

        loop, radiograph = self._real(pointsNode, radiographNode)
        with scene.operation(pointsNode, radiographNode) as adding:
            partial, shown = in_frame(radiograph, loop.state.surface)
            found = complete(loop.networks, loop.state, partial, shown, progress)
            share = 100 * np.count_nonzero(shown & found.state.surface.silhouette) / max(1, found.state.surface.silhouette.sum())
            note = f"{share:.0f} % of the body's pixels are those of {radiographNode.GetName()}; the others are predicted."
            with adding():
                whole = Radiograph(found.xray, found.state.surface.projection, found.state.surface.view, notes=(note,))
                title = scene.unique_name(name or f"{radiographNode.GetName()} completed")
                node = radiograph_nodes.radiograph_to_node(whole, title, provenance.PREDICTION)
                provenance.stamp(node, [radiographNode, loop.nodes.imageNode])
                self._placeBeside(node, loop)
        loop.adopt(found.state)
        return node

    def findAnomaly(
        self,
        pointsNode: slicer.vtkMRMLMarkupsFiducialNode,
        radiographNode: slicer.vtkMRMLScalarVolumeNode,
        threshold: float = 0.10,
        name: str | None = None,
        progress: Progress = silent,
    ) -> AnomalyNodes:
        """Where an X-ray differs from the healthy one that its surface predicts, by ``threshold`` (a share of the range) or more.

        The landmarks are fitted to the X-ray first, in a state of their own: those in the scene stay.
        """
        from XRayTo3DLib.parametrized.anomaly import find_anomaly
        from XRayTo3DLib.parametrized.completion import in_frame
        from XRayTo3DLib.parametrized.regions import find_region

        loop, radiograph = self._real(pointsNode, radiographNode)
        surface = loop.state.surface
        with scene.operation(pointsNode, radiographNode) as adding:
            picture, shown = in_frame(radiograph, surface)
            range_ = find_region(loop.region).frame.range.get(surface.view)
            if range_ is None:
                raise InputError(
                    f"The region {surface.region} states no range for the view {surface.view}: choose a view of its frame."
                )
            found = find_anomaly(loop.networks, loop.state, picture, shown, range_, threshold, progress=progress)
            projection = surface.projection
            grid = Grid.from_affine(projection.detector_affine, (projection.size[1], projection.size[0], 1))
            title = scene.unique_name(name or f"{radiographNode.GetName()} anomaly")
            note = f"Score {found.score:.3g} cm^2, {len(found.findings)} findings above {100 * threshold:g} % of the range."
            with adding():
                rest = Radiograph(found.difference, projection, surface.view, notes=(note,))
                difference = radiograph_nodes.radiograph_to_node(rest, f"{title} difference", provenance.RESIDUAL)
                labels = Labelmap(found.mask.astype(np.uint8)[np.newaxis], grid, {1: "anomaly"})
                segmentation = segmentation_nodes.segmentation_to_node(labels, title, difference, surfaces=False)
                for node in (difference, segmentation):
                    provenance.stamp(node, [radiographNode, loop.nodes.imageNode], Score=found.score, Threshold=threshold)
                    self._placeBeside(node, loop)
        return AnomalyNodes(segmentation, difference, found.score)

    def trainingXRays(
        self,
        pointsNode: slicer.vtkMRMLMarkupsFiducialNode,
        folder: str | Path,
        count: int = 20,
        seed: int = 0,
        progress: Progress = silent,
    ) -> list[Path]:
        """Write ``count`` X-rays whose landmarks were moved by chance, and landmarks.csv with their places; all or none.

        ``folder`` must be new or empty. The same seed gives the same X-rays; nothing in the scene changes.
        """
        from XRayTo3DLib.files import temporary_folder
        from XRayTo3DLib.io.radiographs import write_radiograph
        from XRayTo3DLib.parametrized.answer import state_radiograph
        from XRayTo3DLib.parametrized.augment import augment

        target = Path(folder)
        if not 1 <= count <= 100_000:
            raise InputError(f"{count} X-rays cannot be made: ask for 1 to 100000.")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target} is not an empty folder: name another one.")
        loop = self.parametrizedLoop(pointsNode)
        lines = ["image,landmark,row_px,column_px,x_lps_mm,y_lps_mm,z_lps_mm"]
        with temporary_folder(target) as temporary:
            for number, variant in enumerate(augment(loop.networks, loop.state, count, seed, progress=progress)):
                state, file = variant.state, f"{number:04d}.nrrd"
                write_radiograph(state_radiograph(state), Path(temporary, file))
                for landmark, place in state.positions().items():
                    row, column = state.points[state.index(landmark)]
                    lines.append(f"{file},{landmark},{row:.3f},{column:.3f}," + ",".join(f"{v:.3f}" for v in place))
            Path(temporary, "landmarks.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
            target.mkdir(parents=True, exist_ok=True)
            return [path.replace(target / path.name) for path in sorted(Path(temporary).iterdir())]

    def _real(
        self, pointsNode: slicer.vtkMRMLMarkupsFiducialNode, radiographNode: slicer.vtkMRMLScalarVolumeNode
    ) -> tuple[LiveLoop, Radiograph]:
        radiograph = radiograph_nodes.xray_from_node(checks.given(radiographNode, "radiograph"))
        return self.parametrizedLoop(pointsNode), radiograph

    def _placeBeside(self, node: slicer.vtkMRMLTransformableNode, loop: LiveLoop) -> None:
        """Where the predicted X-ray stands, and in its folder."""
        node.SetAndObserveTransformNodeID(loop.nodes.imageNode.GetTransformNodeID())
        scene.put(node, scene.folder_of(loop.nodes.imageNode))


def _source(node: slicer.vtkMRMLNode) -> Volume | Labelmap | Surface:
    """What a node shows the surface of a body with."""
    if node.IsA("vtkMRMLModelNode"):
        return model_nodes.surface_from_node(node)
    if node.IsA("vtkMRMLSegmentationNode"):
        return segmentation_nodes.segmentation_from_node(node)
    return checks.ct(node)


def _given(points: slicer.vtkMRMLMarkupsFiducialNode | Mapping[str, Sequence[float]] | None) -> dict[str, np.ndarray]:
    """Landmarks in LPS mm by name, from a mapping or the labels of a point list."""
    if points is None:
        return {}
    if isinstance(points, Mapping):
        return {name: vector(place, f"landmark {name}") for name, place in points.items()}
    places = mrml.markups_from_node(checks.given(points, "point list"))
    names = [points.GetNthControlPointLabel(index) for index in range(len(places))]
    return {name: place for name, place in zip(names, places, strict=True) if np.isfinite(place).all()}


def _named(networks: Networks) -> tuple[str, str]:
    """How the networks are found again: the bundled ones by name, others by path."""

    def word(model: LoadedModel) -> str:
        return model.file.name if model.file.bundled else str(model.file.path)

    return word(networks.marker), word(networks.image)
