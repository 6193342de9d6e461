"""From a checkpoint to a bundled model: the averaged weights, scripted, in half precision, with the card inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.modelzoo import save_model
from XRayTo3DLib.training.fit import build


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state; :class:`InputError` when there is none or it is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no checkpoint {path}: train the recipe first.") from None
    except Exception as error:
        raise InputError(f"The checkpoint {path} cannot be read ({type(error).__name__}): delete it and train again.") from None


def card_of(recipe: dict[str, Any], steps: int, parameters: int, metrics: list[dict[str, Any]], commit: str) -> dict[str, Any]:
    """The model card of a trained recipe; ``metrics`` are rows of the schema, from the evaluation."""
    told = recipe["card"]
    return {
        "schema": 1,
        "name": recipe["name"],
        "version": told["version"],
        "title": told["title"],
        "task": "volume",
        "region": told["region"],
        "inputs": {
            "views": {"minimum": 1, "maximum": told["maximum_views"]},
            "beam": ["parallel", "cone"],
            "unit": "line integral on a virtual detector of one-voxel pixels, over that of 32 voxels of water",
        },
        "outputs": {
            "grid": {
                "size": [recipe["grid"]["size"]] * 3,
                "spacing_mm": told["spacing_mm"],
                "multiple_of": 8,
            },
            "unit": "attenuation over that of water",
            "channels": ["mean", "standard deviation"],
        },
        "training": {
            "data": told["data"],
            "recipe": f"{recipe['name']}.toml",
            "seed": recipe["seed"],
            "steps": steps,
            "commit": commit,
            "parameters": parameters,
        },
        "metrics": metrics,
        "metrics_convention": told["metrics_convention"],
        "intended_use": told["intended_use"],
        "limits": told["limits"],
        "licence": told["licence"],
    }


def metric_rows(results: dict[str, Any], data: str, split: str) -> list[dict[str, Any]]:
    """The card's rows of an evaluation's summary."""
    rows = []
    for setting, methods in results["summary"].items():
        for method, found in methods.items():
            values = {k: round(v, 6 if k == "reprojection" else 3) for k, v in found.items() if k not in ("cases", "seconds")}
            rows.append(
                {"data": data, "split": split, "setting": setting, "method": method, "cases": found["cases"], "values": values}
            )
    return rows


def export(
    recipe: dict[str, Any],
    folder: Path,
    path: Path,
    metrics: list[dict[str, Any]] | None = None,
    commit: str = "",
) -> Path:
    """Write the averaged network of ``folder/checkpoint.pt`` as a model file at ``path``."""
    state = read_checkpoint(folder / "checkpoint.pt")
    network = build(recipe)
    try:
        network.load_state_dict(state["average"])
    except RuntimeError:
        raise InputError(f"The checkpoint in {folder} is of another network than the recipe's: use its own recipe.") from None
    parameters = sum(p.numel() for p in network.parameters())
    save_model(network, card_of(recipe, int(state["step"]), parameters, metrics or [], commit), path)
    return path
