"""``xrayto3d train``: fit a recipe's network, and export it as a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from XRayTo3DLib.cli.options import count, positive

_DESCRIPTION = """\
Train the network of a recipe (a TOML file that holds everything but the data's place), and export it as a model file.

A run may be stopped at any time, by Ctrl-C or --minutes: the checkpoint in --out is replaced every few steps, and the
same command goes on from it. An accelerator is used where torch finds one.
"""
_EPILOG = """\
examples:
  xrayto3d train biplanar --data data --out run                           the bundled recipe
  xrayto3d train biplanar --data data --out run --minutes 60              one hour now, the rest later
  xrayto3d train mine.toml --data data --out run --steps 500 --export mine.pt
  xrayto3d train biplanar --data data --out run --minutes 0.01 --export now.pt     export what there is

The data folder holds the folders that the recipe names, with CTs in HU (NIfTI, NRRD or MetaImage). They are kept, at
their own voxels, in --cache.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a recipe and export the model",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a bundled recipe's name (biplanar) or a .toml file")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="holds the folders that the recipe names")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="checkpoint and log (default: training_NAME)")
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="CTs as they are read fastest (default: the user's cache folder)"
    )
    parser.add_argument("--steps", type=count, metavar="N", help="train to step N instead of the recipe's last one")
    parser.add_argument("--minutes", type=positive, metavar="M", help="stop after M minutes, with a checkpoint")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="then write the averaged network as a model (.pt)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Load the data, fit, and export if asked; whatever can be wrong is looked at before the work."""
    from dataclasses import replace

    from XRayTo3DLib.errors import InputError
    from XRayTo3DLib.files import check_writable, user_folder
    from XRayTo3DLib.training.recipes import load_recipe

    recipe = load_recipe(args.recipe)
    if args.export is not None:
        if args.export.suffix != ".pt":
            raise InputError(f"{args.export} must end in .pt, as model files do: change the name.")
        check_writable(args.export)
    for source in recipe.data:
        if not (args.data / source.folder).is_dir():
            raise InputError(f"{args.data} lacks the folder {source.folder} that the recipe names: correct --data or the recipe.")
    if args.steps is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=args.steps))
    folder = args.out or Path(f"training_{recipe.name}")
    check_writable(folder / "checkpoint.pt")
    import torch

    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.training.export import export
    from XRayTo3DLib.training.fit import fit
    from XRayTo3DLib.training.systems import system_of

    use_threads(args.threads)
    system = system_of(recipe)
    subjects = system.subjects(recipe, args.data, args.cache or user_folder("cache") / "training")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{len(subjects)} CTs, {device}, checkpoint in {folder}")
    fit(recipe, system.task(recipe, subjects), folder, None if args.minutes is None else 60 * args.minutes, device)
    if args.export is not None:
        print(export(recipe, folder, args.export))
