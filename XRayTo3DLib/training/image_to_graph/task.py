"""This system as a task for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.anatomy.catalogue import CATALOGUE
from XRayTo3DLib.shapes.methods.organ_frame import ACROSS_AXIS, PICTURE_MM, PICTURE_SIZE, SHAPE_SIZE
from XRayTo3DLib.training.image_to_graph.meshes import MeshSubject
from XRayTo3DLib.training.image_to_graph.network import UNIT_MM, ImageToGraph
from XRayTo3DLib.training.image_to_graph.settings import ImageToGraphSettings
from XRayTo3DLib.training.organ_examples import OrganExamples, project_cube
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.task import Losses


def build(recipe: Recipe[ImageToGraphSettings]) -> ImageToGraph:
    """The untrained network of a recipe, by the recipe's seed, without its template; torch's own random state stays what it is."""
    told = recipe.settings.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return ImageToGraph(told.vertices, told.plane, told.graph, told.layers, recipe.settings.pictures.view)


def card(recipe: Recipe[ImageToGraphSettings]) -> dict[str, Any]:
    """What the model card says of what the network takes and gives."""
    organ = recipe.settings.organ
    return {
        "task": "mesh",
        "interface": "image-to-graph/1",
        "inputs": {
            "views": {"minimum": 1, "maximum": 1},
            "view": recipe.settings.pictures.view,
            "masks": "none",
            "size": [PICTURE_SIZE, PICTURE_SIZE],
            "spacing_mm": PICTURE_MM,
            "unit": "line integral about the organ's middle",
        },
        "outputs": {
            "grid": {"size": [SHAPE_SIZE] * 3, "spacing_mm": [organ.spacing, organ.spacing]},
            "unit": f"{recipe.settings.network.vertices} vertices of a closed surface",
            "structures": [{"name": organ.name, "code": CATALOGUE[organ.name].code}],
        },
    }


@dataclass(frozen=True)
class Batch:
    """``picture`` (B, 1, 256, 256); ``vertices`` (B, N, 3) and ``offset`` (B, 3) as the network should give them."""

    picture: torch.Tensor
    vertices: torch.Tensor
    offset: torch.Tensor


class ImageToGraphTask:
    """Pictures to the template's vertices."""

    figure = "vertex_mm"

    def __init__(self, recipe: Recipe[ImageToGraphSettings], subjects: Sequence[MeshSubject]) -> None:
        self.recipe = recipe
        self.subjects = subjects
        self.examples = OrganExamples(recipe, [subject.organ for subject in subjects])
        self.across = [ACROSS_AXIS[recipe.settings.pictures.view], 2]

    def build(self) -> ImageToGraph:
        """The untrained network with its template."""
        network, template = build(self.recipe), self.subjects[0].template
        cube = torch.from_numpy(template.cube).float()[None, None]
        shadow = project_cube(cube, self.recipe.settings.pictures.view)
        # The cube's pixels to the network's, about the same middle.
        size = PICTURE_SIZE // 2
        side = torch.linspace(-1, 1, size) * (size - 1) / size * (PICTURE_SIZE * PICTURE_MM)
        side = side / (SHAPE_SIZE * self.recipe.settings.organ.spacing)
        where = torch.stack(torch.meshgrid(side, side, indexing="ij")[::-1], dim=-1)[None]
        network.get_buffer("shadow").copy_(functional.grid_sample(shadow, where, align_corners=False))
        for name, values in (("template", template.points), ("triangles", template.triangles), ("edges", template.edges)):
            network.get_buffer(name).copy_(torch.from_numpy(np.ascontiguousarray(values)))
        return network

    def batch(self, step: int, device: torch.device) -> Batch:
        seen = self.examples.batch(step)
        vertices = torch.stack([torch.from_numpy(self.subjects[p].vertices[v]) for p, v, _ in seen.draws])
        mirrored = torch.tensor([[-1.0 if m else 1.0, 1.0, 1.0] for _, _, m in seen.draws])
        vertices = vertices * mirrored[:, None]
        vertices[:, :, self.across] += seen.offset[:, None, self.across]
        return Batch(seen.picture.to(device), vertices.to(device), seen.offset.to(device))

    def loss(self, network: torch.nn.Module, batch: Batch) -> Losses:
        """Position, Laplacian and mapping loss, and where the organ lies."""
        assert isinstance(network, ImageToGraph)
        weights = self.recipe.settings.loss
        found, offset, displacement = network.answer(batch.picture)
        away = (found - batch.vertices) / UNIT_MM
        wanted = batch.vertices - network.get_buffer("template")
        mapping = ((displacement - wanted)[..., self.across] / UNIT_MM).square().sum(dim=2).mean()
        edges = network.get_buffer("edges")
        total = torch.zeros_like(away).index_add(1, edges[:, 0], away[:, edges[:, 1]])
        near = total / torch.bincount(edges[:, 0]).clamp(min=1)[:, None]
        loss = weights.position * away.square().sum(dim=2).mean() + weights.mapping * mapping
        loss = loss + weights.laplacian * (away - near).square().sum(dim=2).mean()
        loss = loss + weights.offset * functional.smooth_l1_loss(offset / UNIT_MM, batch.offset / UNIT_MM)
        return Losses(loss, (away.detach().norm(dim=2) * UNIT_MM).mean())
