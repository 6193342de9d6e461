"""A marker network and an image network that agree exactly: two landmarks, one in each half of the picture, are bright spots.

The X-ray is water as thick as the body, with a spot of line integral 2 at each landmark; the heat maps are what is brighter than
water.
"""

from __future__ import annotations

from pathlib import Path

import torch

from XRayTo3DLib.models.zoo import load_model, save_model
from XRayTo3DLib.parametrized.networks import Networks

NAMES = ("right_spot", "left_spot")
ROWS, COLUMNS, UNIT, SPOT = 32, 48, 4.0, 0.5


class SpotImage(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spot = torch.nn.Parameter(torch.tensor(SPOT))

    def forward(self, surface: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return 0.5 * surface[:, 1:] + self.spot * maps.sum(dim=1, keepdim=True)


class SpotMarker(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spot = torch.nn.Parameter(torch.tensor(SPOT))

    def forward(self, surface: torch.Tensor, xray: torch.Tensor) -> torch.Tensor:
        bright = ((xray - 0.5 * surface[:, 1:]) / self.spot).clamp(min=0)
        halves = torch.zeros(2, xray.shape[2], xray.shape[3])
        halves[0, :, : xray.shape[3] // 2] = 1
        halves[1, :, xray.shape[3] // 2 :] = 1
        return bright * halves


def spot_card(task: str, **inputs: object) -> dict[str, object]:
    """The card of either network; ``inputs`` replace what it says of them."""
    marks = task == "landmarks"
    told = {
        "views": {"minimum": 1, "maximum": 1},
        "size": [ROWS, COLUMNS],
        "spacing_mm": 4.0,
        "xray_unit": UNIT,
        "sigma_pixels": 2.0,
        "projections": ["AP"],
        "unit": "test",
    }
    return {
        "schema": 2,
        "name": f"spot_{task}",
        "version": "1.0.0",
        "task": task,
        "interface": "marker-net/1" if marks else "image-net/1",
        "region": ["a box"],
        "landmarks": list(NAMES),
        "inputs": told | inputs,
        "outputs": {"grid": {"size": [COLUMNS, ROWS, 1], "spacing_mm": [4.0, 4.0]}, "unit": "test"},
        "training": {
            "data": [{"name": "none", "subjects": 1, "licence": "CC0", "attribution": "made for tests"}],
            "seed": 0,
            "steps": 0,
        },
        "metrics": [],
        "intended_use": "Testing the loop of markers and image.",
        "limits": ["It draws spots."],
        "licence": "Apache-2.0",
    }


def spot_networks(folder: Path, marker: dict[str, object] | None = None, image: dict[str, object] | None = None) -> Networks:
    """Both written to ``folder``, loaded and put together; ``marker`` and ``image``: other cards."""
    save_model(SpotMarker(), marker or spot_card("landmarks"), folder / "spot_markers.pt")
    save_model(SpotImage(), image or spot_card("xray"), folder / "spot_image.pt")
    loaded = [load_model(folder / name, ask=lambda m: True) for name in ("spot_markers.pt", "spot_image.pt")]
    return Networks(*loaded)
