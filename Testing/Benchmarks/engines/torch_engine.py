"""What the engines in torch share: a view is rendered, and the picture differentiated by the pose or by the volume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from engines.pose import moved
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection


class TorchEngine(ABC):
    """An engine that gives ``grid``, ``volume`` and how a view is rendered.

    ``volume`` is the attenuation in the layout and the units that its package wants. Where these are not [z, y, x] and 1/mm,
    ``_zyx`` takes a gradient back.
    """

    environment: dict[str, str] = {}
    grid: Grid
    volume: torch.Tensor

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        with torch.no_grad():
            return [self._render(view, self.volume).numpy() for view in projections]

    def pose_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        numbers = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        picture = self._render(projection, self.volume, moved(numbers, self.grid.centre))
        return torch.autograd.grad((picture * weights).sum(), numbers)[0].numpy()

    def volume_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        volume = self.volume.detach().requires_grad_()
        picture = self._render(projection, volume)
        return self._zyx(torch.autograd.grad((picture * weights).sum(), volume)[0]).numpy()

    @abstractmethod
    def _render(self, view: Projection, volume: torch.Tensor, pose: torch.Tensor | None = None) -> torch.Tensor:
        """The picture (rows, columns) of ``volume``, which the rigid transform ``pose`` (4, 4) has moved."""

    def _zyx(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def camera(view: Projection, pose: torch.Tensor | None = None, upwards: bool = False) -> torch.Tensor:
    """Camera to world: x along rows, y down columns or ``upwards``, z from the source to the detector.

    Moving the volume by ``pose`` is moving the camera the other way.
    """
    forward = view.normal * (-1 if view.is_mirrored else 1)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([view.row_direction, view.column_direction * (-1 if upwards else 1), forward], axis=1)
    matrix[:3, 3] = view.source
    there = torch.from_numpy(matrix)
    return there if pose is None else torch.linalg.inv(pose) @ there
