"""Checkpoints: all that the next step of a training needs, replaced whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.models.zoo import load_model

NAME = "checkpoint.pt"
_PARTS = {"network": dict, "average": dict, "optimiser": dict, "step": int}


def write_checkpoint(
    path: Path, network: torch.nn.Module, average: torch.nn.Module, optimisers: Sequence[torch.optim.Optimizer], step: int
) -> None:
    """Replace the checkpoint; :class:`InputError` when it cannot be written, and the old one stays.

    ``optimisers``: the network's, and the critic's if it has one.
    """
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimisers[0].state_dict(),
        "step": step,
    }
    if len(optimisers) > 1:
        state["critic"] = optimisers[1].state_dict()
    buffer = io.BytesIO()  # torch's own writer reports a full disk as an assertion, and late
    torch.save(state, buffer)
    with writing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """A checkpoint's state; :class:`InputError` when there is none or it is damaged."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}: train the recipe first.")
    try:
        # weights_only: a checkpoint runs no code. The whole file is checked, for torch does not look at the archive's sums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        state = torch.load(path, map_location=device, weights_only=True) if damaged is None else None
    except Exception as error:  # torch and zipfile raise nearly anything on damaged files
        raise InputError(f"The checkpoint {path} cannot be read ({type(error).__name__}): delete it and train again.") from None
    right = isinstance(state, dict) and all(isinstance(state.get(key), kind) for key, kind in _PARTS.items())
    if not isinstance(state, dict) or not right or state["step"] < 0:
        raise InputError(f"The checkpoint {path} is damaged or none of a training: delete it and train again.")
    return state


def load_weights(network: torch.nn.Module, weights: dict[str, Any], where: str) -> None:
    """Give a network these weights; :class:`InputError` when they are another network's or not finite."""
    try:
        network.load_state_dict(weights)
    except Exception:  # names, shapes or kinds that do not fit
        raise InputError(f"{where} is of another network than the recipe's: use its own recipe.") from None
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise InputError(f"{where} holds weights that are not finite: go back to an earlier one, or train again.")


def first_weights(network: torch.nn.Module, source: str) -> None:
    """Start from a model (a bundled name or a .pt with a card) or the average of a checkpoint, instead of chance."""
    path = Path(source)
    if path.is_file() and not _has_card(path):
        load_weights(network, read_checkpoint(path)["average"], str(path))
    else:
        load_weights(network, load_model(source).module.state_dict(), f"The model {source}")


def _has_card(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("extra/model.json") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
