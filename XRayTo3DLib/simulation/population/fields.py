"""Stationary velocity fields: their exponential, which is a diffeomorphism, by scaling and squaring (Arsigny et al., MICCAI 2006).

A velocity field is a float32 array (3, z, y, x): components along LPS x, y and z, in mm over one unit of time, on a :class:`Grid`
whose axes are those of LPS. Displacements have the same form. Between the nodes both are linear; beyond the outermost ones they
stay what they are there.
"""

from __future__ import annotations

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid

#: A step of the exponential is at most this share of a node's distance, so that no step folds.
_LARGEST_STEP = 0.25
_FEWEST, _MOST = 4, 12


def check_axes(grid: Grid) -> None:
    """Raise :class:`InputError` for a grid that is not aligned with LPS: fields are kept on aligned ones."""
    if np.abs(grid.direction - np.eye(3)).max() > 1e-6:
        raise InputError("The grid of a velocity field must be aligned with LPS: resample the atlas onto an aligned grid.")


def node_points(grid: Grid) -> torch.Tensor:
    """LPS mm of every node, float32 (z, y, x, 3)."""
    axes = [
        torch.arange(n, dtype=torch.float32) * step + first
        for n, step, first in zip(grid.size, grid.spacing, grid.origin, strict=True)
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return torch.stack((x, y, z), dim=-1)


def sample(values: torch.Tensor, grid: Grid, points: torch.Tensor, beyond: str = "border") -> torch.Tensor:
    """Linear interpolation of ``values`` (channels, z, y, x) on an aligned ``grid`` at ``points`` (..., 3) LPS mm: (..., channels).

    ``beyond``: ``"border"`` repeats the outermost nodes, ``"zeros"`` is 0 outside.
    """
    origin, spacing, size = (torch.tensor(v, dtype=torch.float32) for v in (grid.origin, grid.spacing, grid.size))
    scaled = (points - origin) / spacing * (2 / torch.clamp(size - 1, min=1)) - 1
    flat = scaled.reshape(1, -1, 1, 1, 3)
    found = torch.nn.functional.grid_sample(values[None], flat, mode="bilinear", padding_mode=beyond, align_corners=True)
    return found[0, :, :, 0, 0].T.reshape(*points.shape[:-1], values.shape[0])


def squarings(velocity: torch.Tensor, grid: Grid) -> int:
    """How often the field is halved so that one step stays below a quarter of the distance of two nodes."""
    fastest = float(velocity.detach().abs().amax())
    steps = int(np.ceil(np.log2(max(fastest / (_LARGEST_STEP * min(grid.spacing)), 1e-6))))
    return int(np.clip(steps, _FEWEST, _MOST))


def exponential(velocity: torch.Tensor, grid: Grid, steps: int | None = None) -> torch.Tensor:
    """The displacement u (3, z, y, x) in mm of exp(velocity): a point x goes to x + u(x). The inverse is that of ``-velocity``."""
    count = squarings(velocity, grid) if steps is None else steps
    points = node_points(grid)
    moved = velocity / 2**count
    for _ in range(count):
        moved = moved + sample(moved, grid, points + moved.permute(1, 2, 3, 0)).permute(3, 0, 1, 2)
    return moved


def displaced(points: torch.Tensor, displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    """``points`` (..., 3) LPS mm moved by a displacement on ``grid``."""
    return points + sample(displacement, grid, points)


def resampled(field: torch.Tensor, own: Grid, grid: Grid) -> torch.Tensor:
    """A field on ``own`` at the nodes of ``grid``."""
    return sample(field, own, node_points(grid)).permute(3, 0, 1, 2)


def jacobian_determinants(displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Determinants of the derivative of x + u(x) between the nodes, (z - 1, y - 1, x - 1): a value of 0 or less is a fold.

    The derivative is that of the trilinear map in the middle of each cell.
    """
    u = displacement.double()
    columns = []
    for axis, step in zip((3, 2, 1), grid.spacing, strict=True):
        change = torch.diff(u, dim=axis) / step
        for other in (1, 2, 3):
            if other != axis:
                length = change.shape[other]
                change = (change.narrow(other, 0, length - 1) + change.narrow(other, 1, length - 1)) / 2
        columns.append(change)
    matrix = torch.stack(columns, dim=0) + torch.eye(3, dtype=torch.float64)[:, :, None, None, None]
    return torch.linalg.det(matrix.permute(2, 3, 4, 1, 0))
