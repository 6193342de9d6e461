"""The networks of Balashova et al., "3D Organ Shape Reconstruction from Topogram Images" (IPMI 2019).

A shape of 64^3 voxels and what is seen of it, a topogram of 256 x 256 pixels and a drawn mask of 64 x 64, are mapped to the same
latent coordinates, from which one decoder gives the shape. Widths are the recipe's; the paper's are 64, 128, 256, 512 and 200.
The auto-encoder may work on half as many voxels a side, six times as quick: logits are smooth, and interpolate well.

Beside the paper, the topogram encoder says where the organ lies in its picture, so that the picture need not be cropped by hand,
and the decoder starts from the mean shape, not from nothing, which saves most of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import nn

from XRayTo3DLib.models.torchscript import kept
from XRayTo3DLib.shapes.methods.organ_frame import PICTURE_MM, PICTURE_SIZE
from XRayTo3DLib.training.soft_place import offset_of, soft_place

#: Offsets are learned in units of so many mm, pictures in units of so much line integral.
OFFSET_MM, PICTURE_SCALE = 10.0, 5.0
#: The share of one batch in the running statistics of the latent coordinates.
_MOMENTUM = 0.02
#: The mean shape's logits are kept within this limit.
MEAN_LIMIT = 5.0


def _block(layer: nn.Module, channels: int, three: bool) -> list[nn.Module]:
    return [layer, nn.BatchNorm3d(channels) if three else nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _side(channels: Sequence[int]) -> int:
    return int(4 * 2 ** len(channels))


class ShapeEncoder(nn.Module):
    """A shape (B, 1, n, n, n) to the mean and the logarithm of the variance of its coordinates, (B, latent) each.

    There is a halving for each of the channels, down to four voxels a side.
    """

    def __init__(self, channels: Sequence[int], latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in channels:
            layers += _block(nn.Conv3d(before, width, 4, 2, 1, bias=False), width, True)
            before = width
        self.layers = nn.Sequential(*layers)
        self.mean = nn.Conv3d(before, latent, 4)
        self.log_variance = nn.Conv3d(before, latent, 4)

    def forward(self, shape: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.layers(shape)
        return self.mean(found).flatten(1), self.log_variance(found).flatten(1).clamp(-10.0, 10.0)


class ShapeDecoder(nn.Module):
    """Latent coordinates (B, latent) to the logits of a shape (B, 1, n, n, n): the encoder mirrored, added to the mean shape's."""

    def __init__(self, channels: Sequence[int], latent: int) -> None:
        super().__init__()
        widths = [*channels][::-1]
        layers = _block(nn.ConvTranspose3d(latent, widths[0], 4, bias=False), widths[0], True)
        for before, width in pairwise(widths):
            layers += _block(nn.ConvTranspose3d(before, width, 4, 2, 1, bias=False), width, True)
        last = nn.ConvTranspose3d(widths[-1], 1, 4, 2, 1)
        with torch.no_grad():
            last.weight.mul_(0.1)
        self.layers = nn.Sequential(*layers, last)
        self.register_buffer("mean", torch.zeros(1, 1, *[_side(channels)] * 3))

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.layers(latent[:, :, None, None, None]) + self.mean


class TopogramEncoder(nn.Module):
    """A picture (B, 1, 256, 256) to features (B, latent) and to where the organ is, (B, 3) in mm."""

    def __init__(self, channels: Sequence[int], latent: int, across: int) -> None:
        super().__init__()
        self.across, self.half_mm, self.offset_mm = across, PICTURE_SIZE * PICTURE_MM / 2, OFFSET_MM
        layers: list[nn.Module] = []
        before = 1
        for width, (kernel, stride, padding) in zip(channels, ((11, 4, 5), (5, 2, 2), (5, 2, 2), (5, 2, 2)), strict=True):
            layers += _block(nn.Conv2d(before, width, kernel, stride, padding, bias=False), width, False)
            before = width
        self.near, self.far = nn.Sequential(*layers[:-3]), nn.Sequential(*layers[-3:])
        self.heat = nn.Conv2d(channels[-2], 1, 1)
        self.features = nn.Conv2d(before, latent, 8)
        self.deep = nn.Conv2d(before, 1, 8)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.near(picture)
        found = self.far(near)
        deep = self.deep(found).flatten(1) * self.offset_mm
        return self.features(found).flatten(1), offset_of(soft_place(self.heat(near), self.half_mm), deep, self.across)


