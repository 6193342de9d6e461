"""The networks of parametrized X-rays: a marker network, an image network and a critic.

All are small 2D networks. The U-Nets have levels of blocks of convolution, batch norm and ReLU, as those of Teixeira et al. (CVPR
2018); batch norm is folded into the convolutions when a model is run, so that what changes in one place of a picture changes the
answer only around it. With ``fold`` 4 every 4 x 4 pixels become channels of one, and back in the answer, in place of the two finest
levels: sixteen times fewer places for as many filters. Heat maps, which are smooth, are averaged over 2 x 2 pixels first.

The code of the U-Nets is TorchScript throughout; the scripted modules need nothing of this package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from XRayTo3DLib.training.parametrized.atlas import Atlas

#: Line integral over its unit (5) of 100 mm of water: what the thickness alone says of the X-ray.
WATER = 100 * 0.0193 / 5


def _block(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers += [
            nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(B, inputs, H, W) to (B, outputs, H, W); ``widths`` from the finest level to the bottom, each half as large as the last."""

    def __init__(self, inputs: int, outputs: int, widths: list[int], convolutions: int) -> None:
        super().__init__()
        down, up, before = [], [], inputs
        for width in widths:
            down.append(_block(before, width, convolutions))
            before = width
        for width in widths[-2::-1]:
            up.append(_block(before + width, width, convolutions))
            before = width
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.last = nn.Conv2d(before, outputs, 1)
        nn.init.normal_(self.last.weight, std=1e-2)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level > 0:
                kept.append(x)
                x = functional.max_pool2d(x, 2)
            x = block(x)
        for level, block in enumerate(self.up):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, kept[len(kept) - 1 - level]], dim=1))
        return self.last(x)


def _with_place(x: Tensor) -> Tensor:
    """The picture and two channels of where its pixels are, from -1 to 1: the frame stands on landmarks, so places matter."""
    rows = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype, device=x.device).view(1, 1, -1, 1).expand(x.shape[0], 1, -1, x.shape[3])
    columns = (
        torch.linspace(-1, 1, x.shape[3], dtype=x.dtype, device=x.device).view(1, 1, 1, -1).expand(x.shape[0], 1, x.shape[2], -1)
    )
    return torch.cat([x, rows, columns], dim=1)


