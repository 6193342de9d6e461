"""nanodrr: ray marching with torch's ``grid_sample``, 500 samples a ray (its default)."""

from __future__ import annotations

import numpy as np
import torch
from nanodrr.data import Subject
from nanodrr.drr import render

from engines import version_of
from engines.torch_engine import TorchEngine, camera
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

SAMPLES = 500


class NanoDRR(TorchEngine):
    name = "nanodrr"
    versions = {"nanodrr": version_of("nanodrr")}
    model = "trilinear"
    slow = False

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.volume = torch.from_numpy(mu)
        self.subject = self._subject(self.volume)

    def _subject(self, mu: torch.Tensor) -> Subject:
        image = mu[None, None]
        return Subject(
            image,
            torch.zeros((1, 1, 1, 1, 1)),  # no structures
            torch.tensor(self.grid.affine, dtype=torch.float32),
            torch.tensor(self.grid.to_index, dtype=torch.float32),
            Subject._make_voxel_to_grid(image.shape),
            torch.from_numpy(self.grid.centre).float(),
            max_label=0,
            convert_to_mu=False,
        )

    def _render(self, view: Projection, volume: torch.Tensor, pose: torch.Tensor | None = None) -> torch.Tensor:
        subject = self.subject if volume is self.volume else self._subject(volume)
        rows, columns = view.size
        distance, corner = view.source_to_detector, camera(view)[:3, :3].numpy().T @ (view.origin - view.source)
        # From pixel positions, whose centres are at 0.5, to the plane one millimetre from the source.
        inverse = np.diag([view.spacing[1] / distance, view.spacing[0] / distance, 1.0])
        inverse[:2, 2] = (corner[:2] - np.array(view.spacing[::-1]) / 2) / distance
        return render(
            subject,
            torch.from_numpy(inverse).float()[None],
            camera(view, pose).float()[None],
            torch.tensor([distance], dtype=torch.float32),
            rows,
            columns,
            n_samples=SAMPLES,
        )[0, 0]
