"""XRayTo3DLib, with its fast CPU back end and with torch alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engines import version_of
from engines.pose import moved
from XRayTo3DLib.geometry import Grid, Projection
from XRayTo3DLib.projector import Preview, project


class Torch:
    """The reference path, which everything falls back to."""

    name = "XRayTo3D torch"
    versions = {"torch": version_of("torch")}
    model = "trilinear"
    slow = False
    environment = {"XRAYTO3D_NUMBA": "0"}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.mu, self.grid = torch.from_numpy(mu), grid
        self.prepared = Preview(self.mu, grid)

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        return [picture.numpy() for picture in project(self.mu, self.grid, projections)]

    def preview(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        return [picture.numpy() for picture in self.prepared.project(projections)]

    def parallel_sum(self, projection: Projection, axis: int) -> list[np.ndarray]:
        return self.project([projection])

    def pose_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        pose = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        (picture,) = project(self.mu, self.grid, [projection], pose=moved(pose, self.grid.centre))
        return torch.autograd.grad((picture * weights).sum(), pose)[0].numpy()

    def volume_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        volume = self.mu.detach().requires_grad_()
        (picture,) = project(volume, self.grid, [projection])
        return torch.autograd.grad((picture * weights).sum(), volume)[0].numpy()


class Fast(Torch):
    """The same calls with the compiled back end."""

    name = "XRayTo3D"
    versions = {"torch": version_of("torch"), "numba": version_of("numba")}
    environment = {"XRAYTO3D_NUMBA": "1"}

    @staticmethod
    def use_threads(count: int) -> int:
        import numba

        torch.set_num_threads(count)
        numba.set_num_threads(count)
        return numba.get_num_threads()
