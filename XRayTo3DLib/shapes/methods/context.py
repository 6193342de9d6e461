"""What the organ network is given of every voxel: the reconstruction, the X-rays through it, and drawn outlines.

The channels, in order: mean and deviation of the attenuation over that of water, mean and least of the line integrals of the rays
through the voxel (over those of 32 voxels of water), one over the number of views, z, y and x from the whole grid's centre (over
half its longest side), and for each organ 1 where every drawn outline
holds the voxel, -1 where one leaves it out, 0 where none is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.geometry.grid import Grid

#: The number of the channel that says how far a voxel lies along x.
X_CHANNEL = 7


def landing(matrices: torch.Tensor, grid: Grid, width: int) -> torch.Tensor:
    """Where the voxels of a grid fall on virtual detectors of ``width`` pixels a side: (V, 1, voxels, 2), -1 to 1 as (x, y)."""
    axes = [torch.arange(n, dtype=torch.float32) for n in grid.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    index = torch.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1), torch.ones(z.numel())], dim=1)
    total = matrices.float() @ torch.tensor(grid.affine, dtype=torch.float32)
    found = index @ total.transpose(1, 2)
    pixels = found[:, :, :2] / found[:, :, 3:].clamp(min=1e-6)
    return ((2 * pixels + 1) / width - 1).unsqueeze(1)


def mask_channel(masks: Sequence[torch.Tensor], matrices: torch.Tensor, grid: Grid) -> torch.Tensor:
    """One organ's outlines (each N, N) on their virtual detectors as a channel [z, y, x]: 1 inside all of them, else -1."""
    pictures = torch.stack([mask.float() for mask in masks]).unsqueeze(1)
    where = landing(matrices, grid, pictures.shape[-1])
    inside = functional.grid_sample(pictures, where, padding_mode="zeros", align_corners=False)
    return (2 * inside.amin(dim=0) - 1).reshape(grid.shape)


def context_of(
    volume: torch.Tensor,
    images: torch.Tensor,
    matrices: torch.Tensor,
    grid: Grid,
    whole: Grid,
    drawn: Sequence[torch.Tensor | None],
) -> torch.Tensor:
    """The channels (8 + organs, z, y, x) for a reconstruction (2, z, y, x), its images (V, N, N) and matrices (V, 4, 4).

    ``grid``: that of ``volume``; ``whole``: the one that it is a part of.
    """
    where = landing(matrices, grid, images.shape[-1])
    integrals = functional.grid_sample(images.unsqueeze(1), where, padding_mode="zeros", align_corners=False)
    integrals = integrals.reshape(len(images), *grid.shape)
    share = torch.full(grid.shape, 1.0 / len(images))
    # Along the grid's own axes: the centre of the part from that of the whole.
    away = np.linalg.inv(whole.direction) @ (grid.centre - whole.centre)
    half = 0.5 * max(n * s for n, s in zip(whole.size, whole.spacing, strict=True))
    axes = [
        torch.tensor((centre + (np.arange(n) - (n - 1) / 2) * side) / half, dtype=torch.float32)
        for centre, n, side in zip(away[::-1], grid.shape, grid.spacing[::-1], strict=True)
    ]
    places = torch.meshgrid(*axes, indexing="ij")
    outlines = [torch.zeros(grid.shape) if channel is None else channel for channel in drawn]
    return torch.stack([volume[0], volume[1], integrals.mean(dim=0), integrals.amin(dim=0), share, *places, *outlines])
