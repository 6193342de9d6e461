"""What probabilities are worth: cross-entropy and soft Dice of the organs that a patient's labels have."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from XRayTo3DLib.training.organ_probabilities.settings import Loss
from XRayTo3DLib.training.task import Losses

#: Share of the voxels that an organ counts as at least.
_LEAST = 0.02


def loss_of(logits: torch.Tensor, target: torch.Tensor, known: torch.Tensor, weights: Loss) -> Losses:
    """The weighted sum for logits and shares (B, organs, z, y, x); ``known`` (B, organs): whether the labels have the organ.

    The figure is the mean soft Dice coefficient of the known organs. The cross-entropy is over the organ's own volume, so that
    small ones count as large ones do, and over at least a fiftieth of the voxels: else parts without the organ, where all that can
    be learned is to be silent, would drown the others.
    """
    probability = logits.sigmoid()
    axes = (2, 3, 4)
    size = target.sum(axes)
    dice = (2 * (probability * target).sum(axes) + 1) / (probability.sum(axes) + size + 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(axes) / (
        size + _LEAST * target[0, 0].numel()
    )
    weight = known / known.sum().clamp(min=1)
    total = weights.cross_entropy * (entropy * weight).sum() + weights.dice * ((1 - dice) * weight).sum()
    return Losses(total, (dice * weight).sum().detach())
