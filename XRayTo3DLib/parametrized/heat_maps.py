"""Landmarks as pictures and back: Gaussians of peak 1, and the sub-pixel place where a heat map has its mass. Differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Standard deviation in pixels of the Gaussians that networks take and give, unless their card says another.
SIGMA = 2.0
#: The kernel of the mean shift is this many times as wide; its rounds end within a hundredth of a pixel of a Gaussian's centre.
_KERNEL, _ROUNDS = 1.5, 4
#: What a map must hold to count as mass: below it is what networks leave everywhere.
_FLOOR = 0.02


def heat_maps(points: Tensor, size: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """Pictures (B, L, H, W) of ``points`` (B, L, 2: row and column in pixels); zeros where a point is NaN (absent)."""
    known = torch.isfinite(points).all(dim=-1, keepdim=True)
    places = torch.where(known, points, torch.zeros_like(points))
    rows, columns = _gaussians(places, size, sigma)
    return (rows * known)[..., :, None] * columns[..., None, :]


def heat_map_points(maps: Tensor, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    """Where the mass of each map (B, L, H, W) is: points (B, L, 2) in pixels, and presence (B, L).

    From the highest pixel a mean shift climbs to the centre of the mass around it. ``presence`` is the map's mass over that of one
    Gaussian: about 1 for a landmark that is there, however sure its place is, and 0 for one that is not.
    """
    mass = maps.clamp(min=0)
    size = (int(maps.shape[-2]), int(maps.shape[-1]))
    axes = [torch.arange(n, dtype=maps.dtype, device=maps.device) for n in size]
    peak = mass.flatten(2).argmax(dim=2)
    points = torch.stack([peak // size[1], peak % size[1]], dim=-1).to(maps.dtype)
    for _ in range(_ROUNDS):
        rows, columns = _gaussians(points, size, _KERNEL * sigma)
        along = torch.einsum("blhw,blw->blh", mass, columns) * rows
        across = torch.einsum("blhw,blh->blw", mass, rows) * columns
        total = along.sum(dim=2)
        moved = torch.stack([along @ axes[0], across @ axes[1]], dim=-1) / total.clamp(min=1e-12)[..., None]
        points = torch.where(total[..., None] > 1e-9, moved, points)
    kept = torch.where(mass > _FLOOR, mass, torch.zeros_like(mass))
    return points, kept.sum(dim=(2, 3)) / (2 * math.pi * sigma**2)


def _gaussians(points: Tensor, size: tuple[int, int], sigma: float) -> tuple[Tensor, Tensor]:
    """Gaussians of peak 1 along the rows (B, L, H) and the columns (B, L, W)."""
    found = []
    for axis, count in enumerate(size):
        at = torch.arange(count, dtype=points.dtype, device=points.device)
        found.append(torch.exp(-0.5 * ((at - points[..., axis, None]) / sigma) ** 2))
    return found[0], found[1]
