"""Plain sums along an axis of the array: what an axis-aligned parallel beam comes down to."""

from __future__ import annotations

import numpy as np
import torch

from engines import version_of
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection


class TorchSum:
    name = "torch.sum"
    versions = {"torch": version_of("torch")}
    model = "trilinear"
    slow = False
    environment: dict[str, str] = {}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.mu, self.spacing = torch.from_numpy(mu), grid.spacing[::-1]

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def parallel_sum(self, projection: Projection, axis: int) -> list[np.ndarray]:
        return [(self.mu.sum(dim=axis) * self.spacing[axis]).numpy()]


class NumpySum:
    name = "numpy.sum"
    versions = {"numpy": version_of("numpy")}
    model = "trilinear"
    slow = False
    environment: dict[str, str] = {}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.mu, self.spacing = mu, grid.spacing[::-1]

    @staticmethod
    def use_threads(count: int) -> int:
        return 1  # numpy's sums have one thread

    def parallel_sum(self, projection: Projection, axis: int) -> list[np.ndarray]:
        return [self.mu.sum(axis=axis) * self.spacing[axis]]
