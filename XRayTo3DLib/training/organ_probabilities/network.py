"""A head on a reconstruction: what every voxel is made of, from the volume, its uncertainty, the X-rays and drawn outlines.

A U-Net that works at half the grid's resolution and answers at the whole. It takes no statistics over space, so that large grids
are answered as small ones are. The code is TorchScript throughout; the scripted module needs nothing of this package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from XRayTo3DLib.training.lifted_views.network import Residual3D

#: Channels beside one an organ for its drawn outline: see :mod:`XRayTo3DLib.shapes.methods.context`.
CONTEXT = 8


class OrganNetwork(nn.Module):
    """``space`` are the widths at 1/2, 1/4 and 1/8 of the grid, ``fine`` the channels handed to full resolution, ``full`` those
    there."""

    def __init__(self, organs: int, space: list[int], fine: int = 6, full: int = 12) -> None:
        super().__init__()
        inputs = CONTEXT + organs
        s, t, u = space
        self.fine = fine
        self.entry = nn.Conv3d(inputs, s, 2, stride=2)
        self.block1 = Residual3D(s)
        self.narrow1 = nn.Conv3d(s, t, 2, stride=2)
        self.block2 = Residual3D(t)
        self.narrow2 = nn.Conv3d(t, u, 2, stride=2)
        self.block3 = Residual3D(u)
        self.block4 = Residual3D(u)
        self.widen2 = nn.Conv3d(u, t, 1)
        self.block5 = Residual3D(t)
        self.widen1 = nn.Conv3d(t, s, 1)
        self.block6 = Residual3D(s)
        self.split = nn.Conv3d(s, fine * 8, 1)
        self.mix = nn.Conv3d(fine + inputs, full, 3, padding=1)
        self.exit = nn.Conv3d(full, organs, 1)
        self.exit.bias = nn.Parameter(torch.full((organs,), -4.0))  # organs are rare

    def forward(self, context: Tensor) -> Tensor:
        """Logits (B, organs, z, y, x) of ``context`` (B, 8 + organs, z, y, x), sizes multiples of 8."""
        count, _, depth, height, width = context.shape
        x1 = self.block1(self.entry(context))
        x2 = self.block2(self.narrow1(x1))
        x3 = self.block4(self.block3(self.narrow2(x2)))
        x2 = self.block5(x2 + functional.interpolate(self.widen2(x3), scale_factor=2.0, mode="nearest"))
        x1 = self.block6(x1 + functional.interpolate(self.widen1(x2), scale_factor=2.0, mode="nearest"))
        y = self.split(functional.silu(x1))
        y = y.reshape(count, self.fine, 2, 2, 2, depth // 2, height // 2, width // 2)
        y = y.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(count, self.fine, depth, height, width)
        return self.exit(functional.silu(self.mix(torch.cat([y, context], dim=1))))
