"""A model that costs nothing: the same trunk, whatever the X-rays show."""

from __future__ import annotations

import torch

CARD = {
    "schema": 2,
    "name": "barrel",
    "version": "0.0.1",
    "title": "An elliptic cylinder, whatever the X-rays show",
    "task": "volume",
    "interface": "lifted-views/1",
    "region": ["chest"],
    "inputs": {"views": {"minimum": 1, "maximum": 3}, "beam": ["parallel", "cone"], "unit": "line integral"},
    "outputs": {
        "grid": {"size": [24, 24, 24], "spacing_mm": [2.0, 32.0], "multiple_of": 8},
        "unit": "attenuation over that of water",
        "channels": ["mean", "standard deviation"],
    },
    "training": {
        "data": [{"name": "none", "subjects": 1, "licence": "Apache-2.0", "attribution": "made for a test"}],
        "seed": 1,
        "steps": 0,
    },
    "metrics": [
        {"data": "phantom", "split": "test", "setting": "two_views", "method": "ours", "values": {"psnr": 1.5}},
    ],
    "intended_use": "Testing the command line without a trained network.",
    "limits": ["It knows nothing."],
    "licence": "Apache-2.0",
}


class Barrel(torch.nn.Module):
    """A trunk as wide as the thorax phantom (340 x 230 mm) at the origin, in LPS: wide from the front, narrow from the side."""

    def __init__(self) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(0.7))

    def forward(
        self,
        images: torch.Tensor,
        matrices: torch.Tensor,
        beams: torch.Tensor,
        affine: torch.Tensor,
        size: list[int],
    ) -> torch.Tensor:
        z = torch.arange(size[0]).view(-1, 1, 1) * affine[2, 2] + affine[2, 3]
        y = torch.arange(size[1]).view(1, -1, 1) * affine[1, 1] + affine[1, 3]
        x = torch.arange(size[2]).view(1, 1, -1) * affine[0, 0] + affine[0, 3]
        inside = ((x / 165) ** 2 + (y / 110) ** 2 < 1) & (z.abs() < 150)
        volume = torch.where(inside, self.value, torch.zeros_like(self.value))
        return torch.stack([volume, 0.2 * volume]).unsqueeze(0).expand(images.shape[0], 2, size[0], size[1], size[2])
