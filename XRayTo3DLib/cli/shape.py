"""``xrayto3d shape``: X-rays in, organs out: labelmap, surface, volume with an interval, outline on each X-ray."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from XRayTo3DLib.cli.options import count
from XRayTo3DLib.cli.xrays import add_geometry, check_beams, input_files, named_files, read_xrays
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import VIEW_WORDS

if TYPE_CHECKING:
    import numpy as np

    from XRayTo3DLib.images.radiograph import Radiograph

_DESCRIPTION = f"""\
Find an organ in one or more X-rays: its labelmap, closed surface, volume in mL with a 90 % interval, and its outline
on each X-ray; better where you have drawn the organ's outline (--mask).

An X-ray is an image of `xrayto3d drr` (its geometry is inside), a DICOM file (CR, DX, XA, a CT's topogram), or a picture
(PNG, ...), whose pixel spacing has to be said and whose grey scale is fitted.

views: {VIEW_WORDS}
"""
_EPILOG = """\
examples:
  xrayto3d shape front.dcm --organ lungs --out lungs
  xrayto3d shape AP=drr/AP.nrrd LAT=drr/LAT.nrrd --organ mandible --organ larynx --out organs
  xrayto3d shape AP=front.png --spacing 0.35 --organ liver --mask drawn.png --format stl --format ply --out liver

writes into --out, for each organ:
  ORGAN.nii.gz             its labelmap                ORGAN.seg.nrrd          a segmentation for 3D Slicer
  ORGAN.stl ...            its closed surface, LPS mm  ORGAN_VIEW.png          the X-ray with its outline
  ORGAN.dcm                a DICOM SEG, where asked    ORGAN_VIEW.mrk.json     the outline as a closed curve, LPS mm
  shape.json               volumes in mL, intervals, outlines in pixels and mm, notes

One or two X-rays do not determine a shape; research software, not for diagnosis.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "shape",
        help="an organ from one or more X-rays",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("xray", nargs="*", metavar="XRAY", help="an X-ray, FILE or VIEW=FILE")
    parser.add_argument("--view", action="append", default=[], metavar="VIEW=FILE", help="the same, as reconstruct takes it")
    parser.add_argument("--organ", action="append", required=True, metavar="NAME", help="the organ, as mandible; may be repeated")
    parser.add_argument(
        "--mask",
        action="append",
        dest="drawn",
        metavar="FILE",
        help="the organ's outline as you drew it: a picture or labelmap of the X-ray's size, black or 0 outside the organ; "
        "VIEW=FILE where there are several X-rays; may be repeated",
    )
    parser.add_argument("--model", metavar="NAME|FILE", help="the model (default: the one for this organ)")
    parser.add_argument(
        "--format",
        action="append",
        metavar="NAME",
        help="of the surface: stl (the default), ply, obj or vtp; or dcm, a DICOM SEG; may be repeated",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE|FOLDER",
        help="the DICOM X-ray or CT series whose patient, study and frame of reference the SEG takes (default: the first X-ray, "
        "where it is DICOM)",
    )
    parser.add_argument("--keep-identity", action="store_true", help="write names and the like into the DICOM SEG as well")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="receives the results")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    add_geometry(parser, "--unmeasured")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read everything, find the organs, and write all files or none."""
    check_beams(args)
    if not args.xray and not args.view:
        raise InputError("No X-ray is named: write `xrayto3d shape AP=front.dcm --organ lungs --out FOLDER`, for example.")
    files = named_files([*args.xray, *args.view])
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import keep_inputs, staged, write_json
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.models.zoo import load_model
    from XRayTo3DLib.progress import part
    from XRayTo3DLib.shapes.answer import organ_shape
    from XRayTo3DLib.shapes.files import SEG, check_formats, shape_files, shape_values, write_shape
    from XRayTo3DLib.shapes.organs import find_organ

    use_threads(args.threads)
    organs = list(dict.fromkeys(find_organ(name).name for name in args.organ))
    formats = list(dict.fromkeys(name.lower().lstrip(".") for name in args.format or ["stl"]))
    check_formats(formats)
    drawn = _drawn_files(args.drawn or [], list(files))
    names = [name for organ in organs for name in shape_files(organ, formats, list(files))]
    keep_inputs(args.out, [*names, "shape.json"], [*input_files(files, args), *drawn.values()])
    radiographs = read_xrays(files, args)
    masks = _masks(drawn, dict(zip(files, radiographs, strict=True)))
    model = None if args.model is None else load_model(args.model)
    identity = None
    if SEG in formats:
        from XRayTo3DLib.io.identity import read_patient_study

        identity = read_patient_study(args.reference or next(iter(files.values()))[1], args.keep_identity)
    found = []
    with staged(args.out) as folder:
        with bar("shapes") as progress:
            for number, organ in enumerate(organs):
                own = part(progress, number / len(organs), (number + 1) / len(organs))
                shape = organ_shape(radiographs, organ, masks, model, progress=own)
                write_shape(shape, radiographs, folder, formats, identity)
                found.append(shape)
        values: dict[str, Any] = {"shapes": [shape_values(shape, radiographs) for shape in found]}
        write_json(values, folder / "shape.json")
    lines = [f"note: {note}" for note in dict.fromkeys(note for shape in found for note in shape.notes)]
    for shape in found:
        interval = "" if shape.interval_ml is None else f" ({shape.interval_ml[0]:.1f} to {shape.interval_ml[1]:.1f}, 90 %)"
        lines.append(f"{shape.organ:<14} {shape.volume_ml:.1f} mL{interval}, by {shape.model}")
    print("\n".join([*lines, f"results        {args.out / 'shape.json'}"]))


def _drawn_files(texts: list[str], views: list[str]) -> dict[str, Path]:
    """The file of the drawn outline of each view that has one."""
    known = {view.upper(): view for view in views}
    found: dict[str, Path] = {}
    for text in texts:
        view, equals, file = text.partition("=")
        if not equals or Path(text).exists():
            if len(views) > 1:
                raise InputError(f"--mask {text}: there are {len(views)} X-rays: write VIEW={text} (views: {', '.join(views)}).")
            view, file = views[0], text
        if view.upper() not in known:
            raise InputError(f"--mask {text}: there is no view {view!r} (views: {', '.join(views)}); correct the name.")
        if known[view.upper()] in found:
            raise InputError(f"--mask {text}: the view {view} has a mask already: give it one.")
        found[known[view.upper()]] = Path(file)
    return found


def _masks(drawn: dict[str, Path], radiographs: dict[str, Radiograph]) -> list[np.ndarray | None]:
    from XRayTo3DLib.io.picture_masks import read_mask

    return [read_mask(drawn[v], r.projection.size, v) if v in drawn else None for v, r in radiographs.items()]
