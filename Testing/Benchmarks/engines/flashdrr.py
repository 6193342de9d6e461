"""flashdrr: ray marching with torch's ``grid_sample``, 500 samples a ray; square detectors on the central ray only."""

from __future__ import annotations

import numpy as np
import torch
from flashdrr.rendering import VolumeRaycaster

from engines import version_of
from engines.torch_engine import TorchEngine, camera
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

SAMPLES = 500
#: It integrates in cm.
_MM = 10.0


class FlashDRR(TorchEngine):
    name = "flashdrr"
    versions = {"flashdrr": version_of("flashdrr")}
    model = "trilinear"
    slow = True

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.volume = torch.from_numpy(mu * _MM).permute(2, 1, 0)[None, None]
        self.to_index = torch.tensor(grid.to_index, dtype=torch.float32)
        self.casters: dict[tuple[int, float], VolumeRaycaster] = {}

    def _render(self, view: Projection, volume: torch.Tensor, pose: torch.Tensor | None = None) -> torch.Tensor:
        # Its outermost pixels are centred on the edges of its field of view.
        angle = 2 * np.degrees(np.arctan((view.size[0] - 1) / 2 * view.spacing[0] / view.source_to_detector))
        key = view.size[0], float(angle)
        if key not in self.casters:
            self.casters[key] = VolumeRaycaster(ray_samples=SAMPLES, resolution=view.size, fov=angle, return_tau=True).eval()
        return self.casters[key](volume, camera(view, pose, upwards=True).float()[None], self.to_index)[0, 0]

    def _zyx(self, gradient: torch.Tensor) -> torch.Tensor:
        return (gradient[0, 0] * _MM).permute(2, 1, 0)
