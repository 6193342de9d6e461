"""``xrayto3d drr``: simulated X-rays of a CT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.cli.options import count, detector_size, positive, read_matrix
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.views import DEFAULT_SOURCE_TO_DETECTOR, VIEW_WORDS

if TYPE_CHECKING:
    import numpy as np

    from XRayTo3DLib.geometry import Grid, Projection
    from XRayTo3DLib.radiographs import Radiograph

LOOKS = ("film", "inverted", "opacity")
_LARGEST = 8192
_DESCRIPTION = f"""\
Simulate X-rays (digitally reconstructed radiographs) of a CT.

Each view becomes an image of line integrals -ln(I / I0) (float32, dimensionless) that carries its geometry, and a
16-bit PNG for the eye beside it. The CT's own direction matrix counts, so an oblique CT needs no resampling.

views: {VIEW_WORDS}
"""
_EPILOG = """\
examples:
  xrayto3d drr ct.nii.gz --view AP --view LAT --out drr
        two cone beams, 1500 mm from source to detector, detectors just large enough, aimed at the CT's centre
  xrayto3d drr ct.nrrd --view LAO30CRAN15 --sdd 1020 --sid 700 --size 512 --pixel 0.7 --out c-arm.nrrd
  xrayto3d drr dicom_folder --view AP --parallel --look inverted --out drr
  xrayto3d drr ct.nrrd --matrix calibration.txt --size 1024x1024 --pixel 0.194 --out drr
        a calibrated 3x4 matrix: LPS mm to (column, row), pixel [0, 0] centred on (0, 0)

