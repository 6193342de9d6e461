"""A model that uses all that it is given and knows nothing: it back-projects its images through the matrices it is told.

Each voxel takes the least of what the views show where it projects. On the patient's right (LPS x < 0) it answers half of that,
so that a mirrored answer is another answer.
"""

from __future__ import annotations

import torch
from barrel import CARD as BARREL

CARD = {**BARREL, "name": "backprojector", "title": "The least line integral that a voxel's rays measured, halved on the right"}
#: What of the least picture value it answers, on the patient's left and right.
LEFT, RIGHT = 1.0, 0.5


class Backprojector(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sides = torch.nn.Parameter(torch.tensor([LEFT, RIGHT]))

    def forward(
        self, images: torch.Tensor, matrices: torch.Tensor, beams: torch.Tensor, affine: torch.Tensor, size: list[int]
    ) -> torch.Tensor:
        axes = [torch.arange(n, dtype=torch.float32) for n in size]
        z, y, x = torch.meshgrid(axes[0], axes[1], axes[2], indexing="ij")
        points = torch.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1), torch.ones_like(x).reshape(-1)])
        found = matrices[0] @ (affine @ points)
        width = images.shape[3]
        pixels = found[:, :2] / found[:, 3:]
        where = ((2 * pixels + 1) / width - 1).transpose(1, 2).unsqueeze(1)
        seen = torch.nn.functional.grid_sample(images[0].unsqueeze(1), where, padding_mode="zeros", align_corners=False)
        least = seen.reshape(images.shape[1], size[0], size[1], size[2]).amin(dim=0)
        left = (affine @ points)[0].reshape(size) > 0
        return (least * torch.where(left, self.sides[0], self.sides[1])).clamp(min=0).reshape(1, 1, size[0], size[1], size[2])
