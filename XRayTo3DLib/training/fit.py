"""Resumable fitting: a checkpoint holds all that the next step needs, and each step's examples follow from its number."""

from __future__ import annotations

import copy
import csv
import math
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from XRayTo3DLib.training.data import Batch, Sampler
from XRayTo3DLib.training.network import ReconstructionNetwork

#: Relative attenuation at the top of the protocol's range: HU + 1024 = 2500.
_CEILING = 2.476


def build(recipe: dict[str, Any]) -> ReconstructionNetwork:
    """The untrained network of a recipe, with the recipe's seed."""
    torch.manual_seed(int(recipe["seed"]))
    return ReconstructionNetwork(**recipe["network"])


def loss_of(network: torch.nn.Module, batch: Batch, recipe: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """What to minimise, and the mean squared error in it.

    The error is that of relative attenuation, clipped like the protocol: its mean square, a share of its mean absolute value,
    and for the standard deviation the likelihood of the error seen, which leaves the reconstruction itself alone.
    """
    size = list(batch.target.shape[2:])
    with torch.autocast(batch.target.device.type, torch.bfloat16, enabled=bool(recipe["bfloat16"])):
        found = network(batch.images, batch.matrices, batch.beams, batch.affine, size)
    found = found.float()
    error = found[:, :1] - batch.target.clamp(max=_CEILING)
    squared = error.square().mean()
    deviation = found[:, 1:] + 0.01
    likelihood = (deviation.log() + 0.5 * (error.detach() / deviation).square()).mean()
    return squared + float(recipe["l1_weight"]) * error.abs().mean() + 0.01 * likelihood, squared.detach()


def learning_rate(step: int, recipe: dict[str, Any]) -> float:
    """Linear warm-up over 200 steps, then a cosine to 1 % of the peak at the recipe's last step."""
    peak, total = float(recipe["learning_rate"]), int(recipe["steps"])
    if step < 200:
        return peak * (step + 1) / 200
    progress = min(1.0, (step - 200) / max(1, total - 200))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def fit(
    recipe: dict[str, Any], sampler: Sampler, folder: Path, stop_after: float | None = None, device: str = "cpu"
) -> ReconstructionNetwork:
    """Train until the recipe's last step, or until ``stop_after`` seconds, and return the averaged network.

    ``folder`` receives ``checkpoint.pt`` (replaced whole every 100 steps) and ``log.csv`` (step, mean squared error, seconds); a
    run that finds a checkpoint goes on from it. The learning rate follows the recipe's ``steps``, also when that number was
    changed between runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = build(recipe).to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=float(recipe["weight_decay"]), betas=(0.9, 0.98))
    checkpoint = folder / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = int(state["step"])
    started = time.monotonic()
    total = int(recipe["steps"])
    losses: list[float] = []
    with tqdm(total=total, initial=first, desc=recipe["name"], unit="step") as bar:
        for step in range(first, total):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, recipe)
            batch = sampler.batch(step, int(recipe["batch"]))
            for name, value in vars(batch).items():
                setattr(batch, name, value.to(device))
            loss, squared = loss_of(network, batch, recipe)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            if bool(torch.isfinite(norm)):  # a rare overflow in bfloat16 must not end the run
                optimiser.step()
            decay = min(float(recipe["average_decay"]), (step + 1) / (step + 20))
            with torch.no_grad():
                for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(value, 1 - decay)
            losses.append(float(squared))
            bar.set_postfix(mse=f"{sum(losses[-100:]) / len(losses[-100:]):.4f}", refresh=False)
            bar.update()
            out_of_time = stop_after is not None and time.monotonic() - started > stop_after
            if (step + 1) % 100 == 0 or step + 1 == total or out_of_time:
                _save(checkpoint, network, average, optimiser, step + 1)
                with (folder / "log.csv").open("a", newline="") as file:
                    csv.writer(file).writerow([step + 1, f"{sum(losses) / len(losses):.5f}", f"{time.monotonic() - started:.0f}"])
                losses.clear()
            if out_of_time:
                break
    return average


def _save(path: Path, network: torch.nn.Module, average: torch.nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
    }
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)