class MaskEncoder(nn.Module):
    """A drawn mask (B, 1, 64, 64) to features (B, latent)."""

    def __init__(self, channels: Sequence[int], latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width, stride in zip(channels, (4, 2, 2, 2), strict=True):
            layers += _block(nn.Conv2d(before, width, 3, stride, 1, bias=False), width, False)
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, latent, 3, 2, 1))

    def forward(self, mask: torch.Tensor) -> torch.Tensor:
        return self.layers(mask).flatten(1)


class ShapePredictor(nn.Module):
    """What a model file holds: the encoders of what is seen, the combiner and the decoder.

    ``inputs``: "topogram", "mask", "topogram+mask", or "either": a topogram, and a mask where one was drawn.
    """

    def __init__(self, channels: Sequence[int], picture_channels: Sequence[int], latent: int, inputs: str, across: int) -> None:
        super().__init__()
        self.picture_scale, self.offset_mm = PICTURE_SCALE, OFFSET_MM
        alone = inputs == "mask"
        self.topogram = None if alone else TopogramEncoder(picture_channels, latent, across)
        self.mask = None if inputs == "topogram" else MaskEncoder(picture_channels, latent)
        self.combiner = nn.Linear(2 * latent, latent) if inputs in ("topogram+mask", "either") else None
        self.mask_offset = nn.Linear(latent, 3) if alone else None
        self.decoder = ShapeDecoder(channels, latent)
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_covariance", torch.eye(latent))

    def forward(self, picture: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Line integrals (B, 1, 256, 256) and a mask (B, 1, 64, 64) or ``None``: latent (B, latent), offset (B, 3) in mm.

        The offset goes from the picture's middle to the organ's across the beam (LPS +x or +y, then +z), and from the middle of
        the patient along it (LPS +y or +x). A model that takes a mask only looks at no picture.
        """
        latent, offset = picture.new_zeros(0), picture.new_zeros(0)
        if self.topogram is not None:
            latent, offset = self.topogram(picture / self.picture_scale)
        if self.mask is not None and mask is not None:
            drawn = self.mask(mask)
            if self.combiner is not None:
                latent = self.combiner(torch.cat([latent, drawn], dim=1))
            elif self.mask_offset is not None:
                latent, offset = drawn, self.mask_offset(drawn) * self.offset_mm
        return latent, offset

    @kept
    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """The probability (B, 1, 64, 64, 64) [z, y, x] of the shape at these coordinates."""
        logits = self.decoder(latent)
        if logits.shape[2] != 64:
            logits = functional.interpolate(logits, [64, 64, 64], mode="trilinear", align_corners=False)
        return torch.sigmoid(logits)

    @kept
    def spread(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (latent) and covariance (latent, latent) of the coordinates of the training shapes."""
        return self.latent_mean, self.latent_covariance  # type: ignore[return-value]

    def watch(self, latent: torch.Tensor) -> None:
        """Take a batch's coordinates into their running mean and covariance."""
        with torch.no_grad():
            mean, covariance = self.spread()
            away = latent - mean
            covariance.lerp_(away.T @ away / len(latent), _MOMENTUM)
            mean.lerp_(latent.mean(dim=0), _MOMENTUM)


class ShapeVae(nn.Module):
    """The whole that is trained: the predictor and, where the recipe wants it, the shape encoder or a critic."""

    def __init__(
        self,
        channels: Sequence[int],
        picture_channels: Sequence[int],
        latent: int,
        inputs: str,
        across: int,
        shape_encoder: bool,
        critic: bool,
    ) -> None:
        super().__init__()
        self.predictor = ShapePredictor(channels, picture_channels, latent, inputs, across)
        self.shape_encoder = ShapeEncoder(channels, latent) if shape_encoder else None
        # The critic of 3D-VAE-GAN (Wu et al., NeurIPS 2016) mirrors the decoder: an encoder with one output.
        self.critic = Critic(channels) if critic else None
        # The baseline's image encoder is variational.
        self.log_variance = nn.Linear(latent, latent) if critic else None


class Critic(nn.Module):
    """A shape (B, 1, n, n, n) to the logit of its being real, (B, 1)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in channels:
            layers += [nn.Conv3d(before, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv3d(before, 1, 4))

    def forward(self, shape: torch.Tensor) -> torch.Tensor:
        return self.layers(shape).flatten(1)
