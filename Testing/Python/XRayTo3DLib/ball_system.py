"""A shape system that costs nothing: a ball of a given radius, as probabilities with soft edges, wherever the X-rays look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.shapes.base import ShapeEstimate

CENTRE = (4.0, -6.0, 10.0)


@dataclass(frozen=True)
class BallSystem:
    radius: float = 30.0
    spacing: float = 4.0
    interval: tuple[float, float] | None = None
    name: str = "ball"
    interface: str = "ball/1"

    def check(self, model, radiographs, organ, masks):
        pass

    def run(self, model, radiographs, organ, masks, progress):
        grid = Grid.centred((0, 0, 0), round(108 / self.spacing), self.spacing)
        z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
        points = np.stack([x, y, z], -1) * self.spacing + np.array(grid.origin)
        distance = np.linalg.norm(points - CENTRE, axis=-1)
        inside = np.clip(0.5 + (self.radius - distance) / self.spacing, 0, 1).astype(np.float32)
        return ShapeEstimate(Volume(inside, grid, "1"), interval_ml=self.interval, notes=("a ball",))
