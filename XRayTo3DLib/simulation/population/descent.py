"""Gradient descent with adaptive moments (Adam: Kingma and Ba, ICLR 2015), for the few lines that registration needs.

The optimisers of torch do the same, but load its compiler, which takes longer than a small registration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_MEAN, _SQUARE, _TINY = 0.9, 0.98, 1e-8


class Descent:
    """Moves leaf tensors against their gradients, each entry by about the rate a step."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = list(tensors)
        self.means = [torch.zeros_like(one) for one in self.tensors]
        self.squares = [torch.zeros_like(one) for one in self.tensors]
        self.steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step with the gradients there are, which are cleared."""
        self.steps += 1
        for tensor, mean, square in zip(self.tensors, self.means, self.squares, strict=True):
            gradient = tensor.grad
            if gradient is None:
                continue
            mean.mul_(_MEAN).add_(gradient, alpha=1 - _MEAN)
            square.mul_(_SQUARE).addcmul_(gradient, gradient, value=1 - _SQUARE)
            size = (square / (1 - _SQUARE**self.steps)).sqrt_().add_(_TINY)
            tensor.addcdiv_(mean, size, value=-rate / (1 - _MEAN**self.steps))
            tensor.grad = None
