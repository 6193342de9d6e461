"""How many processor threads the work may use."""

from __future__ import annotations

import os

from XRayTo3DLib.errors import InputError


def use_threads(number: int | None) -> None:
    """Limit torch to ``number`` threads; ``None`` leaves its own choice (all cores, or OMP_NUM_THREADS)."""
    if number is not None:
        import torch

        most = max(64, 4 * (os.cpu_count() or 1))
        if number > most:
            raise InputError(f"--threads {number} is more than this machine can use: give at most {most}.")

        torch.set_num_threads(number)
