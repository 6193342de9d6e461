"""``xrayto3d evaluate``: methods measured by the protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from XRayTo3DLib.cli import evaluate_parametrized, evaluate_shapes
from XRayTo3DLib.cli.options import at_least_zero, count

_DESCRIPTION = (
    """\
Measure models and other methods on a folder of CTs by the evaluation protocol.

Each CT is put on 64^3 voxels of 4 mm, X-rayed, and reconstructed by every method, alone and after the same fusion
(_fused). Settings: one_view (AP), two_views (AP and lateral, parallel), two_views_10deg (the lateral turned by 10
degrees, and known), two_views_cone (cone beams from 1500 mm); and harder ones, from the CT at its own voxels with noise,
blur and a beam of many energies: hard_one_view, hard_two_views, hard_two_views_2deg, _5deg and _10deg (the lateral is
turned by that much and the method is not told), hard_two_views_whole (matter outside the grid is X-rayed too); and
scanned_one_view and scanned_two_views (a CT's topograms: source and detector travel along the patient).
Methods: models, mean (mean volume) and, with --training, nearest (training CT with the most similar X-rays) and oracle
(training CT nearest to the truth). The row ceiling is what the grid itself costs.

With --shapes it measures organs instead: """
    + evaluate_shapes.DESCRIPTION
    + "\nWith --parametrized "
    + evaluate_parametrized.DESCRIPTION
)
_EPILOG = """\
examples:
  xrayto3d evaluate --data validation --out evaluation
  xrayto3d evaluate --model mine.pt --data validation --training train --out evaluation
  xrayto3d evaluate --method mine.pt --method biplanar --method mean --data validation --out evaluation
  xrayto3d evaluate --all --data chest.nii.gz --protocol chest128 --setting two_views --out chest
  xrayto3d evaluate --shapes --data validation --labels head_neck --organ mandible --training train --out shapes
  xrayto3d evaluate --parametrized --region head_neck --data validation --training train --out parametrized

The data folder holds CTs in HU (NIfTI, NRRD, MetaImage), stored in any order of axes. A file NAME.labels.nii.gz beside
NAME.nii.gz gives structures; with it the JSON also has the HU error inside each. Writes evaluation.json (cases,
summary[setting][method]; null where a figure is not defined, with the reason) and evaluation.md, which say what each
figure is; with --shapes shapes.json (cases, summary[setting][organ][method]) and shapes.md; with
--parametrized parametrized.json (cases, summary[method], drags, completion, anomaly), parametrized.md and pictures.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure methods on a folder of CTs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="NAME", help="a model to measure beside the baselines (default: the bundled one)")
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="a model's name or file, or mean, nearest or oracle: only these are measured; may be repeated",
    )
    parser.add_argument("--all", action="store_true", help="every model that is found (xrayto3d models) and every baseline")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="CTs to measure on, in HU, never trained on")
    parser.add_argument("--training", type=Path, metavar="FOLDER", help="training CTs, for the baselines mean, nearest and oracle")
    parser.add_argument(
        "--setting", action="append", metavar="NAME", help="one of the settings above (default: all); may be repeated"
    )
    parser.add_argument(
        "--protocol",
        default="standard",
        metavar="NAME",
        help="standard (64^3 voxels of 4 mm, the default) or chest128 (128^3 of 2.5 mm, as X2CT and its followers)",
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N cases")
    parser.add_argument("--beta", type=at_least_zero, metavar="X", help="fusion weights mu to the power X (default 0.5)")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="receives the JSON and the table")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    evaluate_shapes.add_options(parser)
    evaluate_parametrized.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure, then write both files at once."""
    if evaluate_parametrized.chosen(args):
        evaluate_parametrized.run(args)
        return
    if evaluate_shapes.chosen(args):
        evaluate_shapes.run(args)
        return
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.evaluation.evaluate import ALL, evaluate
    from XRayTo3DLib.evaluation.table import in_lines, write_results
    from XRayTo3DLib.fusion.closed_form import BETA

    use_threads(args.threads)
    listed = [*(args.method or []), *([ALL] if args.all else [])]
    methods = [*([args.model] if args.model else []), *listed] if listed else args.model
    with staged(args.out) as folder:
        with bar("evaluation") as progress:
            beta = BETA if args.beta is None else args.beta
            results = evaluate(methods, args.data, args.training, args.setting, args.limit, beta, progress, args.protocol)
        written = write_results(results, folder)
    print("\n".join(in_lines(results)))
    print("\n".join(str(args.out / path.name) for path in written))
