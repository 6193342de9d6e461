"""``xrayto3d reconstruct``: X-rays in, volume, structures, surfaces and a report out."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from XRayTo3DLib.cli.options import EACH, at_least_zero, beam_of, count, marker_size, per_view, pixel_spacing, positive
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import BEAMS, DEFAULT_SOURCE_TO_DETECTOR, VIEW_WORDS

if TYPE_CHECKING:
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.images.radiograph import Radiograph

#: What pixel values can be, as XRayTo3DLib.radiographs reads them.
_KINDS = ("auto", "line_integral", "transmission", "intensity", "inverted")
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
    xray = parser.add_argument_group("geometry of the X-rays", f"Overrides what the files say. {EACH[0].upper()}{EACH[1:]}.")
    xray.add_argument(
        "--spacing",
        action="append",
        metavar="MM",
        help="side of a pixel on the detector in mm; ROWS,COLUMNS where it is not square (mm between rows, between columns)",
    )
    xray.add_argument(
        "--sdd",
        action="append",
        metavar="MM",
        help=f"source-to-detector distance in mm (default {DEFAULT_SOURCE_TO_DETECTOR:g})",
    )
    xray.add_argument("--sid", action="append", metavar="MM", help="source-to-isocentre distance in mm (default 0.8 of --sdd)")
    xray.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        help=f"what the pixel values are: {', '.join(_KINDS)} (a picture with dark bone); default auto",
    )
    xray.add_argument(
        "--geometry",
        action="append",
        metavar="FILE",
        help="the exact geometry: JSON of this software, a 3x4 matrix, a camera file of Autoscoper or RTK's geometry (.xml), whose "
        "pixel --spacing says",
    )
    xray.add_argument(
        "--mask", action="append", metavar="FILE", help="a picture of the X-ray's size that is not black where nothing was measured"
    )
    xray.add_argument("--frame", action="append", metavar="N", help="the frame of a file that holds several, counted from 1")
    xray.add_argument(
        "--isocentre",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="where beams aim, LPS mm (default: what an RT image says, else 0 0 0)",
    )
    xray.add_argument(
        "--beam",
        action="append",
        metavar="BEAM",
        help=f"{', '.join(BEAMS[:-1])} or {BEAMS[-1]} (source and detector travelled along the patient: a CT's topogram, a slot "
        "scanner); default what the file says, else cone",
    )
    xray.add_argument("--parallel", action="store_true", help="all beams are parallel: the same as --beam parallel")
    xray.add_argument(
        "--marker",
        action="append",
        metavar="MM[,HEIGHT]",
        help="disc or sphere on the picture: its diameter in mm, its height above the detector (default 0); in place of --spacing",
    )
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
    for beam in args.beam or [None]:
        beam_of(None if beam is None else beam.rpartition("=")[2], args.parallel, args.sdd)
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
    named = [Path(text.rpartition("=")[2]) for text in (*(args.geometry or ()), *(args.mask or ()))]
    inputs = [*(path for _, path in files.values()), *named, *filter(None, [args.truth])]
    keep_inputs(args.out, [*answer_files(), "metrics.json", "report.html"], inputs)
    radiographs = _read(files, args)
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


def named_files(views: list[str]) -> dict[str, tuple[str | None, Path]]:
    """``VIEW=FILE`` or ``FILE`` texts to (view, file) by what the user calls them: the view, or the file's stem."""
    files: dict[str, tuple[str | None, Path]] = {}
    for text in views:
        view, file = _split(text)
        if not file:
            raise InputError(f"--view {text} names no file: write --view AP=front.dcm, for example.")
        name = view or Path(file).stem
        if name.upper() in (known.upper() for known in files):
            raise InputError(f"The view {name} is given twice: name each view once.")
        files[name] = view or None, Path(file)
    return files


def _split(text: str) -> tuple[str, str]:
    """``VIEW=FILE`` to view and file, ``FILE`` to no view and the file; a file's own path may hold equals signs."""
    view, equals, file = text.partition("=")
    if not equals or any(sign in view for sign in ("/", os.sep, "~")) or _exists(text):
        return "", text
    return view, file


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _beam(text: str) -> str:
    if text not in BEAMS:
        raise argparse.ArgumentTypeError(f"{text!r} is no beam: use one of {', '.join(BEAMS)}")
    return text


def _read(files: dict[str, tuple[str | None, Path]], args: argparse.Namespace) -> list[Radiograph]:
    from XRayTo3DLib.images.marker import scaled_by_marker
    from XRayTo3DLib.io.identity import name_without_patient
    from XRayTo3DLib.io.radiographs import read_radiograph

    names = list(files)
    spacing = per_view(args.spacing, names, "--spacing", pixel_spacing)
    sdd = per_view(args.sdd, names, "--sdd", positive)
    sid = per_view(args.sid, names, "--sid", positive)
    kind = per_view(args.kind, names, "--kind", str)
    markers = per_view(args.marker, names, "--marker", marker_size)
    frame = per_view(args.frame, names, "--frame", count)
    beam = per_view(args.beam, names, "--beam", _beam)
    geometry = per_view(args.geometry, names, "--geometry", Path)
    mask = per_view(args.mask, names, "--mask", Path)
    for name in markers:
        if name in spacing:
            raise InputError(f"{name} has both --spacing and --marker, and either gives its mm: drop one of them.")
    radiographs = []
    for name, (view, path) in files.items():
        found = read_radiograph(
            path,
            view,
            spacing.get(name, 1.0 if name in markers else None),
            sdd.get(name),
            sid.get(name),
            kind.get(name, "auto"),
            args.isocentre,
            args.parallel,
            frame.get(name),
            beam.get(name),
            geometry.get(name),
            mask.get(name),
        )
        if name in markers:
            found = scaled_by_marker(found, *markers[name])
        radiographs.append(found if found.name else replace(found, name=Path(name_without_patient(path)).stem))
    return radiographs


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
