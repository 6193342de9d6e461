"""``xrayto3d evaluate``: a model measured by the protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from XRayTo3DLib.cli.options import at_least_zero, count

_DESCRIPTION = """\
Measure a model on a folder of CTs by the evaluation protocol, beside baselines that know nothing of the patient's
inside.

Each CT is put on 64^3 voxels of 4 mm, X-rayed, and reconstructed. Settings: one_view (AP), two_views (AP and lateral,
parallel), two_views_10deg (the lateral turned by 10 degrees, and known), two_views_cone (cone beams from 1500 mm).
Methods: ours, ours_fused (after fusion) and, with --training, mean (mean volume), nearest (training CT with the most
similar X-rays), oracle (training CT nearest to the truth).
"""
_EPILOG = """\
examples:
  xrayto3d evaluate --data validation --out evaluation
  xrayto3d evaluate --model mine.pt --data validation --training train --out evaluation
  xrayto3d evaluate --data validation --setting two_views --limit 5 --out quick

The data folder holds CTs in HU (NIfTI, NRRD, MetaImage). A file NAME.labels.nii.gz beside NAME.nii.gz gives
structures; with it the JSON also has the HU error inside each. Writes evaluation.json (cases,
summary[setting][method]) and evaluation.md. Figures: PSNR in dB with peak 2500 on HU + 1024 clipped to [0, 2500], over
the whole grid; SSIM; HU error in the body; re-projection error over the mean line integral; seconds a case.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on a folder of CTs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="NAME|FILE", help="the model (default: the bundled one)")
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="CTs to measure on, in HU, never trained on")
    parser.add_argument("--training", type=Path, metavar="FOLDER", help="training CTs, for the baselines mean, nearest and oracle")
    parser.add_argument(
        "--setting", action="append", metavar="NAME", help="one of the settings above (default: all); may be repeated"
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N cases")
    parser.add_argument("--beta", type=at_least_zero, metavar="X", help="fusion weights mu to the power X (default 0.5)")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="receives evaluation.json and evaluation.md")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure, then write both files at once."""
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.evaluation.evaluate import evaluate, write_results
    from XRayTo3DLib.fusion.closed_form import BETA

    use_threads(args.threads)
    with staged(args.out) as folder:
        with bar("evaluation") as progress:
            beta = BETA if args.beta is None else args.beta
            results = evaluate(args.model, args.data, args.training, args.setting, args.limit, beta, progress)
        written = write_results(results, folder)
    for setting, methods in results["summary"].items():
        for method, f in methods.items():
            print(
                f"{setting:<16} {method:<11} PSNR {f['psnr']:6.2f} dB  SSIM {f['ssim']:.3f}  HU error "
                f"{f['hu_mae_body']:4.0f}  ({f['cases']} cases)"
            )
    print("\n".join(str(args.out / path.name) for path in written))
