"""``xrayto3d reconstruct``: X-rays in, volume, structures, surfaces and a report out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from XRayTo3DLib.cli.options import at_least_zero, count, positive
from XRayTo3DLib.cli.xrays import add_geometry, check_beams, input_files, named_files, read_xrays
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import VIEW_WORDS

if TYPE_CHECKING:
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.images.radiograph import Radiograph

_DESCRIPTION = f"""\
Reconstruct a volume from one or more X-rays, correct it until it agrees with them (fusion), and extract body, lungs
and bone.

An X-ray is an image of `xrayto3d drr` (its geometry is inside), a DICOM file (CR, DX, XA: its tags are the first
guess), or a picture (PNG, ...), whose pixel spacing has to be said and whose grey scale is fitted.

views: {VIEW_WORDS}
"""
_EPILOG = """\
examples:
  xrayto3d reconstruct --view AP=front.dcm --view LAT=side.dcm --out result
  xrayto3d reconstruct --view AP=drr/AP.nrrd --view LAT=drr/LAT.nrrd --truth ct.nii.gz --out result
  xrayto3d reconstruct --view AP=front.dcm --view LAT=side.png --spacing LAT=0.2 --sdd 1500 --out result
        0.2 mm a pixel for the picture alone, 1500 mm for both
  xrayto3d reconstruct --view AP=front.png --spacing 0.35 --parallel --grid-spacing 5.5 --refine 2 --out result

  xrayto3d reconstruct --view AP=front.png --geometry AP=front.json --view LAT=run.dcm --frame LAT=12 --out result
        an exact geometry for the picture, and the twelfth frame of a run

writes into --out:
  reconstruction.nrrd      the volume in HU            uncertainty.nrrd        the model's standard deviation, HU
  segmentation.seg.nrrd    body, lungs, bone           body.stl ...            their closed surfaces, LPS mm
  metrics.json             re-projection errors, volumes in mL and, with --truth, every figure against the CT
  report.html              one self-contained page with pictures

