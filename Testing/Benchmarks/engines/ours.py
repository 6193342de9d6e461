"""XRayTo3DLib, with its fast CPU back end and with torch alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engines import version_of
from engines.torch_engine import TorchEngine
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.projection.projector import Preview, project


class Torch(TorchEngine):
    """The reference path, which everything falls back to."""

    name = "XRayTo3D torch"
    versions = {"torch": version_of("torch")}
    model = "trilinear"
    slow = False
    environment = {"XRAYTO3D_NUMBA": "0"}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.volume, self.grid = torch.from_numpy(mu), grid
        self.prepared = Preview(self.volume, grid)

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        """Several views go in one call."""
        return [picture.numpy() for picture in project(self.volume, self.grid, projections)]

    def preview(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        return [picture.numpy() for picture in self.prepared.project(projections)]

    def parallel_sum(self, projection: Projection, axis: int) -> list[np.ndarray]:
        return self.project([projection])

    def _render(self, view: Projection, volume: torch.Tensor, pose: torch.Tensor | None = None) -> torch.Tensor:
        return project(volume, self.grid, [view], pose)[0]


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
