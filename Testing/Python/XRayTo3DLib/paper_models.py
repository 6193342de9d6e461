"""Model files for the paper head: spots at the chin and at the larynx, which stand where they were until they are moved."""

from __future__ import annotations

from pathlib import Path

import torch
from spot_networks import spot_card

from XRayTo3DLib.models.zoo import describe_model, save_model, trust_model
from XRayTo3DLib.parametrized.heat_maps import heat_maps
from XRayTo3DLib.parametrized.regions import find_region

NAMES = find_region("head_neck").names
#: Row and column where the marker network puts them in the first X-ray.
PLACES = {"chin": (62.0, 64.0), "larynx": (88.0, 64.0)}
SPOT = 0.25


class PaperImage(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spot = torch.nn.Parameter(torch.tensor(SPOT))

    def forward(self, surface: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return 0.3 * surface[:, 1:] + self.spot * maps.sum(dim=1, keepdim=True)


class PaperMarker(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        points = torch.full((1, len(NAMES), 2), torch.nan)
        halves = torch.zeros(1, len(NAMES), 128, 128)
        for name, place in PLACES.items():
            points[0, NAMES.index(name)] = torch.tensor(place)
            halves[0, NAMES.index(name), : 76 if name == "chin" else 128] = 1
        halves[0, NAMES.index("larynx"), :76] = 0
        self.prior = torch.nn.Parameter(heat_maps(points, (128, 128)))
        self.halves = torch.nn.Parameter(halves)
        self.spot = torch.nn.Parameter(torch.tensor(SPOT))

    def forward(self, surface: torch.Tensor, xray: torch.Tensor) -> torch.Tensor:
        bright = ((xray - 0.3 * surface[:, 1:]) / self.spot - 0.05).clamp(min=0)
        if float(bright.max()) < 0.2:
            return self.prior.clone()
        return bright * self.halves


def save_paper_models(folder: Path) -> tuple[Path, Path]:
    """A marker and an image network of head and neck as trusted model files."""
    paths = []
    for module, task in ((PaperMarker(), "landmarks"), (PaperImage(), "xray")):
        inputs = {"size": [128, 128], "xray_unit": 5.0, "projections": ["AP", "LLAT"]}
        card = {**spot_card(task, **inputs), "name": f"paper_{task}", "region": ["head_neck"], "landmarks": list(NAMES)}
        paths.append(folder / f"paper_{task}.pt")
        save_model(module, card, paths[-1])
        trust_model(describe_model(paths[-1]))
    return paths[0], paths[1]
