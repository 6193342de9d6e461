"""This system as tasks for the engine: the auto-encoder with what is seen, and its adversarial baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.anatomy.catalogue import CATALOGUE
from XRayTo3DLib.shapes.methods.organ_frame import ACROSS_AXIS, PICTURE_MM, PICTURE_SIZE, SHAPE_SIZE
from XRayTo3DLib.training.organ_examples import OrganBatch, OrganExamples, OrganSubject, project_cube
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.shape_vae.network import MEAN_LIMIT, OFFSET_MM, ShapeVae
from XRayTo3DLib.training.shape_vae.settings import ShapeVaeSettings
from XRayTo3DLib.training.task import Losses, Task


def build(recipe: Recipe[ShapeVaeSettings]) -> ShapeVae:
    """The untrained network of a recipe, by the recipe's seed; torch's own random state stays what it is."""
    told = recipe.settings.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        across = ACROSS_AXIS[recipe.settings.pictures.view]
        return ShapeVae(
            told.channels, told.picture_channels, told.latent, told.inputs, across, told.shape_encoder, told.adversarial
        )


def exported(network: torch.nn.Module) -> torch.nn.Module:
    """The part that finds shapes; the shape encoder and the critic stay with the training."""
    return network.predictor  # type: ignore[return-value]


def card(recipe: Recipe[ShapeVaeSettings]) -> dict[str, Any]:
    """What the model card says of what the network takes and gives."""
    organ, inputs = recipe.settings.organ, recipe.settings.network.inputs
    return {
        "task": "shape",
        "interface": "shape-vae/1",
        "inputs": {
            "views": {"minimum": 1, "maximum": 1},
            "view": recipe.settings.pictures.view,
            "masks": {"topogram": "none", "either": "optional"}.get(inputs, "required"),
            "size": [PICTURE_SIZE, PICTURE_SIZE],
            "spacing_mm": PICTURE_MM,
            "unit": "line integral about the organ's middle, and the organ's drawn mask on the cube's pixels",
        },
        "outputs": {
            "grid": {"size": [SHAPE_SIZE] * 3, "spacing_mm": [organ.spacing, organ.spacing]},
            "unit": "probability",
            "structures": [{"name": organ.name, "code": CATALOGUE[organ.name].code}],
        },
    }


def task(recipe: Recipe[ShapeVaeSettings], subjects: Sequence[OrganSubject]) -> Task[Any]:
    """The task of a recipe."""
    return (VaeGanTask if recipe.settings.network.adversarial else ShapeVaeTask)(recipe, subjects)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Examples with the random numbers (two of (B, latent)) that the losses of a step need."""

    seen: OrganBatch
    noise: torch.Tensor
    prior: torch.Tensor


class ShapeVaeTask:
    """Shapes to shapes and pictures to shapes, through one decoder."""

    figure = "dice"

    def __init__(self, recipe: Recipe[ShapeVaeSettings], subjects: Sequence[OrganSubject]) -> None:
        self.recipe = recipe
        self.weights = recipe.settings.loss
        self.examples = OrganExamples(recipe, subjects)

    def build(self) -> ShapeVae:
        """The untrained network, with the mean of the training shapes in it."""
        network = build(self.recipe)
        subjects = self.examples.subjects
        mean = torch.from_numpy(np.mean([s.shape(v) for s in subjects for v in range(len(s.shapes))], axis=0, dtype=np.float32))
        logits = torch.logit(self.pooled(mean[None, None]), 1e-6).clamp(-MEAN_LIMIT, MEAN_LIMIT)
        network.predictor.decoder.get_buffer("mean").copy_(logits)
        return network

    def pooled(self, shape: torch.Tensor) -> torch.Tensor:
        """Shapes on the voxels that the network works on: what share of each is filled."""
        factor = 2 ** (4 - len(self.recipe.settings.network.channels))
        return functional.avg_pool3d(shape, factor) if factor > 1 else shape

    def batch(self, step: int, device: torch.device) -> Batch:
        seen = self.examples.batch(step)
        shape = self.pooled(seen.shape)
        seen = dataclasses.replace(seen, shape=shape).to(device)
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        noise, prior = torch.randn(2, len(seen.shape), self.recipe.settings.network.latent, generator=generator).to(device)
        return Batch(seen, noise, prior)

    def loss(self, network: torch.nn.Module, batch: Batch) -> Losses:
        """The four terms of the paper, and where the organ lies.

        The divergence is the mean over the coordinates: their sum, with the paper's weight, leaves nothing of them.
        """
        assert isinstance(network, ShapeVae)
        seen, weights = batch.seen, self.weights
        predictor, inputs = network.predictor, self.recipe.settings.network.inputs
        latents, total = [], seen.picture.new_zeros(())
        shown: list[torch.Tensor | None] = [None] if inputs in ("topogram", "either") else []
        for mask in shown if inputs == "topogram" else [*shown, seen.mask]:
            latent, offset = predictor(seen.picture, mask)
            latents.append(latent)
            total = total + weights.offset * functional.smooth_l1_loss(offset / OFFSET_MM, seen.offset / OFFSET_MM)
        if network.shape_encoder is not None:
            mean, log_variance = network.shape_encoder(seen.shape)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
            total = total + weights.divergence * divergence
            latents.append(mean + batch.noise * (0.5 * log_variance).exp())
            predictor.watch(mean)
        else:
            predictor.watch(latents[0].detach())
        # One pass: all the shapes of a step meet the same statistics in the decoder's batch normalisation.
        logits = predictor.decoder(torch.cat(latents)).float().chunk(len(latents))
        if network.shape_encoder is not None:
            total = total + weights.shape * functional.binary_cross_entropy_with_logits(logits[-1], seen.shape)
            logits = logits[:-1]
        for found in logits:
            total = total + weights.seen / len(logits) * functional.binary_cross_entropy_with_logits(found, seen.shape)
        if inputs != "topogram" and weights.mask:
            total = total + weights.mask * mask_loss(logits[-1], seen.mask, self.recipe.settings.pictures.view)
        return Losses(total, dice(logits[-1], seen.shape))