The files can be given to `xrayto3d reconstruct` as they are.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "drr",
        help="simulate X-rays of a CT",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ct", metavar="CT", type=Path, help="CT in HU: any image SimpleITK reads, or a folder with a DICOM series")
    parser.add_argument("--view", action="append", default=[], metavar="VIEW", help="a view (see above); may be repeated")
    parser.add_argument(
        "--matrix",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a 3x4 projection matrix, as text or JSON; may be repeated",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="a folder, or for a single view a file (.nrrd, .mha)"
    )
    parser.add_argument(
        "--size",
        type=detector_size,
        metavar="N",
        help="detector pixels, N or ROWSxCOLUMNS (default: as large as the CT's shadow)",
    )
    parser.add_argument("--pixel", type=positive, metavar="MM", help="side of a detector pixel in mm (default 1)")
    parser.add_argument(
        "--sdd",
        type=positive,
        metavar="MM",
        help=f"source-to-detector distance in mm (default {DEFAULT_SOURCE_TO_DETECTOR:g})",
    )
    parser.add_argument("--sid", type=positive, metavar="MM", help="source-to-isocentre distance in mm (default 0.8 of --sdd)")
    parser.add_argument("--parallel", action="store_true", help="parallel beams instead of cone beams")
    parser.add_argument(
        "--isocentre",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="where views aim, LPS mm (default: the CT's centre)",
    )
    parser.add_argument(
        "--seen-from-detector",
        action="store_true",
        help="the pictures of --matrix are mirrored on purpose, as a C-arm shows them",
    )
    parser.add_argument(
        "--look", choices=(*LOOKS, "none"), default="film", help="of the PNG for the eye (default film: bone white)"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, project, write; nothing is written unless all views succeed."""
    _check(args)
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.drr import render_drr
    from XRayTo3DLib.images import read_volume
    from XRayTo3DLib.radiographs import write_radiograph

    use_threads(args.threads)
    as_file = _is_file(args.out)
    if as_file and args.out.suffix.lower() not in (".nrrd", ".mha"):
        raise InputError(f"{args.out} cannot hold a radiograph with its geometry: end the name in .nrrd or .mha.")
    if as_file and len(args.view) + len(args.matrix) > 1:
        raise InputError(f"{args.out} is one file but there are several views: name a folder with --out.")
    volume = read_volume(args.ct)
    names, projections = _projections(args, volume.grid)
    with staged(args.out.parent if as_file else args.out) as folder:
        with bar("simulated X-rays") as progress:
            radiographs = render_drr(volume, projections, names, progress)
        written = []
        for radiograph in radiographs:
            name = args.out.name if as_file else f"{_file_stem(radiograph.name)}.nrrd"
            write_radiograph(radiograph, folder / name)
            written.append(name)
            if args.look != "none":
                picture = Path(name).with_suffix(".png").name
                write_picture(radiograph, args.look, folder / picture)
                written.append(picture)
    target = args.out.parent if as_file else args.out
    print("\n".join(str(target / name) for name in written))


def _check(args: argparse.Namespace) -> None:
    """What can be said of the options before anything is read."""
    if not args.view and not args.matrix:
        raise InputError("No view was asked for: give --view AP, for example, or --matrix FILE.")
    if args.parallel and args.sdd:
        raise InputError("--sdd has no meaning for a parallel beam: drop it or --parallel.")
    if args.matrix and args.size is None:
        raise InputError("A matrix does not say how large the detector is: give --size ROWSxCOLUMNS.")
    stems = [_file_stem(name) for name in [*args.view, *(p.stem for p in args.matrix)]]
    if len({s.lower() for s in stems}) < len(stems):
        raise InputError(f"The same view is asked for twice ({', '.join(stems)}): name each view once.")


def _projections(args: argparse.Namespace, grid: Grid) -> tuple[list[str], list[Projection]]:
    from XRayTo3DLib.geometry import Projection

    isocentre = grid.centre if args.isocentre is None else args.isocentre
    distance = None if args.parallel else args.sdd or DEFAULT_SOURCE_TO_DETECTOR
    names = [*args.view, *(path.stem for path in args.matrix)]
    found = [aimed(view, grid, isocentre, args.size, args.pixel or 1.0, distance, args.sid) for view in args.view]
    spacing = None if args.pixel is None else (args.pixel, args.pixel)
    for path in args.matrix:
        try:
            found.append(Projection.from_matrix(read_matrix(path), args.size, spacing, isocentre, args.seen_from_detector))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return names, found


def aimed(
    view: str,
    grid: Grid,
    isocentre: np.ndarray | list[float],
    size: tuple[int, int] | None,
    pixel: float,
    source_to_detector: float | None,
    source_to_isocentre: float | None,
) -> Projection:
    """A named view aimed at ``isocentre`` (LPS mm); without a size, its detector holds the shadow of the whole grid."""
    import numpy as np

    from XRayTo3DLib.views import view_projection

    if size is None:
        small = view_projection(view, isocentre, (2, 2), pixel, source_to_detector, source_to_isocentre)
        corners = small.project(grid.corners)
        if np.isnan(corners).any():
            raise InputError(f"The source of {view} stands inside or before the CT: use a larger --sid, or give --size.")
        columns, rows = (int(n) for n in np.ceil(2 * np.abs(corners - 0.5).max(axis=0)) + 2)
        if max(rows, columns) > _LARGEST:
            raise InputError(
                f"The detector of {view} would need {rows} x {columns} pixels: give --size, a larger --pixel or "
                f"another --isocentre."
            )
        size = rows, columns
    return view_projection(view, isocentre, size, pixel, source_to_detector, source_to_isocentre)


def write_picture(radiograph: Radiograph, look: str, path: Path) -> None:
    """The radiograph as a 16-bit grey PNG for the eye, with its pixel spacing."""
    import numpy as np
    import SimpleITK as sitk

    from XRayTo3DLib.drr import to_display
    from XRayTo3DLib.files import writing

    image = sitk.GetImageFromArray(np.rint(65535 * to_display(radiograph, look)).astype(np.uint16))
    image.SetSpacing(radiograph.projection.spacing[::-1])
    with writing(path) as temporary:
        sitk.WriteImage(image, str(temporary))


def _is_file(path: Path) -> bool:
    return path.suffix != "" and not path.is_dir()


def _file_stem(view: str) -> str:
    """A view's name as a file name."""
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in view)
