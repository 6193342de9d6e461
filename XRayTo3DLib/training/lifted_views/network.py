"""The geometry-aware network: any number of radiographs, each with its projection, to attenuation on a grid.

A shared 2D network turns each radiograph (on its virtual detector) into features of the plane and of every depth along the beam.
Each voxel of the grid reads them where it projects, beside the line integral itself and the distance to the silhouette, and a 3D
network turns what the views say, in mean and spread, into attenuation. Nothing in it knows which view is frontal: a turned arm, a
cone beam or a third radiograph is input, not a fault. No statistics are taken over space in 3D, so a slab of the volume is
computed as it is within the whole: training sees slabs.

The code is TorchScript throughout; the scripted module needs nothing of this package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class Residual2D(nn.Module):
    """Two 3x3 convolutions with group norm, added to a (projected) copy of the input."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm1 = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.norm1(self.first(x)))
        return functional.silu(self.norm2(self.second(y)) + self.skip(x))


class ChannelNorm(nn.Module):
    """Each voxel's channels scaled to root mean square 1, then weighted: the same in a slab as in the whole volume."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-3)
        return scaled * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)


class Residual3D(nn.Module):
    """Two 3x3x3 convolutions, one channel norm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm = ChannelNorm(channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.silu(self.norm(self.first(functional.silu(x)))))


