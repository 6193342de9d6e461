"""The six numbers of a pose, the same for every engine and for the reference."""

from __future__ import annotations

import numpy as np
import torch

#: Rotations are counted in mm at this distance from the pivot, so that all six numbers weigh alike.
LEVER = 100.0


def moved(pose: torch.Tensor, pivot: np.ndarray) -> torch.Tensor:
    """The rigid transform (4, 4) of the volume for six numbers: rotations about x, y, z through ``pivot``, then shifts.

    All six are in mm: a rotation by 1 moves what lies 100 mm from the axis by 1 mm. The frame is LPS.
    """
    zero = torch.zeros((), dtype=pose.dtype)
    x, y, z = pose[:3] / LEVER
    generator = torch.stack(
        [
            torch.stack([zero, -z, y, pose[3]]),
            torch.stack([z, zero, -x, pose[4]]),
            torch.stack([-y, x, zero, pose[5]]),
            torch.stack([zero, zero, zero, zero]),
        ]
    )
    there = torch.eye(4, dtype=pose.dtype)
    there[:3, 3] = torch.as_tensor(pivot, dtype=pose.dtype)
    return there @ torch.linalg.matrix_exp(generator) @ torch.linalg.inv(there)
