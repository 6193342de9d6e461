"""Resumable fitting of any task: a checkpoint holds all that the next step needs, and a step's examples follow from its number."""

from __future__ import annotations

import copy
import csv
import math
import time
from pathlib import Path

import torch
from tqdm import tqdm

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.training.checkpoint import NAME, first_weights, load_weights, read_checkpoint, write_checkpoint
from XRayTo3DLib.training.recipes import Recipe, Schedule
from XRayTo3DLib.training.task import AdversarialTask, B, Task

#: Steps in a row without a finite gradient after which a training has failed; a single one is left out.
_LOST = 50


def learning_rate(step: int, schedule: Schedule) -> float:
    """A rise over the first ``warm_up`` steps, then a cosine from the peak at step 0 to ``final_rate`` of it at the last step."""
    progress = min(1.0, step / schedule.steps)
    fall = schedule.final_rate + (1 - schedule.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return schedule.learning_rate * min(1.0, (step + 1) / max(1, schedule.warm_up)) * fall


def start(recipe: Recipe, task: Task[B]) -> torch.nn.Module:
    """The network before its first step: the task's, with the weights that the recipe's ``init`` names."""
    network = task.build()
    if recipe.init:
        first_weights(network, recipe.init)
    return network


def fit(recipe: Recipe, task: Task[B], folder: Path, stop_after: float | None = None, device: str = "cpu") -> torch.nn.Module:
    """Train until the recipe's last step, or until ``stop_after`` seconds, and return the averaged network.

    ``folder`` receives ``checkpoint.pt`` (replaced whole every ``checkpoint_every`` steps) and ``log.csv`` (step, mean of the
    task's figure, seconds); a run that finds a checkpoint goes on from it and ends at the same weights as one that was never
    stopped. The learning rate follows the recipe's ``steps``, also when that number was changed between runs. An
    :class:`AdversarialTask` has a second optimiser, and its two parts learn in turn. Raises
    :class:`InputError` when the checkpoint is damaged or another recipe's, when nothing can be written, and when the loss stays
    not finite.
    """
    schedule = recipe.schedule
    checkpoint = folder / NAME
    state = read_checkpoint(checkpoint, device) if checkpoint.exists() else None
    network = (task.build() if state else start(recipe, task)).to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    parts = _parts(network, task, schedule)
    first = 0
    if state is not None:
        load_weights(network, state["network"], f"The checkpoint {checkpoint}")
        load_weights(average, state["average"], f"The checkpoint {checkpoint}")
        try:
            for part, name in zip(parts, ("optimiser", "critic"), strict=False):
                part.optimiser.load_state_dict(state[name])
        except Exception:  # whatever a foreign state lacks
            raise InputError(f"The checkpoint {checkpoint} is of another training: use its own recipe.") from None
        first = state["step"]
    started = time.monotonic()
    figures: list[float] = []
    lost = 0
    with tqdm(total=schedule.steps, initial=first, desc=recipe.name, unit="step") as bar:
        for step in range(first, schedule.steps):
            rate = learning_rate(step, schedule)
            batch = task.batch(step, torch.device(device))
            finite = True
            if isinstance(task, AdversarialTask):
                finite = parts[1].learn(task.critic_loss(network, batch), rate, schedule.gradient_limit)
            if not isinstance(task, AdversarialTask) or (step + 1) % task.critic_turns == 0:
                losses = task.loss(network, batch)
                right = parts[0].learn(losses.total, rate, schedule.gradient_limit)
                finite = finite and right
                if right:
                    figures.append(float(losses.figure))
            lost = 0 if finite else lost + 1
            if lost >= min(_LOST, schedule.steps):
                raise InputError(
                    f"The training of {recipe.name} gave no finite gradient in {lost} steps before step {step + 1}: lower the "
                    "learning rate; the last checkpoint stays."
                )
            decay = min(schedule.average_decay, (step + 1) / (step + 20))
            with torch.no_grad():
                for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(value, 1 - decay)
                for kept, now in zip(average.buffers(), network.buffers(), strict=True):  # statistics of batch normalisation
                    kept.copy_(now)
            bar.set_postfix({task.figure: f"{_mean(figures[-100:]):.4f}"}, refresh=False)
            bar.update()
            out_of_time = stop_after is not None and time.monotonic() - started > stop_after
            if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps or out_of_time:
                write_checkpoint(checkpoint, network, average, [part.optimiser for part in parts], step + 1)
                _log(folder / "log.csv", step + 1, _mean(figures), time.monotonic() - started)
                figures.clear()
            if out_of_time:
                break
    return average


class _Part:
    """Parameters that are learned together, with their optimiser."""

    def __init__(self, parameters: list[torch.nn.Parameter], weight_decay: float, betas: tuple[float, float], rate: float) -> None:
        self.parameters = parameters
        self.optimiser = torch.optim.AdamW(parameters, weight_decay=weight_decay, betas=betas)
        self.rate = rate

    def learn(self, loss: torch.Tensor, rate: float, limit: float) -> bool:
        """One step down this loss, unless its gradient is not finite: a rare overflow must not end the run."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * self.rate
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        finite = bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(self.parameters, limit)))
        if finite:
            self.optimiser.step()
        return finite


def _parts(network: torch.nn.Module, task: Task[B], schedule: Schedule) -> list[_Part]:
    """All parameters, or those of an adversarial task apart: first the rest's, then the critic's."""
    if not isinstance(task, AdversarialTask):
        return [_Part([*network.parameters()], schedule.weight_decay, (0.9, 0.98), 1.0)]
    critic = [*task.critic(network).parameters()]
    kept = {id(parameter) for parameter in critic}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in kept]
    return [
        _Part(rest, schedule.weight_decay, task.betas, 1.0),
        _Part(critic, schedule.weight_decay, task.betas, task.critic_rate),
    ]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _log(path: Path, step: int, figure: float, seconds: float) -> None:
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, f"{figure:.5f}", f"{seconds:.0f}"])
    except OSError as error:
        raise InputError(f"{path} could not be written ({error.strerror}): make room; the checkpoint is there.") from error
