"""``xrayto3d evaluate --parametrized``: parametrized X-rays measured on CTs."""

from __future__ import annotations

import argparse

from XRayTo3DLib.errors import InputError

#: Said in the description of ``xrayto3d evaluate``.
DESCRIPTION = """\
X-rays predicted from the surface of the CTs' bodies are compared
with those of the CTs: image (MAE, MS-SSIM) and markers (mm) of every image network, and with --training of the mean image
and the nearest surface; the loop's rounds; drags of 10 mm; completion of partial X-rays; planted anomalies.
"""
#: Options that mean nothing to parametrized X-rays, and those that mean nothing without.
_OTHERS = ("protocol", "beta", "setting", "model", "organ", "beam")
_OWN = ("region", "direction", "markers")


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("parametrized X-rays")
    group.add_argument("--parametrized", action="store_true", help="measure X-rays predicted from the body's surface")
    group.add_argument("--region", metavar="NAME", help="head_neck (default), torso, or a JSON file of a region")
    group.add_argument("--direction", metavar="VIEW", help="AP (frontal, the default) or LAT (lateral)")
    group.add_argument(
        "--markers",
        metavar="NAME",
        help='the marker network, by name or file; with --method they are the pair "ours" (default: the bundled pair)',
    )


def chosen(args: argparse.Namespace) -> bool:
    """Whether parametrized X-rays are measured; :class:`InputError` for options that do not go together."""
    default = {"protocol": "standard"}
    wrong = [name for name in (_OTHERS if args.parametrized else _OWN) if getattr(args, name) not in (None, default.get(name))]
    if args.parametrized and args.shapes:
        raise InputError("--parametrized and --shapes measure different things: give one of them.")
    if wrong:
        how = "does not go with --parametrized: leave it out" if args.parametrized else "goes with --parametrized alone: add it"
        raise InputError(f"The option --{wrong[0]} {how}.")
    return bool(args.parametrized)


def run(args: argparse.Namespace) -> None:
    """Measure, then write all files at once."""
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.evaluation.parametrized.evaluate import evaluate_parametrized
    from XRayTo3DLib.evaluation.parametrized.table import in_lines, write_results
    from XRayTo3DLib.parametrized.regions import find_region

    use_threads(args.threads)
    region = args.region or "head_neck"
    with staged(args.out) as folder:
        with bar("evaluation of parametrized X-rays") as progress:
            results = evaluate_parametrized(
                args.data,
                region,
                args.direction or "AP",
                args.training,
                args.method or (),
                args.markers,
                args.labels,
                args.limit,
                progress,
            )
        written = write_results(results, find_region(region), folder)
    print("\n".join(in_lines(results)))
    print("\n".join(str(args.out / path.name) for path in written))
