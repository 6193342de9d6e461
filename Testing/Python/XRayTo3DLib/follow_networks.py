"""Networks in which one landmark follows the other: the left one is seen 20 pixels beside the right one, which rests at its anchor.

The X-ray is water as thick as the body, with a bright spot at each landmark.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from spot_networks import COLUMNS, NAMES, ROWS, SPOT, SpotImage, spot_card

from XRayTo3DLib.models.zoo import describe_model, save_model, trust_model

#: [row, column] of the right landmark when no X-ray shows it, and columns from there to the left one.
ANCHOR, BESIDE = (14.0, 12.0), 20


class FollowMarker(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spot = torch.nn.Parameter(torch.tensor(SPOT))
        rows = torch.exp(-0.125 * (torch.arange(ROWS) - ANCHOR[0]) ** 2)
        columns = torch.exp(-0.125 * (torch.arange(COLUMNS) - ANCHOR[1]) ** 2)
        self.register_buffer("anchor", rows[:, None] * columns)

    def forward(self, surface: torch.Tensor, xray: torch.Tensor) -> torch.Tensor:
        bright = ((xray - 0.5 * surface[:, 1:]) / self.spot).clamp(min=0)
        right = bright.clone()
        right[..., xray.shape[3] // 2 :] = 0
        seen = (right.amax(dim=(2, 3), keepdim=True) > 0.3).float()
        right = seen * right + (1 - seen) * self.anchor
        return torch.cat([right, torch.roll(right, 20, 3)], dim=1)


def follow_networks(folder: Path) -> tuple[str, str]:
    """The paths of both, trusted."""
    paths = []
    for module, task in ((FollowMarker(), "landmarks"), (SpotImage(), "xray")):
        path = folder / f"follow_{task}.pt"
        save_model(module, {**spot_card(task), "name": f"follow-{task}"}, path)
        trust_model(describe_model(path))
        paths.append(str(path))
    return paths[0], paths[1]


def follow_region(folder: Path) -> Path:
    """A region whose pictures these networks take: the middle of its two landmarks lies in the middle of the picture."""
    landmarks = [
        {
            "name": name,
            "definition": f"the {name.replace('_', ' ')} of the tests",
            "group": "test",
            "colour": [1, 0, 0],
            "measure": {"kind": "centroid", "structure": "nothing"},
        }
        for name in NAMES
    ]
    frame = {
        "landmarks": list(NAMES),
        "size": [ROWS, COLUMNS],
        "spacing_mm": 4.0,
        "camera_mm": 200.0,
        "scaled": False,
        "reference_mm": 40.0,
        "place": {"AP": [(ROWS - 1) / 2, (COLUMNS - 1) / 2]},
        "range": {"AP": 8.0},
    }
    path = folder / "ball.json"
    path.write_text(json.dumps({"name": "ball", "title": "Ball", "frame": frame, "landmarks": landmarks}), encoding="utf-8")
    return path
