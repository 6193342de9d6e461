"""Organs from X-rays, with or without an outline that the user has drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DSlicer.logic import checks
from XRayTo3DSlicer.nodes import organ_nodes, outline_nodes, provenance, radiograph_nodes, scene, segmentation_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.models.zoo import ModelFile
    from XRayTo3DLib.shapes.base import ShapeSystem

#: An outline: a segmentation or labelmap node, a picture or labelmap file, or an array [row, column].
Mask: TypeAlias = "slicer.vtkMRMLNode | str | Path | np.ndarray"


class OrganLogic:
    """The part of :class:`Logic` that finds organs."""

    def organShape(
        self,
        radiographs: slicer.vtkMRMLScalarVolumeNode | Sequence[slicer.vtkMRMLScalarVolumeNode],
        organ: str,
        mask: Mask | Sequence[Mask | None] | None = None,
        model: str | Path | ShapeSystem | None = None,
        ask: Callable[[ModelFile], bool] | None = None,
        region: str | None = None,
        name: str | None = None,
        progress: Progress = silent,
    ) -> organ_nodes.OrganNodes:
        """An organ from one or more X-rays: a segmentation, a table with its volume, and its outline on each X-ray.

        - ``organ``: its name, as "lungs", "liver" or "mandible";
        - ``mask``: the organ's outline as you drew it, better than none: a segmentation (:meth:`drawOutline` makes one) or labelmap
          on an X-ray, which finds its X-ray itself; or a file or array of the X-ray's size, and for several X-rays a list with one
          each, ``None`` where none was drawn;
        - ``model``: name or path, by default the one that comes for this organ; ``ask``: whether to trust one from elsewhere;
        - ``region``: of pictures of unknown scale, what they show: head, chest or abdomen.
        """
        from XRayTo3DLib.shapes.answer import organ_shape
        from XRayTo3DLib.shapes.organs import find_organ

        given = [radiographs] if not isinstance(radiographs, (list, tuple)) else list(radiographs)
        nodes = [checks.given(node, "radiograph") for node in given]
        wanted = find_organ(organ).name
        pictures = [radiograph_nodes.xray_from_node(node) for node in nodes]
        masks, drawn = _masks(mask, pictures, wanted)
        with scene.operation(*nodes, *drawn) as adding:
            found = organ_shape(pictures, wanted, masks, model, ask, region, progress=part(progress, 0.0, 0.95))
            progress(0.95, "adding the organ to the scene")
            with adding():
                views = " + ".join(picture.name for picture in pictures)
                return organ_nodes.add(found, pictures, [*nodes, *drawn], name or f"{wanted} {views}")

    def drawOutline(self, radiographNode: slicer.vtkMRMLScalarVolumeNode, organ: str) -> slicer.vtkMRMLSegmentationNode:
        """An empty segmentation on an X-ray, with a segment of the organ's name and code, to be drawn in the Segment Editor."""
        from XRayTo3DLib.shapes.organs import find_organ

        wanted = find_organ(organ).name
        radiograph_nodes.xray_from_node(checks.given(radiographNode, "radiograph"))
        projection = provenance.projection_from_text(provenance.read(radiographNode, "Projection") or "", radiographNode.GetName())
        grid = Grid.from_affine(projection.detector_affine, (projection.size[1], projection.size[0], 1))
        labels = Labelmap(np.zeros(grid.shape, np.uint8), grid, {1: wanted})
        with scene.all_or_nothing():
            title = scene.unique_name(f"{radiographNode.GetName()} {wanted} drawn")
            node = segmentation_nodes.segmentation_to_node(labels, title, radiographNode, surfaces=False)
            provenance.stamp(node, [radiographNode], Type=provenance.OUTLINE)
            node.SetAndObserveTransformNodeID(radiographNode.GetTransformNodeID())
            scene.put(node, scene.folder_of(radiographNode))
        return node


def _masks(
    mask: Mask | Sequence[Mask | None] | None, pictures: list[Radiograph], organ: str
) -> tuple[list[np.ndarray | None] | None, list[slicer.vtkMRMLNode]]:
    """The drawn pixels of each picture, and the nodes that they were drawn in."""
    if mask is None:
        return None, []
    if isinstance(mask, slicer.vtkMRMLNode):
        return list(outline_nodes.drawn_on(_checked(mask), pictures, organ)), [mask]
    each = list(mask) if isinstance(mask, (list, tuple)) else [mask]
    if len(each) != len(pictures):
        raise InputError(
            f"There are {len(each)} masks for {len(pictures)} X-rays: give a list with one each, None where none is drawn."
        )
    from XRayTo3DLib.io.picture_masks import read_mask

    found: list[np.ndarray | None] = []
    for one, picture in zip(each, pictures, strict=True):
        if isinstance(one, slicer.vtkMRMLNode):
            found += outline_nodes.drawn_on(_checked(one), [picture], organ)
        else:
            found.append(None if one is None else read_mask(one, picture.projection.size, picture.name))
    return found, [one for one in each if isinstance(one, slicer.vtkMRMLNode)]


def _checked(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    return checks.given(node, "outline")
