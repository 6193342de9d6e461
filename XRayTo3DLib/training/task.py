"""What is trained: the three things that the engine needs of a system, and the three more of an adversarial one."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch

B = TypeVar("B")


class Losses(NamedTuple):
    """``total`` is minimised; ``figure`` is the number that the log and the progress show (no gradient), named by the task."""

    total: torch.Tensor
    figure: torch.Tensor


class Task(Protocol, Generic[B]):
    """A system to train. ``figure``: the name of the number that is watched."""

    figure: str

    def build(self) -> torch.nn.Module:
        """The network before its first step, the same at every call."""

    def batch(self, step: int, device: torch.device) -> B:
        """The examples of a step: the same for the same step, whatever came before."""

    def loss(self, network: torch.nn.Module, batch: B) -> Losses:
        """How wrong the network is about them."""


@runtime_checkable
class AdversarialTask(Task[B], Protocol):
    """A system of two parts that learn in turn: a critic inside the network, and the rest of it.

    Every step is one of the critic, and every ``critic_turns``-th is one of the rest as well, on the same batch: a batch brings
    what noise its losses need. Both parts have an optimiser of their own, with ``betas``; the critic's learning rate is
    ``critic_rate`` times the schedule's.
    """

    critic_turns: int
    critic_rate: float
    betas: tuple[float, float]

    def critic(self, network: torch.nn.Module) -> torch.nn.Module:
        """The part of the network that is the critic."""

    def critic_loss(self, network: torch.nn.Module, batch: B) -> torch.Tensor:
        """How wrong the critic is about a batch; what the rest makes is not to be asked for gradients."""
