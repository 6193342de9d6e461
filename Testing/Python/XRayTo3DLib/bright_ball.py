"""A model of the interface ``shape-vae/1`` that finds the brightest disc of a picture, and gives a ball of its latent radius."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.models.zoo import LoadedModel, ModelFile

#: Of the ball, mm; where the model says it lies along the beam, mm from the body's middle; mm of a voxel.
RADIUS, DEEPER, SPACING = 25.0, 12.0, 3.0


class BrightBall:
    """Mean coordinates are radii in mm; the one mode of shape is 5 mm wide."""

    def __init__(self, view: str, takes_mask: bool) -> None:
        self.view, self.takes_mask, self.looks = view, takes_mask, 0

    def __call__(self, picture: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        self.looks += 1
        bright = picture[0, 0] > 0.5 * picture.max()
        rows, columns = bright.nonzero(as_tuple=True)
        across = (columns.float().mean() - 127.5) * 1.5
        up = (127.5 - rows.float().mean()) * 1.5
        offset = [across, torch.tensor(DEEPER), up] if self.view == "frontal" else [torch.tensor(DEEPER), across, up]
        # A mask's own area tells the radius, where there is one.
        radius = torch.tensor(RADIUS) if mask is None else (mask.sum() * SPACING**2 / torch.pi).sqrt()
        return torch.stack([radius, torch.zeros(())])[None], torch.stack(offset)[None]

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        axis = (torch.arange(64.0) - 31.5) * SPACING
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return torch.sigmoid(2 * (latent[0, 0] - (x * x + y * y + z * z).sqrt()))[None, None]

    def spread(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([RADIUS, 0.0]), torch.diag(torch.tensor([25.0, 1e-4]))


def bright_ball(view: str = "frontal", masks: str = "optional", organ: str = "liver") -> LoadedModel:
    card: dict[str, Any] = {
        "name": "ball",
        "task": "shape",
        "interface": "shape-vae/1",
        "inputs": {"views": {"minimum": 1, "maximum": 1}, "view": view, "masks": masks},
        "outputs": {"grid": {"size": [64] * 3, "spacing_mm": [SPACING] * 2}, "structures": [{"name": organ, "code": ""}]},
    }
    return LoadedModel(ModelFile(Path("ball.pt"), card, "0" * 64, True), BrightBall(view, masks != "none"))