class VaeGanTask(ShapeVaeTask):
    """The baseline: a picture to a distribution of shapes that a critic cannot tell from real ones (3D-VAE-GAN)."""

    #: Wu et al. train their critic at a 250th of the generator's rate, and only while it is weak.
    critic_turns, critic_rate, betas = 1, 0.1, (0.5, 0.9)
    _STRONG = 0.8

    def critic(self, network: torch.nn.Module) -> torch.nn.Module:
        assert isinstance(network, ShapeVae) and network.critic is not None
        return network.critic

    def critic_loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        assert isinstance(network, ShapeVae) and network.critic is not None
        with torch.no_grad():
            made = torch.sigmoid(network.predictor.decoder(batch.prior))
        real, fake = network.critic(batch.seen.shape), network.critic(made)
        right = 0.5 * ((real > 0).float().mean() + (fake < 0).float().mean())
        loss = functional.softplus(-real).mean() + functional.softplus(fake).mean()
        return loss * float(right < self._STRONG)

    def loss(self, network: torch.nn.Module, batch: Batch) -> Losses:
        assert isinstance(network, ShapeVae) and network.critic is not None and network.log_variance is not None
        seen, weights = batch.seen, self.weights
        mean, offset = network.predictor(seen.picture, None)
        log_variance = network.log_variance(mean).clamp(-10.0, 10.0)
        network.predictor.watch(mean.detach())
        latent = mean + batch.noise * (0.5 * log_variance).exp()
        logits, made = network.predictor.decoder(torch.cat([latent, batch.prior])).float().chunk(2)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        squared = (torch.sigmoid(logits) - seen.shape).square().sum(dim=(1, 2, 3, 4)).mean()
        fooled = functional.softplus(-network.critic(torch.sigmoid(made))).mean()
        total = weights.adversary * fooled + weights.divergence * divergence + weights.seen * squared
        total = total + weights.offset * functional.smooth_l1_loss(offset / OFFSET_MM, seen.offset / OFFSET_MM)
        return Losses(total, dice(logits, seen.shape))


def mask_loss(logits: torch.Tensor, mask: torch.Tensor, view: str) -> torch.Tensor:
    """The summed cross entropy between a mask (B, 1, 64, 64) and the shadow of a shape: the paper's fourth term."""
    shadow = project_cube(logits, view)
    shadow = functional.interpolate(shadow, mask.shape[2:], mode="bilinear", align_corners=False)
    return functional.binary_cross_entropy_with_logits(shadow, mask, reduction="sum") / len(mask)


def dice(logits: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Mean soft Dice of a batch."""
    with torch.no_grad():
        found = torch.sigmoid(logits)
        both = (found * shape).sum(dim=(1, 2, 3, 4))
        return (2 * both / (found.sum(dim=(1, 2, 3, 4)) + shape.sum(dim=(1, 2, 3, 4))).clamp(min=1)).mean()
