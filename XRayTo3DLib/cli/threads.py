"""How many processor threads the work may use."""

from __future__ import annotations


def use_threads(number: int | None) -> None:
    """Limit torch to ``number`` threads; ``None`` leaves its own choice (all cores, or OMP_NUM_THREADS)."""
    if number is not None:
        import torch

        torch.set_num_threads(number)
