"""What is trained: the three things that the engine needs of a system."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar

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