Two X-rays do not determine a volume; research software, not for diagnosis.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "reconstruct",
        help="a volume from one or more X-rays",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--view",
        action="append",
        required=True,
        metavar="VIEW=FILE",
        help="an X-ray and its view (only FILE: the file says the view); repeat for each",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="receives the results")
    add_geometry(parser)
    result = parser.add_argument_group("reconstruction")
    result.add_argument("--model", metavar="NAME|FILE", help="the model (default: the bundled one)")
    result.add_argument("--grid-size", type=count, metavar="N", help="voxels along each side for the model (default 64)")
    result.add_argument(
        "--grid-spacing",
        type=positive,
        metavar="MM",
        help="voxel size for the model in mm (default 4, or up to 6.4 where 64 voxels of 4 mm do not hold the body's shadow)",
    )
    result.add_argument(
        "--grid-centre",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="middle of the grid, LPS mm (default: where the beams meet)",
    )
    result.add_argument("--refine", type=positive, metavar="MM", help="then fuse again on voxels of this size in mm")
    result.add_argument("--no-fusion", action="store_true", help="leave the model's volume as it is")
    result.add_argument("--beta", type=at_least_zero, metavar="X", help="fusion weights mu to the power X (default 0.5)")
    result.add_argument(
        "--region", choices=("head", "chest", "abdomen"), help="what pictures of unknown scale show (default: guessed)"
    )
    result.add_argument("--no-view-check", action="store_true", help="accept views that look exchanged")
    result.add_argument(
        "--truth", type=Path, metavar="CT", help="the CT the X-rays belong to, in HU, same coordinates: compare with it"
    )
    result.add_argument(
        "--keep-identity",
        action="store_true",
        help="the report and metrics.json name the patient of DICOM X-rays; without it no name and no identifier reaches them",
    )
    result.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read everything, reconstruct, and write all files or none."""
    from XRayTo3DLib.report.page import check_report_packages

    check_report_packages()
    check_beams(args)
    if args.no_fusion and args.refine:
        raise InputError("--refine is a fusion on finer voxels: drop it or --no-fusion.")
    files = named_files(args.view)
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import keep_inputs, staged, write_json
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.fusion.closed_form import BETA
    from XRayTo3DLib.io.volumes import read_volume
    from XRayTo3DLib.models.zoo import load_model
    from XRayTo3DLib.reconstruction.answer import answer_files, solve, write_answer
    from XRayTo3DLib.reconstruction.checks import check_distinct
    from XRayTo3DLib.report.description import results_of
    from XRayTo3DLib.report.reconstruction import write_reconstruct_report

    use_threads(args.threads)
    inputs = [*input_files(files, args), *filter(None, [args.truth])]
    keep_inputs(args.out, [*answer_files(), "metrics.json", "report.html"], inputs)
    radiographs = read_xrays(files, args)
    patient, doubts = _patient(files, args.keep_identity)
    check_distinct(radiographs)
    ct = None if args.truth is None else read_volume(args.truth)
    model = load_model(args.model, "volume")
    grid = _grid(radiographs, args, model.file.card)
    with staged(args.out) as folder:
        with bar("reconstruction") as progress:
            beta = BETA if args.beta is None else args.beta
            answer = solve(
                radiographs, grid, model, args.refine, not args.no_fusion, beta, not args.no_view_check, progress, args.region
            )
        with bar("files") as progress:
            results, truth = results_of(radiographs, answer, ct)
            results["reconstruction"]["notes"][:0] = [*doubts, *(() if ct is None else ct.notes)]
            results |= {"patient": patient} if patient else {}
            write_answer(answer, folder)
            write_json(results, folder / "metrics.json")
            progress(0.5, "report")
            write_reconstruct_report(folder / "report.html", results, radiographs, answer, truth)
    print(_summary(results, args.out))


def _patient(files: dict[str, tuple[str | None, Path]], keep_identity: bool) -> tuple[dict[str, str], list[str]]:
    """What is to be said of the patient (nothing unless asked for), and notes of X-rays that cannot be one patient's."""
    from XRayTo3DLib.io.identity import read_patient_study, same_patient

    found = [study for _, path in files.values() if (study := read_patient_study(path, keep_identity)) is not None]
    notes = [] if same_patient(found) else ["The X-rays name different patients: check that they belong together."]
    if not keep_identity or not found:
        return {}, notes
    fields = {"name": found[0].patient_name, "identifier": found[0].patient_id, "study_date": found[0].study_date}
    return {key: text for key, text in fields.items() if text}, notes


def _grid(radiographs: list[Radiograph], args: argparse.Namespace, card: dict[str, Any]) -> Grid:
    """The grid that Python's ``reconstruct`` takes by default for a model with this card, but for what was asked for."""
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.reconstruction.grids import grid_for

    grid = grid_for(card, radiographs)
    centre = grid.centre if args.grid_centre is None else args.grid_centre
    return Grid.centred(centre, args.grid_size or grid.size, args.grid_spacing or grid.spacing)


def _summary(results: dict[str, Any], folder: Path) -> str:
    from XRayTo3DLib.report.page import form

    found = results["reconstruction"]
    lines = [f"note: {note}" for note in found["notes"]]
    for view in found["views"]:
        lines.append(f"{view['name']:<10} re-projection error {view['reprojection_error']:.3%}")
    for surface in found["surfaces"]:
        lines.append(
            f"{surface['name']:<10} {surface['volume_ml']:.0f} mL" + (", cut by the grid" if surface["cut_by_the_grid"] else "")
        )
    for name, figures in results.get("comparison_with_ct", {}).items():
        lines.append(
            f"{name} against the CT: PSNR {form(figures['psnr'], '.2f')} dB (peak 2500, whole grid), SSIM "
            f"{form(figures['ssim'], '.3f')}, "
            f"HU error in the body {form(figures['hu_mae_body'], '.0f')}"
        )
    lines.append(f"report     {folder / 'report.html'}")
    return "\n".join(lines)
