"""``xrayto3d evaluate --shapes``: organs measured on labelled CTs."""

from __future__ import annotations

import argparse

from XRayTo3DLib.errors import InputError

#: The end of the description of ``xrayto3d evaluate``.
DESCRIPTION = """\
every labelled organ of every CT, found in the CT's X-rays by each
model for organs, against its truth: Dice, IoU, Hausdorff distance, HD95, surface and landmark distances in mm, error
of the volume, and how often its 90 % interval holds the true one. Settings: one_view (AP), one_view_mask (and the
organ drawn on it), mask_only (the drawing alone), two_views (AP and lateral). Methods: ours (the one offered by
default), every model by its name, mean (mean shape of the training organs, placed by the box of the truth),
mean_scaled (stretched to that box), mean_body (placed by the body), with --training nearest (organ of the training CT
with the most similar X-ray), segmentation (lungs in the reconstruction), and ceiling. A CT of the case's
own patient is never used for its baselines: --training may be the data folder itself.
"""
#: Options that mean nothing to shapes, and those that mean nothing without.
_VOLUMES = ("protocol", "beta")
_SHAPES = ("organ", "labels", "beam")


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("organ shapes")
    group.add_argument("--shapes", action="store_true", help="measure organ shapes instead of volumes")
    group.add_argument(
        "--organ", action="append", metavar="NAME", help="an organ to measure (default: all that are labelled); may be repeated"
    )
    group.add_argument(
        "--labels",
        metavar="NAME|FILE",
        help="what the labels (NAME.labels.nii.gz beside NAME.nii.gz) mean: head_neck, totalsegmentator, or a JSON file "
        "{organ: id or [ids]} (default: the labels.json of the data folder)",
    )
    group.add_argument(
        "--beam", metavar="NAME", help="cone (default), parallel, or scanned, as a CT's topogram: what the X-rays are taken with"
    )


def chosen(args: argparse.Namespace) -> bool:
    """Whether shapes are measured; :class:`InputError` for options that do not go together."""
    default = {"protocol": "standard"}
    wrong = [name for name in (_VOLUMES if args.shapes else _SHAPES) if getattr(args, name) not in (None, default.get(name))]
    if wrong:
        how = "does not go with --shapes: leave it out" if args.shapes else "goes with --shapes alone: add it, or leave this out"
        raise InputError(f"The option --{wrong[0]} {how}.")
    return bool(args.shapes)


def run(args: argparse.Namespace) -> None:
    """Measure, then write both files at once."""
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.evaluation.shapes.evaluate import ALL, BASELINES, evaluate_shapes
    from XRayTo3DLib.evaluation.shapes.table import in_lines, write_results

    use_threads(args.threads)
    listed = [*(args.method or []), *([ALL] if args.all else [])]
    if args.model:
        listed += [args.model, *([] if listed else BASELINES[: None if args.training else -1])]
    with staged(args.out) as folder:
        with bar("evaluation of shapes") as progress:
            results = evaluate_shapes(
                args.data,
                args.organ,
                args.labels,
                listed or None,
                args.training,
                args.setting,
                args.limit,
                args.beam or "cone",
                progress,
            )
        written = write_results(results, folder)
    print("\n".join(in_lines(results)))
    print("\n".join(str(args.out / path.name) for path in written))
