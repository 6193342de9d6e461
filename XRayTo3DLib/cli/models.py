"""``xrayto3d models``: which models there are, what their cards say, and whether they may be run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

_DESCRIPTION = """\
The models that reconstruction can use: the bundled ones, those in your models folder, and those in folders that the
environment variable XRAYTO3D_MODELS names. A model is one TorchScript file (.pt) with its card inside.
"""
_EPILOG = """\
examples:
  xrayto3d models list
  xrayto3d models list --folder my_models          also look into a folder of your own
  xrayto3d models show biplanar                    what it takes and gives, its training data, figures and limits
  xrayto3d models show biplanar --json             its whole card
  xrayto3d models verify                           whether the bundled models are the released ones
  xrayto3d models trust my_models/mine.pt          allow one file from elsewhere to run

Loading a model runs the code inside it. A file from elsewhere is therefore refused until it was trusted once; the
trust holds for this very file (its SHA-256) and ends when it changes.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models",
        help="list, show, verify and trust models",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every model found", description="Every model found, one a line.")
    show = actions.add_parser(
        "show", help="a model's card", description="What a model takes and gives, was made from and is good for."
    )
    show.add_argument("model", nargs="?", metavar="MODEL", help="name or .pt file (default: the one reconstruction uses)")
    show.add_argument("--json", action="store_true", help="the whole card as JSON")
    verify = actions.add_parser(
        "verify",
        help="check files against their checksums and cards",
        description="Check that bundled models are the released files (SHA-256), that cards are valid and files load.",
    )
    verify.add_argument("model", nargs="*", metavar="MODEL", help="names or .pt files (default: all found)")
    trust = actions.add_parser(
        "trust",
        help="allow a file from elsewhere to run",
        description="Allow one model file to run; its code may do all that you may.",
    )
    trust.add_argument("model", metavar="FILE", help="name or .pt file")
    for action, function in ((listing, _list), (show, _show), (verify, _verify), (trust, _trust)):
        action.add_argument(
            "--folder", action="append", default=[], type=Path, metavar="FOLDER", help="look here too; may be repeated"
        )
        action.set_defaults(run=function)


def _list(args: argparse.Namespace) -> None:
    from XRayTo3DLib.models.card import shown
    from XRayTo3DLib.models.zoo import find_models, is_trusted, model_folders

    models = find_models(args.folder)
    for model in models:
        state = "bundled" if model.bundled else "trusted" if is_trusted(model) else "not trusted yet"
        views = model.card["inputs"]["views"]
        count = (
            f"{views['minimum']} to {views['maximum']} views"
            if views["minimum"] < views["maximum"]
            else f"{views['minimum']} views"
        )
        region = ", ".join(model.card["region"])
        print(
            f"{model.name:<16} {model.card['version']:<8} {model.card['task']:<10} {count:<13} {region:<24} "
            f"{state:<16} {shown(model.path)}"
        )
    if not models:
        folders = ", ".join(str(folder) for folder in model_folders(args.folder))
        print(f"There is no model in {folders}.")


def _show(args: argparse.Namespace) -> None:
    from XRayTo3DLib.models.card import shown
    from XRayTo3DLib.models.zoo import find_model, is_trusted

    model = find_model(args.model, args.folder)
    card = model.card
    if args.json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return
    views, grid = card["inputs"]["views"], card["outputs"]["grid"]
    lines = [
        f"{model.name} {card['version']}: {card.get('title', card['task'])}",
        f"file       {shown(model.path)}",
        f"SHA-256    {model.sha256}" + ("" if is_trusted(model) else "  (not trusted yet)"),
        f"task       {card['task']} ({card['interface']}) of {', '.join(card['region'])}",
        f"takes      {views['minimum']} to {views['maximum']} views "
        f"({', '.join(card['inputs'].get('beam', ['any beam']))}); {card['inputs']['unit']}",
        f"gives      {' x '.join(map(str, grid['size']))} voxels of "
        f"{' to '.join(f'{s:g}' for s in grid['spacing_mm'])} mm; {card['outputs']['unit']}",
        f"use        {card['intended_use']}",
        *(f"limit      {limit}" for limit in card["limits"]),
        *(
            f"data       {d['name']}: {d['subjects']} subjects, {d['licence']}; {d['attribution']}"
            for d in card["training"]["data"]
        ),
        f"training   seed {card['training']['seed']}, {card['training']['steps']} steps",
        *(_metric(row) for row in card["metrics"]),
        f"licence    {card['licence']}",
    ]
    print("\n".join(lines))


def _metric(row: dict) -> str:
    values = ", ".join(f"{name} {value}" for name, value in row["values"].items())
    return f"measured   {row['data']} ({row['split']}), {row['setting']}, {row['method']}: {values}"


def _verify(args: argparse.Namespace) -> None:
    from XRayTo3DLib.errors import InputError
    from XRayTo3DLib.models.zoo import find_model, find_models, is_trusted, load_model, verify_model

    models = [find_model(name, args.folder) for name in args.model] or find_models(args.folder)
    if not models:
        raise InputError("There is no model to verify: name a .pt file, or a folder with --folder.")
    for model in models:
        verify_model(model)
        if is_trusted(model):
            load_model(model.path)
            print(f"{model.path}: whole, loads" + (", as released" if model.bundled else ", trusted"))
        else:
            print(f"{model.path}: card is valid; not loaded, because it is not trusted yet")


def _trust(args: argparse.Namespace) -> None:
    from XRayTo3DLib.models.zoo import find_model, is_trusted, trust_model

    model = find_model(args.model, args.folder)
    if is_trusted(model):
        print(f"{model.path} is trusted already.")
        return
    trust_model(model)
    print(f"{model.path} (SHA-256 {model.sha256}) may run from now on.")
