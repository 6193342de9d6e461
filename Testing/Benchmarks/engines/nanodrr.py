"""nanodrr: ray marching with torch's ``grid_sample``, 500 samples a ray (its default)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from nanodrr.data import Subject
from nanodrr.drr import render

from engines import version_of
from engines.pose import moved
from XRayTo3DLib.geometry import Grid, Projection

SAMPLES = 500


class NanoDRR:
    name = "nanodrr"
    versions = {"nanodrr": version_of("nanodrr")}
    model = "trilinear"
    slow = False
    environment: dict[str, str] = {}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.subject = self._subject(torch.from_numpy(mu))

    @staticmethod
    def use_threads(count: int) -> int:
        torch.set_num_threads(count)
        return torch.get_num_threads()

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        with torch.no_grad():
            return [self._render(view, _camera(view), self.subject).numpy() for view in projections]

    def pose_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        pose = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        # Moving the volume is moving the camera the other way.
        camera = torch.linalg.inv(moved(pose, self.grid.centre)) @ _camera(projection)
        picture = self._render(projection, camera, self.subject)
        return torch.autograd.grad((picture * weights).sum(), pose)[0].numpy()

    def volume_gradient(self, projection: Projection, weights: torch.Tensor) -> np.ndarray:
        volume = self.subject.image.detach().requires_grad_()
        picture = self._render(projection, _camera(projection), self._subject(volume[0, 0]))
        return torch.autograd.grad((picture * weights).sum(), volume)[0][0, 0].numpy()

    def _subject(self, mu: torch.Tensor) -> Subject:
        to_world = torch.from_numpy(self.grid.affine)
        image = mu[None, None]
        return Subject(
            image,
            torch.zeros((1, 1, 1, 1, 1)),  # no structures
            to_world.float(),
            torch.linalg.inv(to_world).float(),
            Subject._make_voxel_to_grid(image.shape),
            torch.from_numpy(self.grid.centre).float(),
            max_label=0,
            convert_to_mu=False,
        )

    @staticmethod
    def _render(view: Projection, camera: torch.Tensor, subject: Subject) -> torch.Tensor:
        rows, columns = view.size
        distance, corner = view.source_to_detector, _camera(view)[:3, :3].numpy().T @ (view.origin - view.source)
        # From pixel positions, whose centres are at 0.5, to the plane one millimetre from the source.
        inverse = np.diag([view.spacing[1] / distance, view.spacing[0] / distance, 1.0])
        inverse[:2, 2] = (corner[:2] - np.array(view.spacing[::-1]) / 2) / distance
        return render(
            subject,
            torch.from_numpy(inverse).float()[None],
            camera.float()[None],
            torch.tensor([distance], dtype=torch.float32),
            rows,
            columns,
            n_samples=SAMPLES,
        )[0, 0]


def _camera(view: Projection) -> torch.Tensor:
    """Camera to world: x along rows, y down columns, z from the source to the detector."""
    forward = view.normal * (-1 if view.is_mirrored else 1)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([view.row_direction, view.column_direction, forward], axis=1)
    matrix[:3, 3] = view.source
    return torch.from_numpy(matrix)