class MarkerNetwork(nn.Module):
    """Surface image (B, 2, H, W) and X-ray (B, 1, H, W) to heat maps (B, landmarks, H, W), from 0 on.

    An X-ray of zeros asks what the surface alone says.
    """

    def __init__(self, landmarks: int, widths: list[int], convolutions: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.net = UNet(3 * fold * fold + 2, landmarks * fold * fold, widths, convolutions)

    def forward(self, surface: Tensor, xray: Tensor) -> Tensor:
        x = torch.cat([surface, xray], dim=1)
        if self.fold > 1:
            x = functional.pixel_unshuffle(x, self.fold)
        maps = self.net(_with_place(x))
        if self.fold > 1:
            maps = functional.pixel_shuffle(maps, self.fold)
        return maps if self.training else maps.clamp(min=0)


class ImageNetwork(nn.Module):
    """Surface image (B, 2, H, W) and heat maps (B, landmarks, H, W) to the X-ray (B, 1, H, W), line integrals over 5, from 0 on.

    It is what the body would show if it were water all through, the mean anatomy of the :class:`Atlas` at the landmarks, and
    what the U-Net adds. A map of zeros: a landmark that is not known.
    """

    def __init__(
        self, landmarks: int, widths: list[int], convolutions: int, fold: int, views: int = 1, size: tuple[int, int] = (128, 128)
    ) -> None:
        super().__init__()
        self.fold = fold
        maps = landmarks * max(1, fold // 2) ** 2
        self.atlas = Atlas(views, landmarks, size)
        self.net = UNet(3 * fold * fold + maps + 2, fold * fold, widths, convolutions)
        self.water = WATER

    def forward(self, surface: Tensor, maps: Tensor) -> Tensor:
        mean = self.atlas(surface, maps)
        x = torch.cat([surface, mean], dim=1)
        if self.fold > 1:
            x = functional.pixel_unshuffle(x, self.fold)
            maps = functional.pixel_unshuffle(functional.avg_pool2d(maps, 2), self.fold // 2)
        x = self.net(_with_place(torch.cat([x, maps], dim=1)))
        if self.fold > 1:
            x = functional.pixel_shuffle(x, self.fold)
        xray = x + mean + self.water * surface[:, 1:]
        return xray if self.training else xray.clamp(min=0)


class DraggedImageNetwork(nn.Module):
    """As an :class:`ImageNetwork`, but its X-ray is what the surface alone suggests, warped from its landmarks to those told.

    ``marker`` reads its landmarks, as it does in the loop: where nothing is dragged nothing is warped, and what lies at a landmark
    that is dragged goes with it by construction. The marker network's batch norm keeps its statistics in training.
    """

    def __init__(self, marker: MarkerNetwork, core: ImageNetwork, sigma: float) -> None:
        super().__init__()
        self.marker = marker
        self.core = core
        self.sigma = sigma

    def train(self, mode: bool = True) -> DraggedImageNetwork:
        super().train(mode)
        self.marker.eval()
        return self

    def forward(self, surface: Tensor, maps: Tensor) -> Tensor:
        base = self.core(surface, torch.zeros_like(maps))
        at, there = self.read(surface, base)
        told, known = self.core.atlas.points(maps)
        both = known * there
        field = self.core.atlas.field(told, (at - told) * both.unsqueeze(-1), both, maps.shape[2], maps.shape[3])
        return self.core.atlas.sampled(base, field)

    def read(self, surface: Tensor, xray: Tensor) -> tuple[Tensor, Tensor]:
        """The landmarks in an X-ray (B, L, 2) and whether they are there (B, L), as the loop finds them."""
        mass = self.marker(surface, xray).clamp(min=0)
        rows, columns = mass.shape[2], mass.shape[3]
        peak = mass.flatten(2).argmax(dim=2)
        at = torch.stack([torch.div(peak, columns, rounding_mode="floor"), peak % columns], dim=2).to(mass.dtype)
        r = torch.arange(rows, dtype=mass.dtype, device=mass.device)
        c = torch.arange(columns, dtype=mass.dtype, device=mass.device)
        for _ in range(4):
            down = torch.exp(-0.5 * ((r - at[..., :1]) / (1.5 * self.sigma)).square())
            over = torch.exp(-0.5 * ((c - at[..., 1:]) / (1.5 * self.sigma)).square())
            along = (mass @ over.unsqueeze(-1)).squeeze(-1) * down
            across = (down.unsqueeze(2) @ mass).squeeze(2) * over
            at = torch.stack([along @ r, across @ c], dim=2) / along.sum(dim=2).clamp(min=1e-12).unsqueeze(-1)
        kept = torch.where(mass > 0.02, mass, torch.zeros_like(mass)).sum(dim=[2, 3]) / (6.2832 * self.sigma * self.sigma)
        return at, (kept > 0.35).to(mass.dtype)


class DraggedMarkerNetwork(nn.Module):
    """As a :class:`MarkerNetwork`, but in an X-ray of a :class:`DraggedImageNetwork` it finds how far each landmark was dragged.

    The surroundings of each landmark in the X-ray of the surface alone are looked for in the one given. Where they are found, the
    landmark is where they are; elsewhere, as in a real X-ray, the marker network says where it is.
    """

    def __init__(self, image: DraggedImageNetwork, landmarks: int) -> None:
        super().__init__()
        self.image = image
        self.landmarks = landmarks
        #: Half the patch and the search in pixels, what a pixel of way costs, and the share of a patch's variance that may be left.
        self.patch, self.reach, self.cost, self.left = 5, 6, 1e-6, 0.1

    def forward(self, surface: Tensor, xray: Tensor) -> Tensor:
        size = [surface.shape[0], self.landmarks, surface.shape[2], surface.shape[3]]
        base = self.image.core(surface, torch.zeros(size, dtype=surface.dtype, device=surface.device)).clamp(min=0)
        at, there = self.image.read(surface, base)
        way, found = self.way(base, xray, at)
        down = torch.arange(size[2], dtype=surface.dtype, device=surface.device) - (at + way)[..., :1]
        over = torch.arange(size[3], dtype=surface.dtype, device=surface.device) - (at + way)[..., 1:]
        sigma = self.image.sigma
        rows = torch.exp(-0.5 * (down / sigma).square()) * there.unsqueeze(-1)
        drawn = rows.unsqueeze(-1) * torch.exp(-0.5 * (over / sigma).square()).unsqueeze(2)
        maps = self.image.marker(surface, xray).clamp(min=0)
        return torch.where(found.unsqueeze(-1).unsqueeze(-1), drawn, maps)

    def way(self, base: Tensor, xray: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """How far (B, L, 2) in pixels what lies at ``at`` in one picture lies in the other, and whether it was found (B, L)."""
        before = self.around(base, at, self.patch).flatten(2)
        after = self.around(xray, at, self.patch + self.reach)
        side, steps = 2 * self.patch + 1, 2 * self.reach + 1
        windows = after.flatten(0, 1).unsqueeze(1)
        patches = functional.unfold(windows, [side, side]).view(at.shape[0], at.shape[1], side * side, steps * steps)
        off = (patches - before.unsqueeze(-1)).square().mean(dim=2)
        shift = torch.arange(steps, dtype=at.dtype, device=at.device) - self.reach
        far = (shift.view(-1, 1).square() + shift.view(1, -1).square()).flatten()
        best = (off + self.cost * far).argmin(dim=2)
        least = off.gather(2, best.unsqueeze(-1)).squeeze(-1)
        found = least < self.left * before.var(dim=2) + 1e-7
        row, column = torch.div(best, steps, rounding_mode="floor"), best % steps
        fine: list[Tensor] = []
        for axis, stride in ((0, steps), (1, 1)):
            place = row if axis == 0 else column
            inner = place.clamp(1, steps - 2)
            centre = best + (inner - place) * stride
            a = off.gather(2, (centre - stride).unsqueeze(-1)).squeeze(-1)
            b = off.gather(2, centre.unsqueeze(-1)).squeeze(-1)
            c = off.gather(2, (centre + stride).unsqueeze(-1)).squeeze(-1)
            part = (0.5 * (a - c) / (a - 2 * b + c).clamp(min=1e-12)).clamp(-1, 1)
            fine.append(inner.to(at.dtype) + part - self.reach)
        return torch.stack(fine, dim=2), found

    def around(self, picture: Tensor, at: Tensor, half: int) -> Tensor:
        """Squares of a picture (B, 1, H, W) around places (B, L, 2): (B, L, 2 half + 1, 2 half + 1)."""
        shift = torch.arange(2 * half + 1, dtype=at.dtype, device=at.device) - half
        r = at[..., 0].unsqueeze(-1) + shift
        c = at[..., 1].unsqueeze(-1) + shift
        rows = r.unsqueeze(-1).expand(-1, -1, -1, shift.shape[0])
        columns = c.unsqueeze(2).expand(-1, -1, shift.shape[0], -1)
        where = torch.stack([(2 * columns + 1) / picture.shape[3] - 1, (2 * rows + 1) / picture.shape[2] - 1], dim=-1)
        flat = where.flatten(1, 2)
        found = functional.grid_sample(picture, flat, mode="bilinear", padding_mode="border", align_corners=False)
        return found.reshape(at.shape[0], at.shape[1], shift.shape[0], shift.shape[0])


class Critic(nn.Module):
    """Surface image (B, 2, H, W) and X-ray (B, 1, H, W) to scores (B, 1, h, w): the way down of the U-Nets, without batch norm.

    Each score sees a patch; their mean is the critic's opinion.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            before = width
        self.net = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, surface: Tensor, xray: Tensor) -> Tensor:
        return self.net(torch.cat([surface, xray], dim=1))