class Correction3D(nn.Module):
    """Two 3x3x3 convolutions added to the input; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class ReconstructionNetwork(nn.Module):
    """Line integrals of 1 to N views and their geometry to relative attenuation ``mu / mu_water`` on a grid.

    ``plane`` are the widths of the 2D U-Net (full to 1/8 resolution), ``space`` those of the 3D U-Net (1/2 to 1/8),
    ``depths`` and ``depth_features`` the depth bins and features of the lifted image, ``fine`` the channels handed to full
    resolution, ``full`` the channels there.
    """

    def __init__(
        self,
        plane: list[int],
        space: list[int],
        depths: int = 48,
        depth_features: int = 6,
        flat_features: int = 16,
        fine: int = 8,
        full: int = 16,
    ) -> None:
        super().__init__()
        self.depths = depths
        self.depth_features = depth_features
        self.fine = fine
        a, b, c, d = plane
        self.stem = Residual2D(7, a)
        self.down1 = Residual2D(a, b, 2)
        self.down2 = Residual2D(b, c, 2)
        self.down3 = Residual2D(c, d, 2)
        self.bottom = Residual2D(d, d)
        self.up2 = Residual2D(d + c, c)
        self.up1 = Residual2D(c + b, b)
        self.lift = nn.Conv2d(b, depths * depth_features, 1)
        self.flat = nn.Conv2d(b, flat_features, 1)
        self.detail = nn.Conv2d(a + b, 4, 3, padding=1)
        s, t, u = space
        self.entry = nn.Conv3d(2 * (depth_features + flat_features) + 3 + 4, s, 3, padding=1)
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
        self.head1 = nn.Conv3d(fine + 4 + 2, fine, 3, padding=1)
        self.head2 = nn.Conv3d(fine, 1, 3, padding=1)
        self.doubt = nn.Conv3d(fine, 1, 3, padding=1)
        self.full_entry = nn.Conv3d(fine + 4 + 2 + 2, full, 3, padding=1)
        self.full1 = Correction3D(full)
        self.full2 = Correction3D(full)
        self.full_exit = nn.Conv3d(full, 1, 3, padding=1)
        for parameter in self.full_exit.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, matrices: Tensor, beams: Tensor, affine: Tensor, size: list[int]) -> Tensor:
        """Relative attenuation and its standard deviation, (B, 2, z, y, x), neither negative.

        - ``images`` (B, V, H, W): line integrals on the virtual detectors, divided by those of 32 voxels of water;
        - ``matrices`` (B, V, 4, 4): from LPS mm to (column w, row w, depth, w), in virtual pixels of one voxel's size,
          depth measured along the beam from the middle of the grid (see ``reconstruction/methods/virtual_detector.py``);
        - ``beams`` (B, V, 4): beam axis in the grid's axes, and the grid's width over the source distance (0: parallel);
        - ``affine`` (4, 4): voxel index (x, y, z) to LPS mm; ``size``: voxels in z, y, x, each a multiple of 8.
        """
        return self.slab(images, matrices, beams, affine, size, 0, size[0])

    def slab(
        self, images: Tensor, matrices: Tensor, beams: Tensor, affine: Tensor, size: list[int], first: int, depth: int
    ) -> Tensor:
        """Slices ``first`` to ``first + depth`` (multiples of 8) of what :meth:`forward` gives: (B, 2, depth, y, x)."""
        count, views, height, width = images.shape
        planar, lifted, flat, detail = self.look(images, beams)
        slices = [depth, size[1], size[2]]
        coarse = [depth // 2, size[1] // 2, size[2] // 2]
        half = self.positions(matrices, affine, coarse, 2, first, height, width)
        full = self.positions(matrices, affine, slices, 1, first, height, width)
        read = torch.cat([self.sample_space(lifted, half), self.sample_plane(flat, half)], dim=1)
        read = read.reshape(count, views, -1, coarse[0], coarse[1], coarse[2])
        integrals = self.sample_plane(planar, full).reshape(count, views, depth, size[1], size[2])
        edges = self.sample_plane(self.silhouette_distance(planar), full).reshape(count, views, depth, size[1], size[2])
        mean = integrals.mean(dim=1, keepdim=True)
        low = integrals.amin(dim=1, keepdim=True)
        sharp = self.sample_plane(detail, full).reshape(count, views, 4, depth, size[1], size[2]).mean(dim=1)
        shares = torch.cat([mean, low], dim=1)
        inside = torch.cat([edges.mean(dim=1, keepdim=True), edges.amin(dim=1, keepdim=True)], dim=1)
        average = read.mean(dim=1)
        spread = ((read * read).mean(dim=1) - average * average).clamp(min=1e-6).sqrt()
        x = torch.cat(
            [
                average,
                spread,
                functional.avg_pool3d(shares, 2),
                torch.full_like(spread[:, :1], 1.0 / views),
                self.places(size, first, depth, images).expand(count, 4, coarse[0], coarse[1], coarse[2]),
            ],
            dim=1,
        )
        x1 = self.block1(self.entry(x))
        x2 = self.block2(self.narrow1(x1))
        x3 = self.block4(self.block3(self.narrow2(x2)))
        x2 = self.block5(x2 + functional.interpolate(self.widen2(x3), scale_factor=2.0, mode="nearest"))
        x1 = self.block6(x1 + functional.interpolate(self.widen1(x2), scale_factor=2.0, mode="nearest"))
        y = self.split(functional.silu(x1))
        y = y.reshape(count, self.fine, 2, 2, 2, coarse[0], coarse[1], coarse[2])
        y = y.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(count, self.fine, depth, size[1], size[2])
        wide = self.full2(self.full1(self.full_entry(torch.cat([y, sharp, shares, inside], dim=1))))
        y = functional.silu(self.head1(torch.cat([y, sharp, shares], dim=1)))
        found = self.head2(y) + self.full_exit(functional.silu(wide))
        # The deviation learns from the same features but does not shape them.
        return functional.softplus(torch.cat([found, self.doubt(y.detach())], dim=1), beta=10.0)

    def look(self, images: Tensor, beams: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The 2D part: the line integrals, features of space, of the plane, and fine ones; a leading axis of B V."""
        count, views, height, width = images.shape
        planar = images.reshape(count * views, 1, height, width)
        told = beams.reshape(count * views, 4, 1, 1).expand(count * views, 4, height, width)
        rows = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype).view(1, 1, height, 1)
        columns = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype).view(1, 1, 1, width)
        where = torch.cat([rows.expand(1, 1, height, width), columns.expand(1, 1, height, width)], dim=1)
        x0 = self.stem(torch.cat([planar, told, where.expand(count * views, 2, height, width)], dim=1))
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        x3 = self.bottom(self.down3(x2))
        x2 = self.up2(torch.cat([functional.interpolate(x3, scale_factor=2.0, mode="nearest"), x2], dim=1))
        x1 = self.up1(torch.cat([functional.interpolate(x2, scale_factor=2.0, mode="nearest"), x1], dim=1))
        lifted = self.lift(x1).reshape(count * views, self.depth_features, self.depths, height // 2, width // 2)
        detail = self.detail(torch.cat([functional.interpolate(x1, scale_factor=2.0, mode="nearest"), x0], dim=1))
        return planar, lifted, self.flat(x1), detail

    def silhouette_distance(self, planar: Tensor) -> Tensor:
        """Distance in pixels to the edge of the body's shadow, positive inside, cut at 8 and divided by 8: (B V, 1, h, w)."""
        top = planar.amax(dim=[2, 3], keepdim=True)
        inside = planar > 0.02 * top
        return (self.distance_to(~inside) - self.distance_to(inside)) / 8.0

    def distance_to(self, mask: Tensor) -> Tensor:
        """Pixels to the nearest pixel of ``mask``, at most 8: a minimum of parabolas along rows, then along columns."""
        height, width = mask.shape[2], mask.shape[3]
        squares = functional.pad(torch.where(mask, 0.0, 64.0), [8, 8, 8, 8], value=64.0)
        along = squares[:, :, :, 8 : 8 + width]
        for k in range(1, 9):
            near = torch.minimum(squares[:, :, :, 8 - k : 8 - k + width], squares[:, :, :, 8 + k : 8 + k + width])
            along = torch.minimum(along, near + float(k * k))
        both = along[:, :, 8 : 8 + height]
        for k in range(1, 9):
            near = torch.minimum(along[:, :, 8 - k : 8 - k + height], along[:, :, 8 + k : 8 + k + height])
            both = torch.minimum(both, near + float(k * k))
        return both.clamp(max=64.0).sqrt()

    def positions(
        self, matrices: Tensor, affine: Tensor, size: list[int], step: int, first: int, height: int, width: int
    ) -> Tensor:
        """Where each voxel projects: (B V, voxels, 3) as (column, row, depth) in grid_sample's range -1 to 1."""
        shift = 0.5 * (step - 1)
        axes = [torch.arange(n, device=affine.device, dtype=affine.dtype) * step + shift for n in size]
        z, y, x = torch.meshgrid(axes[0] + first, axes[1], axes[2], indexing="ij")
        index = torch.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1), torch.ones_like(x).reshape(-1)], dim=1)
        total = matrices.reshape(-1, 4, 4) @ affine
        found = index.unsqueeze(0) @ total.transpose(1, 2)
        w = found[:, :, 3:].clamp(min=1e-6)
        column = (2 * found[:, :, 0:1] / w + 1) / width - 1
        row = (2 * found[:, :, 1:2] / w + 1) / height - 1
        depth = 2 * found[:, :, 2:3] / width
        return torch.cat([column, row, depth], dim=2)

    def sample_plane(self, features: Tensor, positions: Tensor) -> Tensor:
        """Features (B V, C, h, w) at the positions: (B V, C, voxels)."""
        where = positions[:, :, :2].unsqueeze(1)
        return functional.grid_sample(features, where, padding_mode="zeros", align_corners=False).squeeze(2)

    def sample_space(self, features: Tensor, positions: Tensor) -> Tensor:
        """Features (B V, C, depth, h, w) at the positions: (B V, C, voxels)."""
        where = positions.unsqueeze(1).unsqueeze(1)
        found = functional.grid_sample(features, where, padding_mode="zeros", align_corners=False)
        return found.squeeze(2).squeeze(2)

    def places(self, size: list[int], first: int, depth: int, like: Tensor) -> Tensor:
        """Normalised z, y, x of the slab's coarse voxels and the distance from the middle axis: (1, 4, z, y, x)."""
        axes = [torch.linspace(-1, 1, n // 2, device=like.device, dtype=like.dtype) for n in size]
        slices = axes[0][first // 2 : (first + depth) // 2]
        z, y, x = torch.meshgrid(slices, axes[1], axes[2], indexing="ij")
        return torch.stack([z, y, x, (y * y + x * x).sqrt()]).unsqueeze(0)
