"""DiffDRR: trilinear ray marching with 500 points a ray (its default), and exact Siddon, both in torch.

Its renderers are called with the rays themselves, a band of the picture at a time where a whole one would not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffdrr import renderers

from engines import version_of
from engines.pose import moved
from XRayTo3DLib.geometry import Grid, Projection

POINTS = 500
#: Rays rendered at once; the package's own option for this is called ``patch_size``.
_RAYS = 16384


class Trilinear:
    name = "DiffDRR trilinear"
    versions = {"diffdrr": version_of("diffdrr")}
    model = "trilinear"
    slow = True
    environment: dict[str, str] = {}
    renderer = renderers.Trilinear()
    options = {"n_points": POINTS}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.density = torch.from_numpy(mu).permute(2, 1, 0)

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        with torch.no_grad():
            return [self._render(view, self.density).numpy() for view in projections]

    def pose_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        pose = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        picture = self._render(projection, self.density, torch.linalg.inv(moved(pose, self.grid.centre)))
        return torch.autograd.grad((picture * weights).sum(), pose)[0].numpy()

    def volume_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        density = self.density.detach().requires_grad_()
        picture = self._render(projection, density)
        return torch.autograd.grad((picture * weights).sum(), density)[0].permute(2, 1, 0).numpy()

    def _render(self, view: Projection, density: torch.Tensor, move: torch.Tensor | None = None) -> torch.Tensor:
        rows, columns = np.indices(view.size).reshape(2, -1)
        ends = torch.from_numpy(np.vstack([view.source, view.pixel_positions(np.stack([rows, columns], axis=1))]))
        lengths = (ends[1:] - ends[0]).norm(dim=1).float()
        to_index = torch.from_numpy(np.linalg.inv(self.grid.affine))
        to_index = to_index if move is None else to_index @ move
        ends = (ends @ to_index[:3, :3].T + to_index[:3, 3]).float()
        bands = [
            self.renderer(density, ends[None, :1], targets[None], length[None, None], **self.options).reshape(-1)
            for targets, length in zip(ends[1:].split(_RAYS), lengths.split(_RAYS), strict=True)
        ]
        return torch.cat(bands).reshape(view.size)


class Siddon(Trilinear):
    name = "DiffDRR Siddon"
    model = "box"
    renderer = renderers.Siddon()
    options = {}
