"""DiffDRR: trilinear ray marching with 500 points a ray (its default), and exact Siddon, both in torch.

Its renderers are called with the rays themselves, a band of the picture at a time where a whole one would not fit.
"""

from __future__ import annotations

import numpy as np
import torch
from diffdrr import renderers

from engines import version_of
from engines.torch_engine import TorchEngine
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

POINTS = 500
#: Rays rendered at once; the package's own option for this is called ``patch_size``.
_RAYS = 16384


class Trilinear(TorchEngine):
    name = "DiffDRR trilinear"
    versions = {"diffdrr": version_of("diffdrr")}
    model = "trilinear"
    slow = True
    renderer = renderers.Trilinear()
    options = {"n_points": POINTS}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.volume = torch.from_numpy(mu).permute(2, 1, 0)

    def _render(self, view: Projection, volume: torch.Tensor, pose: torch.Tensor | None = None) -> torch.Tensor:
        rows, columns = np.indices(view.size).reshape(2, -1)
        ends = torch.from_numpy(np.vstack([view.source, view.pixel_positions(np.stack([rows, columns], axis=1))]))
        lengths = (ends[1:] - ends[0]).norm(dim=1).float()
        to_index = torch.tensor(self.grid.to_index)
        to_index = to_index if pose is None else to_index @ torch.linalg.inv(pose)
        ends = (ends @ to_index[:3, :3].T + to_index[:3, 3]).float()
        bands = [
            self.renderer(volume, ends[None, :1], targets[None], length[None, None], **self.options).reshape(-1)
            for targets, length in zip(ends[1:].split(_RAYS), lengths.split(_RAYS), strict=True)
        ]
        return torch.cat(bands).reshape(view.size)

    def _zyx(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.permute(2, 1, 0)


class Siddon(Trilinear):
    name = "DiffDRR Siddon"
    model = "box"
    renderer = renderers.Siddon()
    options = {}
