"""flashdrr: ray marching with torch's ``grid_sample``, 500 samples a ray; square detectors on the central ray only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from flashdrr.rendering import VolumeRaycaster

from engines import version_of
from engines.pose import moved
from XRayTo3DLib.geometry import Grid, Projection

SAMPLES = 500
#: It integrates in cm.
_MM = 10.0


class FlashDRR:
    name = "flashdrr"
    versions = {"flashdrr": version_of("flashdrr")}
    model = "trilinear"
    slow = True
    environment: dict[str, str] = {}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.density = torch.from_numpy(mu * _MM).permute(2, 1, 0)[None, None]
        self.to_index = torch.from_numpy(np.linalg.inv(grid.affine)).float()
        self.casters: dict[tuple[int, float], VolumeRaycaster] = {}

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        with torch.no_grad():
            return [self._render(view, _camera(view), self.density).numpy() for view in projections]

    def pose_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        pose = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        camera = torch.linalg.inv(moved(pose, self.grid.centre)) @ _camera(projection)
        picture = self._render(projection, camera, self.density)
        return torch.autograd.grad((picture * weights).sum(), pose)[0].numpy()

    def volume_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        density = self.density.detach().requires_grad_()
        picture = self._render(projection, _camera(projection), density)
        gradient = torch.autograd.grad((picture * weights).sum(), density)[0]
        return (gradient[0, 0] * _MM).permute(2, 1, 0).numpy()

    def _render(self, view: Projection, camera: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
        # Its outermost pixels are centred on the edges of its field of view.
        angle = 2 * np.degrees(np.arctan((view.size[0] - 1) / 2 * view.spacing[0] / view.source_to_detector))
        key = view.size[0], float(angle)
        if key not in self.casters:
            self.casters[key] = VolumeRaycaster(ray_samples=SAMPLES, resolution=view.size, fov=angle, return_tau=True).eval()
        return self.casters[key](density, camera.float()[None], self.to_index)[0, 0]


def _camera(view: Projection) -> torch.Tensor:
    """Camera to world: right along rows, up against columns, forward from the source to the detector."""
    forward = view.normal * (-1 if view.is_mirrored else 1)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([view.row_direction, -view.column_direction, forward], axis=1)
    matrix[:3, 3] = view.source
    return torch.from_numpy(matrix)
