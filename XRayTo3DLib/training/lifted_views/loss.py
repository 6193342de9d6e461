"""What the network's answer is worth: the error of relative attenuation, clipped as the evaluation protocol clips it."""

from __future__ import annotations

import torch

from XRayTo3DLib.training.lifted_views.settings import Loss
from XRayTo3DLib.training.task import Losses

#: Relative attenuation at the top of the protocol's range: HU + 1024 = 2500.
CEILING = 2.476


def loss_of(found: torch.Tensor, target: torch.Tensor, weights: Loss) -> Losses:
    """The weighted sum for answers (B, 2, z, y, x), mean and deviation, and truths (B, 1, z, y, x); the mean squared error.

    The logarithm makes every case count alike, as the protocol's decibels do. The deviation is fitted by the likelihood of the
    error seen, which leaves the reconstruction itself alone.
    """
    error = found[:, :1] - target.clamp(max=CEILING)
    squared = error.square().mean(dim=(1, 2, 3, 4))
    deviation = found[:, 1:] + 0.01
    likelihood = (deviation.log() + 0.5 * (error.detach() / deviation).square()).mean()
    total = (
        weights.log_squared * (squared + 1e-4).log().mean()
        + weights.squared * squared.mean()
        + weights.absolute * error.abs().mean()
        + weights.likelihood * likelihood
    )
    return Losses(total, squared.detach().mean())
