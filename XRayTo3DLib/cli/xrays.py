"""X-rays as commands take them: ``VIEW=FILE``, and the options that say where each one stands and what its pixels are."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.cli.options import EACH, beam_of, count, marker_size, per_view, pixel_spacing, positive
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import BEAMS, DEFAULT_SOURCE_TO_DETECTOR

if TYPE_CHECKING:
    from XRayTo3DLib.images.radiograph import Radiograph

#: What pixel values can be, as XRayTo3DLib.radiographs reads them.
_KINDS = ("auto", "line_integral", "transmission", "intensity", "inverted")


def add_geometry(parser: argparse.ArgumentParser, mask: str = "--mask") -> None:
    """The options that override what the files of X-rays say; ``mask`` names the one for pixels that are no measurement."""
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
        mask,
        action="append",
        dest="mask",
        metavar="FILE",
        help="a picture of the X-ray's size that is not black where nothing was measured",
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


def check_beams(args: argparse.Namespace) -> None:
    """Raise :class:`InputError` for options of :func:`add_geometry` that contradict each other, before anything is read."""
    for beam in args.beam or [None]:
        beam_of(None if beam is None else beam.rpartition("=")[2], args.parallel, args.sdd)


def input_files(files: dict[str, tuple[str | None, Path]], args: argparse.Namespace) -> list[Path]:
    """Every file that reading these X-rays reads."""
    named = [Path(text.rpartition("=")[2]) for text in (*(args.geometry or ()), *(args.mask or ()))]
    return [*(path for _, path in files.values()), *named]


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


def read_xrays(files: dict[str, tuple[str | None, Path]], args: argparse.Namespace) -> list[Radiograph]:
    """The radiographs of named files, with the geometry that the options of :func:`add_geometry` say."""
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
