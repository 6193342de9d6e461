"""A place in a picture from a map of features, as a mean that moves as the picture does (soft-argmax)."""

from __future__ import annotations

import torch


def soft_place(heat: torch.Tensor, half_mm: float) -> torch.Tensor:
    """The mean place (B, 2) of maps (B, 1, n, n) whose softmax is how likely each is: mm from the middle, across and up.

    ``half_mm``: from the middle of the picture to its border.
    """
    count, _, rows, columns = heat.shape
    likely = torch.softmax(heat.reshape(count, -1), dim=1).reshape(count, rows, columns)
    across = (torch.arange(columns, device=heat.device, dtype=heat.dtype) + 0.5) / columns * 2 - 1
    up = 1 - (torch.arange(rows, device=heat.device, dtype=heat.dtype) + 0.5) / rows * 2
    place = torch.stack([(likely.sum(dim=1) * across).sum(dim=1), (likely.sum(dim=2) * up).sum(dim=1)], dim=1)
    return place * half_mm


def offset_of(place: torch.Tensor, deep: torch.Tensor, across: int) -> torch.Tensor:
    """A place (B, 2) in a picture and (B, 1) along its beam as (B, 3) LPS mm; ``across``: the axis of the picture's columns."""
    if across == 0:
        return torch.cat([place[:, :1], deep, place[:, 1:]], dim=1)
    return torch.cat([deep, place], dim=1)
