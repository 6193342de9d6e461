"""The tables of a recipe of this system as typed values; ``recipe.schema.json`` beside it says what each may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from XRayTo3DLib.training.organ_settings import OrganSettings, PictureSettings


@dataclass(frozen=True)
class NetworkSettings:
    """``channels`` and ``latent``: of the shape encoder and, mirrored, the decoder, four for 64 voxels a side and three for 32;
    ``picture_channels``: of the encoders of what is seen; ``inputs``: "topogram", "mask", "topogram+mask" or "either";
    ``shape_encoder``: whether shapes are encoded too; ``adversarial``: the baseline 3D-VAE-GAN instead."""

    channels: tuple[int, ...]
    picture_channels: tuple[int, ...]
    latent: int
    inputs: str
    shape_encoder: bool
    adversarial: bool


@dataclass(frozen=True)
class Loss:
    """Weights, those of the paper by its names: ``shape`` (alpha 1) and ``divergence`` (alpha 2) of the auto-encoder, ``seen``
    (alpha 3) of the shape from what is seen, ``mask`` (alpha 4); ``offset``: of where the organ lies. ``adversary``: of the critic,
    in the baseline, whose ``seen`` weighs the sum of the squared errors."""

    shape: float
    divergence: float
    seen: float
    mask: float
    offset: float
    adversary: float


@dataclass(frozen=True)
class ShapeVaeSettings:
    """All tables of this system."""

    organ: OrganSettings
    pictures: PictureSettings
    network: NetworkSettings
    loss: Loss

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``."""
        if self.network.adversarial and self.network.shape_encoder:
            return "network/adversarial: the baseline has no shape encoder"
        if not self.network.shape_encoder and (self.loss.shape or self.loss.divergence) and not self.network.adversarial:
            return "loss/shape: there is no shape encoder that it could teach"
        return self.organ.problem()
