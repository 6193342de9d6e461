"""From a checkpoint to a model file: the averaged weights, scripted, in half precision, with the card inside.

``xrayto3d train --export`` writes a model without figures. Once it was measured, a bundled model is written with them:
``python -m XRayTo3DLib.training.export RECIPE RUN FILE --figures "DATA, SPLIT=evaluation.json" [...] --commit HASH``, which also
renews the list of checksums beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.files import writing
from XRayTo3DLib.models.card import SCHEMA
from XRayTo3DLib.models.trust import CHECKSUMS
from XRayTo3DLib.models.zoo import describe_model, save_model
from XRayTo3DLib.training.checkpoint import NAME, load_weights, read_checkpoint
from XRayTo3DLib.training.recipes import Recipe, load_recipe
from XRayTo3DLib.training.systems import system_of


def card_of(
    recipe: Recipe,
    steps: int,
    parameters: int,
    metrics: list[dict[str, Any]],
    commit: str,
    part: str = "",
    own: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The model card of a trained recipe; ``metrics`` are rows of the schema, from the evaluation.

    ``part``: what the name of a companion's file adds, and ``own`` what its card says of inputs and outputs.
    """
    told = recipe.card
    return {
        "schema": SCHEMA,
        "name": f"{recipe.name}_{part}" if part else recipe.name,
        "version": told.version,
        "title": told.title,
        "region": list(told.region),
        **(own or system_of(recipe).card(recipe)),
        "training": {
            "data": [dataclasses.asdict(credit) for credit in told.data],
            "recipe": f"{recipe.name}.toml",
            "seed": recipe.seed,
            "steps": steps,
            "commit": commit,
            "parameters": parameters,
        },
        "metrics": metrics,
        "metrics_convention": told.metrics_convention,
        "intended_use": told.intended_use,
        "limits": list(told.limits),
        "licence": told.licence,
    }


def metric_rows(results: dict[str, Any], data: str, split: str) -> list[dict[str, Any]]:
    """The card's rows of an evaluation's summary; of one of shapes, whose summary has organs, the setting names the organ too."""
    rows = []
    for setting, entries in results["summary"].items():
        tables = {setting: entries} if "cases" in next(iter(entries.values()), {}) else _by_organ(setting, entries)
        for told, methods in tables.items():
            for method, found in methods.items():
                # Figures alone: not how many cases, how long, or what is not defined.
                numbers = {k: v for k, v in found.items() if isinstance(v, float) and k != "seconds"}
                values = {k: round(v, 6 if k == "reprojection" else 3) for k, v in numbers.items()}
                rows.append(
                    {"data": data, "split": split, "setting": told, "method": method, "cases": found["cases"], "values": values}
                )
    return rows


def _by_organ(setting: str, organs: dict[str, Any]) -> dict[str, Any]:
    return {f"{setting}, {organ}": methods for organ, methods in organs.items()}


def export(
    recipe: Recipe,
    folder: Path,
    path: Path,
    metrics: list[dict[str, Any]] | None = None,
    commit: str = "",
) -> Path:
    """Write the averaged network of ``folder/checkpoint.pt`` as a model file at ``path``; companions beside it, their parts' names
    added to that of the file."""
    source = folder / NAME
    state = read_checkpoint(source)
    system = system_of(recipe)
    network = system.build(recipe)
    load_weights(network, state["average"], f"The checkpoint {source}")
    main = network if system.exported is None else system.exported(network)
    companions = {} if system.companions is None else system.companions(recipe, network)
    for part, (module, own) in {**companions, "": (main, system.card(recipe))}.items():
        parameters = sum(p.numel() for p in module.parameters())
        file = path.with_name(f"{path.stem}_{part}{path.suffix}") if part else path
        save_model(module, card_of(recipe, state["step"], parameters, metrics or [], commit, part, own), file)
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
