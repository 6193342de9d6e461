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
        at, there = self.read(surface, torch.zeros_like(surface[:, :1]))
        base = self.core(surface, self.drawn(at, there, maps))
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

    def drawn(self, at: Tensor, there: Tensor, maps: Tensor) -> Tensor:
        """The heat maps of landmarks, as large as ``maps``."""
        r = torch.arange(maps.shape[2], dtype=maps.dtype, device=maps.device) - at[..., :1]
        c = torch.arange(maps.shape[3], dtype=maps.dtype, device=maps.device) - at[..., 1:]
        down = torch.exp(-0.5 * (r / self.sigma).square()) * there.unsqueeze(-1)
        return down.unsqueeze(-1) * torch.exp(-0.5 * (c / self.sigma).square()).unsqueeze(2)


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


class Pair(nn.Module):
    """The parts that are trained together; those that a recipe does not train are empty."""

    def __init__(self, marker: nn.Module, image: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.marker, self.image, self.critic = marker, image, critic
