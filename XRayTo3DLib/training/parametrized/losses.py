"""What is wrong with X-rays, heat maps and critics."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from XRayTo3DLib.training.parametrized.settings import Adversary, Loss

#: X-rays (line integrals over 5) go from 0 to about this; the constants of the structural similarity follow.
_RANGE = 1.6
_C1, _C2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
_WINDOW, _SCALES = 7, 3


def dissimilarity(found: Tensor, target: Tensor) -> Tensor:
    """1 - structural similarity of pictures (B, 1, H, W), in square windows, the mean over the picture and over its scales."""
    lacking = []
    for scale in range(_SCALES):
        if scale:
            found, target = functional.avg_pool2d(found, 2), functional.avg_pool2d(target, 2)
        means = [
            functional.avg_pool2d(p, _WINDOW, stride=1) for p in (found, target, found * found, target * target, found * target)
        ]
        a, b = means[0], means[1]
        both = (2 * a * b + _C1) * (2 * (means[4] - a * b) + _C2)
        each = (a * a + b * b + _C1) * (means[2] - a * a + means[3] - b * b + _C2)
        lacking.append(1 - (both / each).mean())
    return torch.stack(lacking).mean()


def xray_loss(found: Tensor, target: Tensor, weights: Loss) -> Tensor:
    """How wrong X-rays are, without a critic."""
    loss = weights.absolute * (found - target).abs().mean()
    return loss + weights.structural * dissimilarity(found, target) if weights.structural > 0 else loss


def marker_loss(found: Tensor, target: Tensor, weights: Loss) -> Tensor:
    """The mean squared error of heat maps, in units of what a map of zeros has; pixels of a landmark count more."""
    weight = 1 + weights.landmark * target
    return (weight * (found - target).square()).mean() / (weight * target.square()).mean().clamp(min=1e-8)


def critic_loss(critic: torch.nn.Module, surface: Tensor, real: Tensor, made: Tensor, noise: Tensor, settings: Adversary) -> Tensor:
    """How badly a critic tells X-rays from made ones; ``noise`` (B, 1, 1, 1) in [0, 1): where between both its slope is taken."""
    scores = critic(surface, real), critic(surface, made)
    if settings.kind == "pix2pix":
        return 0.5 * (functional.softplus(-scores[0]).mean() + functional.softplus(scores[1]).mean())
    loss = scores[1].mean() - scores[0].mean()
    if settings.kind == "wgan_gp":
        between = (made + noise * (real - made)).requires_grad_(True)
        score = critic(surface, between).mean(dim=(1, 2, 3)).sum()
        (slope,) = torch.autograd.grad(score, between, create_graph=True)
        loss = loss + settings.penalty * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return loss


def adversarial_loss(critic: torch.nn.Module, surface: Tensor, made: Tensor, settings: Adversary) -> Tensor:
    """What a critic holds against X-rays that were made."""
    score = critic(surface, made)
    return functional.softplus(-score).mean() if settings.kind == "pix2pix" else -score.mean()
