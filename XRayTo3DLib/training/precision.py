"""Where convolutions in bfloat16 are quicker than in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def convolutions(device: torch.device, bfloat16: bool) -> AbstractContextManager[None]:
    """A context in which convolutions are computed in bfloat16, where that is wanted and the processor has it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16 and has_bfloat16(device.type))


@cache
def has_bfloat16(kind: str) -> bool:
    """Whether devices of this type compute in bfloat16 themselves: on processors that emulate it, it is 40 times slower."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return bool(_CPU_FLAGS & {flag for line in lines if line.startswith("flags") for flag in line.split()})
