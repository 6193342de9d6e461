"""From a checkpoint to a model file: the averaged weights, scripted, in half precision, with the card inside.

``xrayto3d train --export`` writes a model without figures. Once it was measured, a bundled model is written with them:
``python -m XRayTo3DLib.training.export RECIPE RUN FILE --figures "DATA, SPLIT=evaluation.json" [...] --commit HASH``, which also
renews the list of checksums beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.models.card import SCHEMA
from XRayTo3DLib.models.trust import CHECKSUMS
from XRayTo3DLib.models.zoo import describe_model, save_model
from XRayTo3DLib.training.fit import build
from XRayTo3DLib.training.recipes import load_recipe


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
        "schema": SCHEMA,
        "name": recipe["name"],
        "version": told["version"],
        "title": told["title"],
        "task": "volume",
        "interface": "lifted-views/1",
        "mirror_averaging": True,
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


def list_checksums(folder: Path) -> None:
    """Write the SHA-256 of every model in ``folder`` beside them."""
    lines = [f"{describe_model(path).sha256}  {path.name}\n" for path in sorted(folder.glob("*.pt"))]
    with writing(folder / CHECKSUMS) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("run", type=Path, help="the folder with checkpoint.pt")
    parser.add_argument("file", type=Path, help="the .pt to write")
    parser.add_argument("--figures", action="append", default=[], metavar="DATA, SPLIT=JSON", help="results of xrayto3d evaluate")
    parser.add_argument("--commit", default="", help="of the code that trained it")
    arguments = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for entry in arguments.figures:
        told, _, path = entry.rpartition("=")
        data, _, split = told.rpartition(",")
        rows += metric_rows(json.loads(Path(path).read_text(encoding="utf-8")), data.strip(), split.strip())
    export(load_recipe(arguments.recipe), arguments.run, arguments.file, rows, arguments.commit)
    list_checksums(arguments.file.parent)


if __name__ == "__main__":
    main()
