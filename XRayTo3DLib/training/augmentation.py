"""CTs moved, turned, scaled and bent at random, sampled once from their own voxels; and annealed values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.spatial.transform import Rotation

from XRayTo3DLib.training.subjects import Subject


def annealed(pair: Sequence[float], fraction: float) -> float:
    """The first value at ``fraction`` 0, the second from 1 on, linear between."""
    return pair[0] + (pair[1] - pair[0]) * min(1.0, fraction)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """3x3 rotation by three angles about the x, then y, then z axis of space, each at most 30 degrees either way."""
    return Rotation.from_euler("xyz", np.clip(degrees, -30, 30), degrees=True).as_matrix()


def smooth_field(generator: np.random.Generator, size: int, deviation: float) -> torch.Tensor:
    """Displacements (z, y, x, 3) of the given standard deviation at 5^3 nodes over a cube of ``size``, linear between."""
    nodes = torch.as_tensor(generator.normal(0, deviation, (1, 3, 5, 5, 5)), dtype=torch.float32)
    field = functional.interpolate(nodes, size=(size,) * 3, mode="trilinear", align_corners=True)
    return field[0].permute(1, 2, 3, 0)


def sample(subject: Subject, offsets: torch.Tensor, centre: np.ndarray) -> torch.Tensor:
    """Relative attenuation ``mu / mu_water`` of a CT at ``centre`` + ``offsets`` (..., 3), LPS mm: (...) float32.

    Linear between the CT's own voxels in HU, never negative, 0 outside of it.
    """
    affine = subject.to_index
    # The centre in double precision: scanners may have their origin far away.
    start = torch.as_tensor(affine[:3, :3] @ centre + affine[:3, 3], dtype=torch.float32)
    index = offsets.reshape(-1, 3) @ torch.tensor(affine[:3, :3].T, dtype=torch.float32) + start
    shape = torch.tensor(subject.values.shape[::-1])
    # Only the box around the points becomes float.
    low = torch.minimum(index.amin(0).floor().long().clamp(min=0), shape - 1)
    high = torch.maximum(torch.minimum(index.amax(0).ceil().long() + 2, shape), low + 1)
    (x0, y0, z0), (x1, y1, z1) = low.tolist(), high.tolist()
    box = 1 + subject.values[z0:z1, y0:y1, x0:x1].float() / 1000
    where = (2 * (index - low) + 1) / (high - low) - 1
    found = functional.grid_sample(box[None, None], where.reshape(1, 1, 1, -1, 3), align_corners=False)
    return found.reshape(offsets.shape[:-1]).clamp(min=0)
