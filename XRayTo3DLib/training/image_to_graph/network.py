"""The image-to-graph network of Nakao et al. (MICCAI 2021): a displacement map of the picture, and convolutions on the mesh.

A U-Net sees the picture and the template's own shadow in it, and gives a map of displacements. Each vertex takes its displacement
from the map where the template projects to, beside its place, through graph convolutions with residual averaging.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import nn

from XRayTo3DLib.models.torchscript import kept
from XRayTo3DLib.shapes.methods.organ_frame import ACROSS_AXIS, PICTURE_MM, PICTURE_SIZE
from XRayTo3DLib.training.soft_place import offset_of, soft_place

#: Places are learned in units of so many mm, pictures in units of so much line integral.
UNIT_MM, PICTURE_SCALE = 10.0, 5.0


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            nn.GroupNorm(min(4, width), width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.GroupNorm(min(4, width), width),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class _GraphConvolution(nn.Module):
    """The mean of a vertex's own value and of what it makes of itself and its neighbours, where the widths allow."""

    def __init__(self, before: int, width: int, last: bool = False) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(before, width), nn.Linear(before, width, bias=False)
        self.residual, self.last = before == width, last

    def forward(self, values: torch.Tensor, edges: torch.Tensor, degree: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(values).index_add(1, edges[:, 0], values[:, edges[:, 1]])
        found = self.own(values) + self.near(total / degree)
        if self.last:
            return found
        found = functional.relu(found)
        return 0.5 * (values + found) if self.residual else found


class ImageToGraph(nn.Module):
    """A picture (B, 1, 256, 256) to the vertices (B, N, 3) of an organ, and where it lies (B, 3), all in mm.

    Vertices are LPS mm from the picture's middle within the picture, and from the organ's own middle along the beam. The offset is
    that of the shape VAE: from the picture's middle, and along the beam from the body's.
    """

    def __init__(self, vertices: int, plane: Sequence[int], graph: int, layers: int, view: str) -> None:
        super().__init__()
        self.unit_mm, self.picture_scale, self.across = UNIT_MM, PICTURE_SCALE, ACROSS_AXIS[view]
        self.half_mm = PICTURE_SIZE * PICTURE_MM / 2
        a, b, c, d = plane
        self.down1, self.down2, self.down3, self.down4 = _Block(2, a, 2), _Block(a, b, 2), _Block(b, c, 2), _Block(c, d, 2)
        self.up3, self.up2, self.up1 = _Block(d + c, c), _Block(c + b, b), _Block(b + a, a)
        self.map = nn.Conv2d(a, 3, 1)
        self.heat, self.deep = nn.Conv2d(c, 1, 1), nn.Linear(4 * d, 1)
        widths = [6, *[graph] * (layers - 1), 3]
        self.graph = nn.ModuleList(
            _GraphConvolution(before, width, number == layers - 1) for number, (before, width) in enumerate(pairwise(widths))
        )
        with torch.no_grad():  # the template as it is, at first
            self.graph[-1].own.weight.mul_(0.1)  # type: ignore[union-attr, operator]
            self.graph[-1].near.weight.mul_(0.1)  # type: ignore[union-attr, operator]
        self.register_buffer("template", torch.zeros(vertices, 3))
        self.register_buffer("triangles", torch.zeros(2 * vertices - 4, 3, dtype=torch.int64))
        self.register_buffer("edges", torch.zeros(6 * vertices - 12, 2, dtype=torch.int64))
        self.register_buffer("shadow", torch.zeros(1, 1, PICTURE_SIZE // 2, PICTURE_SIZE // 2))

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        vertices, offset, _ = self.answer(picture)
        return vertices, offset

    @kept
    def answer(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Vertices, offset, and the displacements (B, N, 3) in mm that the map gives to the template's vertices."""
        seen = functional.avg_pool2d(picture, 2) / self.picture_scale
        x1 = self.down1(torch.cat([seen, self.shadow.expand(len(seen), -1, -1, -1)], dim=1))
        x2 = self.down2(x1)
        x3 = self.down3(x2)
        x4 = self.down4(x3)
        x3 = self.up3(torch.cat([functional.interpolate(x4, scale_factor=2.0), x3], dim=1))
        x2 = self.up2(torch.cat([functional.interpolate(x3, scale_factor=2.0), x2], dim=1))
        x1 = self.up1(torch.cat([functional.interpolate(x2, scale_factor=2.0), x1], dim=1))
        deep = self.deep(functional.adaptive_avg_pool2d(x4, 2).flatten(1)) * self.unit_mm
        offset = offset_of(soft_place(self.heat(x3), self.half_mm), deep, self.across)
        where = torch.stack([self.template[:, self.across], -self.template[:, 2]], dim=-1) / self.half_mm
        sampled = functional.grid_sample(self.map(x1), where[None, None].expand(len(seen), -1, -1, -1), align_corners=False)
        displacement = sampled[:, :, 0].transpose(1, 2)
        template = (self.template / self.unit_mm)[None].expand(len(seen), -1, -1)
        values = torch.cat([template, displacement], dim=2)
        degree = torch.zeros(len(self.template), 1, device=values.device, dtype=values.dtype)
        degree = degree.index_add(0, self.edges[:, 0], torch.ones(len(self.edges), 1, device=values.device, dtype=values.dtype))
        for layer in self.graph:
            values = layer(values, self.edges, degree)
        return (template + displacement + values) * self.unit_mm, offset, displacement * self.unit_mm
