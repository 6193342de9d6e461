"""``xrayto3d drr``: simulated X-rays of a CT."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from XRayTo3DLib.cli.options import FORMATS, at_least_zero, beam_of, count, detector_size, finite, positive, whole
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import (
    BEAMS,
    DEFAULT_SOURCE_TO_DETECTOR,
    SCANNER_SOURCE_TO_DETECTOR,
    SCANNER_SOURCE_TO_ISOCENTRE,
    VIEW_WORDS,
    ViewSpec,
    beam_fields,
)
from XRayTo3DLib.progress import part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from XRayTo3DLib.cli.drr_files import Series
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.geometry.projection import Projection
    from XRayTo3DLib.geometry.vectors import ArrayLike
    from XRayTo3DLib.images.radiograph import Radiograph
    from XRayTo3DLib.io.projections import Calibration
    from XRayTo3DLib.simulation.exposure import Exposure
    from XRayTo3DLib.simulation.structures import StructureRadiograph

#: Those of XRayTo3DLib.looks, with DICOM's words for the first two.
LOOKS = ("film", "inverted", "opacity", "clinical", "monochrome2", "monochrome1")
#: Options that are fields of an Exposure.
_EXPOSURE = ("kilovolts", "photons", "electronic_noise", "blur", "seed")
_USAGE = "xrayto3d drr CT (--view VIEW | --matrix FILE) ... --out PATH [options]"
_DESCRIPTION = f"""\
Simulate X-rays (digitally reconstructed radiographs) of a CT.

Each view becomes an image of line integrals -ln(I / I0) (float32, dimensionless) that carries its geometry, and a
16-bit PNG for the eye beside it. The CT's own direction matrix counts, so an oblique CT needs no resampling. The names of
the files are printed, and notes of what was simulated.

views: {VIEW_WORDS}
"""
_EPILOG = """\
examples:
  xrayto3d drr ct.nii.gz --view AP --view LAT --out drr
        two cone beams, 1500 mm from source to detector, detectors just large enough, aimed at the CT's centre
  xrayto3d drr ct.nrrd --view LAO30CRAN15 --sdd 1020 --sid 700 --size 512 --pixel 0.7 --out c-arm.dcm
        one DICOM file, an RT image with its exact geometry
  xrayto3d drr ct.nrrd --view AP --kilovolts 90 --photons 20000 --blur 0.4 --electronic-noise 20 --out noisy.nrrd
  xrayto3d drr ct.nrrd --view AP --insert screw.stl=titanium --insert 'vessels.nrrd:2=iodine 15' --out inserts
        titanium inside a closed surface, contrast agent where a label image is 2
  xrayto3d drr ct.nrrd --view AP --labels organs.nii.gz --transform pose.tfm --out structures
  xrayto3d drr dicom_folder --view AP --parallel --look clinical --percentiles 2 98 --format dcm --out drr
  xrayto3d drr ct.nrrd --view AP --view LAT --beam scanned --out topograms
        a CT's topograms: perspective across the patient, parallel along
  xrayto3d drr ct.nrrd --matrix calibration.txt --size 1024x1024 --pixel 0.194 --out drr
        a calibrated 3x4 matrix: LPS mm to (column, row), pixel [0, 0] centred on (0, 0)
  xrayto3d drr ct.nrrd --geometry rig.json --geometry camera1.txt --pixel 0.2 --out drr
        projections of this software (they say all), and a camera of Autoscoper with pixels of 0.2 mm

Files that hold their geometry (all but .png) can be given to reconstruct as they are:
  xrayto3d reconstruct --view AP=drr/AP.nrrd --view LAT=drr/LAT.nrrd --out result
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "drr",
        help="simulate X-rays of a CT",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ct", metavar="CT", type=Path, help="CT in HU: any image SimpleITK reads, or a folder with a DICOM series")
    _add_geometry(parser.add_argument_group("geometry", "Lengths in mm, coordinates LPS."))
    _add_physics(
        parser.add_argument_group(
            "physics",
            "Without these an X-ray is ideal: one energy, no noise, sharp. They act in this order: inserts and beam, quantum\n"
            "noise, blur, electronic noise.",
        )
    )
    _add_output(parser.add_argument_group("output"))
    parser.set_defaults(run=run)


def _add_geometry(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--view", action="append", default=[], metavar="VIEW", help="a view (see above); may be repeated")
    group.add_argument(
        "--matrix",
        "--geometry",
        dest="matrix",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="exact geometries in place of views: a 3x4 matrix as text or JSON, projections as JSON (of this software), a camera "
        "file of Autoscoper (MayaCam 1.0 or 2.0), or RTK's geometry (.xml); may be repeated",
    )
    group.add_argument(
        "--size",
        type=detector_size,
        metavar="N",
        help="detector pixels, N or ROWSxCOLUMNS (default: as large as the CT's shadow)",
    )
    group.add_argument("--pixel", type=positive, metavar="MM", help="side of a detector pixel in mm (default 1)")
    group.add_argument(
        "--sdd",
        type=positive,
        metavar="MM",
        help=f"source-to-detector distance in mm (default {DEFAULT_SOURCE_TO_DETECTOR:g})",
    )
    group.add_argument(
        "--sid",
        type=positive,
        metavar="MM",
        help="source-to-isocentre distance in mm (default 0.8 of --sdd; of a scanned beam 0.548)",
    )
    group.add_argument(
        "--beam",
        choices=BEAMS,
        help="cone (the default), parallel, or scanned: source and detector travel along the patient, as for a CT's topogram (by "
        f"default --sdd {SCANNER_SOURCE_TO_DETECTOR:g} --sid {SCANNER_SOURCE_TO_ISOCENTRE:g}) or in a slot scanner",
    )
    group.add_argument("--parallel", action="store_true", help="the same as --beam parallel")
    group.add_argument(
        "--isocentre",
        nargs=3,
        type=finite,
        metavar=("X", "Y", "Z"),
        help="where views aim, LPS mm (default: the CT's centre, where --transform puts it)",
    )
    group.add_argument(
        "--seen-from-detector",
        action="store_true",
        help="the pictures of --matrix are mirrored on purpose, as a C-arm shows them",
    )
    group.add_argument(
        "--transform",
        type=Path,
        metavar="FILE",
        help="a linear transform that moves the CT, and the --insert and --labels with it: ITK (.tfm, .txt, .h5, .mat) or a 4x4 "
        "matrix of LPS mm as text or JSON",
    )


def _add_physics(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quality", choices=("full", "preview"), default="full", help="preview is faster and a little less exact (default full)"
    )
    group.add_argument(
        "--kilovolts",
        type=positive,
        metavar="KV",
        help="tube voltage in kV: a beam of many energies through soft tissue and bone (default: the one energy of the CT's "
        "calibration, about 70 keV)",
    )
    group.add_argument(
        "--insert",
        dest="inserts",
        action="append",
        default=[],
        metavar="FILE=WHAT",
        help="what the CT does not hold: a label image (all that is not 0, or FILE:LABEL=WHAT) or a closed surface (.stl, .ply, "
        ".obj, .vtp, mm); WHAT is titanium, steel, cobalt-chromium or an attenuation in 1/mm, which take the place of the tissue, "
        "or 'iodine N', contrast agent with N mg/mL, which adds to it; may be repeated",
    )
    group.add_argument(
        "--photons", type=positive, metavar="N", help="quantum noise: photons a pixel of the open beam (default: no noise)"
    )
    group.add_argument(
        "--electronic-noise",
        type=at_least_zero,
        default=0.0,
        metavar="N",
        help="standard deviation in photons a pixel; needs --photons (default 0)",
    )
    group.add_argument(
        "--blur",
        type=at_least_zero,
        default=0.0,
        metavar="MM",
        help="blur of the detector, full width at half maximum in mm (default 0)",
    )
    group.add_argument("--seed", type=whole, default=0, metavar="N", help="of the noise: the same seed, the same noise (default 0)")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="PATH",
        help=f"a folder, or for a single view a file (.{', .'.join(FORMATS)})",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        help="of the files in a folder (default nrrd): dcm is a DICOM RT image, png only the picture for the eye, without geometry",
    )
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a label image or .seg.nrrd: also writes, for each view and structure, the line integrals of that structure alone "
        "(VIEW_NAME.nrrd) and its mask (VIEW_NAME_mask.png), and for each view all outlines over its picture "
        "(VIEW_outlines.png); the structures are always ideal",
    )
    group.add_argument(
        "--look",
        type=str.lower,
        choices=(*LOOKS, "none"),
        default="film",
        help="of the PNG for the eye: film (bone white, MONOCHROME2), inverted (bone black, MONOCHROME1), opacity, clinical "
        "(window by percentiles), or none (default film)",
    )
    group.add_argument(
        "--percentiles",
        nargs=2,
        type=finite,
        metavar=("LOW", "HIGH"),
        help="the percentiles shown black and white by --look clinical (default 1 99)",
    )
    group.add_argument(
        "--keep-identity",
        action="store_true",
        help="DICOM files get the patient's name, birth date and sex, the accession number, the study's description and the "
        "referring physician of a DICOM CT; without it only the patient's identifier, the study and the frame of reference",
    )
    group.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")


def run(args: argparse.Namespace) -> None:
    """Read, project, write; nothing is written unless all views succeed."""
    exposure = _check(args)
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.drr_files import Looks, check_stems, destination, file_names, write_structures, write_views
    from XRayTo3DLib.cli.insert_files import read_insert, split_insert
    from XRayTo3DLib.cli.outputs import keep_inputs, staged
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.geometry.iec import is_aimed_at
    from XRayTo3DLib.images.display import PERCENTILES
    from XRayTo3DLib.io.projections import read_calibrations
    from XRayTo3DLib.io.segmentations import read_labelmap
    from XRayTo3DLib.io.transforms import read_transform
    from XRayTo3DLib.io.volumes import read_volume
    from XRayTo3DLib.simulation.drr import render_drr

    use_threads(args.threads)
    stems = [*args.view, *(path.stem for path in args.matrix)]
    shapes = [split_insert(text) for text in args.inserts]
    files = [args.ct, *args.matrix, *(file for file, _, _ in shapes), *filter(None, (args.transform, args.labels))]
    where = destination(args.out, args.format, len(stems))
    keep_inputs(where.folder, file_names(stems, [], where, args.look), files)
    calibrations = [(path, one) for path in args.matrix for one in read_calibrations(path)]
    views = [*args.view, *(one.name for _, one in calibrations)]
    _check_names(views)
    if args.size is None and not all(one.states_size for _, one in calibrations):
        raise InputError("A matrix does not say how large the detector is: give --size ROWSxCOLUMNS.")
    where = destination(args.out, args.format, len(views))
    if args.keep_identity and where.ending != "dcm":
        raise InputError(
            f"--keep-identity is for DICOM files, and .{where.ending} names no patient: drop it, or give --format dcm."
        )
    if where.ending == "png" and args.look == "none":
        raise InputError("With --look none there is no PNG to write: choose a look, or another --format.")
    looks = Looks(args.look, PERCENTILES if args.percentiles is None else tuple(args.percentiles))
    inserts = [read_insert(*shape) for shape in shapes]
    transform = None if args.transform is None else read_transform(args.transform)
    labels = None if args.labels is None else read_labelmap(args.labels)
    structures = [] if labels is None else list(labels.names.values())
    check_stems(views, structures, where)
    keep_inputs(where.folder, file_names(views, structures, where, args.look), files)
    volume = read_volume(args.ct)
    grid = volume.grid if transform is None else volume.grid.transformed(transform)
    isocentre = grid.centre if args.isocentre is None else np.array(args.isocentre)
    projections, doubts = _projections(args, calibrations, grid, isocentre)
    aims: list[ArrayLike | None] = [isocentre] * len(args.view)
    for projection in projections[len(args.view) :]:  # a geometry of its own is aimed at what is named, if it is aimed there
        aims.append(isocentre if args.isocentre is not None and is_aimed_at(projection, isocentre) else None)
    series, told = _series(args, transform) if where.ending == "dcm" else (None, [])
    told = [*(f"note: {note}" for note in volume.notes), *told]
    with staged(where.folder) as folder:
        attenuation: list[StructureRadiograph] = []
        lengths: list[StructureRadiograph] = []
        if labels is not None:
            from XRayTo3DLib.simulation.structures import project_structures

            with bar("structures") as progress:
                attenuation = project_structures(labels, projections, views, volume, transform, part(progress, 0, 0.5))
                lengths = project_structures(labels, projections, views, None, transform, part(progress, 0.5, 1))
        with bar("simulated X-rays") as progress:
            physics = {"quality": args.quality, "exposure": exposure, "inserts": inserts}
            made = render_drr(volume, projections, views, progress, transform=transform, **physics)
        radiographs = [replace(one, notes=(*notes, *one.notes)) for one, notes in zip(made, doubts, strict=True)]
        written = write_views(radiographs, where, folder, looks, aims, series)
        written += write_structures(
            radiographs[: len(lengths)], attenuation, lengths, where, folder, looks, aims[: len(lengths)], series
        )
    drawn = [] if args.look == "none" else structures
    print("\n".join([*(str(where.folder / name) for name in written), *told, *_notes(radiographs, drawn)]))


def _check(args: argparse.Namespace) -> Exposure:
    """What can be said of the options before anything is read, and the exposure that they mean."""
    from XRayTo3DLib.simulation.exposure import Exposure

    if not args.view and not args.matrix:
        raise InputError("No view was asked for: give --view AP, for example, or --matrix FILE.")
    beam_of(args.beam, args.parallel, args.sdd)
    _views(args, args.isocentre)
    exposure = Exposure(**{word: getattr(args, word) for word in _EXPOSURE})
    if args.percentiles is not None:
        from XRayTo3DLib.images.display import clinical_window

        if args.look != "clinical":
            raise InputError(f"--percentiles has no meaning for the look {args.look}: drop it, or give --look clinical.")
        clinical_window(np.zeros(1), args.percentiles)
    return exposure


def _check_names(views: Sequence[str]) -> None:
    from XRayTo3DLib.cli.drr_files import file_stem

    stems = [file_stem(name) for name in views]
    if len({s.lower() for s in stems}) < len(stems):
        raise InputError(f"The same view is asked for twice ({', '.join(stems)}): name each view once.")


def _views(args: argparse.Namespace, isocentre: ArrayLike | None) -> list[ViewSpec]:
    """What the words of ``--view`` mean together with the options of the geometry."""
    where = {
        "isocentre": isocentre,
        "size": args.size,
        "spacing": args.pixel or 1.0,
        **beam_fields(beam_of(args.beam, args.parallel, args.sdd) or "cone", args.sdd, args.sid),
    }
    return [ViewSpec.parse(word, **where) for word in args.view]


def _series(args: argparse.Namespace, transform: np.ndarray | None) -> tuple[Series, list[str]]:
    """The series of the DICOM files, whose they are as the CT says, and notes of what they cannot keep of it."""
    from XRayTo3DLib.cli.drr_files import Series
    from XRayTo3DLib.io.identity import read_patient_study

    found = read_patient_study(args.ct, args.keep_identity)
    notes: list[str] = []
    if found is None:  # no DICOM: nobody expects it to say, and the files say that it did not
        return Series(None), notes
    if transform is not None:
        found = replace(found, frame_of_reference_uid="", position_reference="")
        notes.append("note: --transform moves the CT out of its frame of reference: the files have a new one.")
    elif not found.frame_of_reference_uid:
        notes.append("note: The CT names no frame of reference: the files have a new one.")
    if not found.study_uid:
        notes.append("note: The CT names no study: the files have a new one.")
    return Series(found), notes


def _in_options(sentence: str) -> str:
    """A sentence about a view with the shell's words for what can be changed."""
    options = {
        "larger pixels": "a larger --pixel",
        "a larger source-to-isocentre distance": "a larger --sid",
        "another isocentre": "another --isocentre",
        "the detector's size": "--size",
        "its size (rows, columns) and pixel": "--size ROWSxCOLUMNS and --pixel",
        "its size (rows, columns)": "--size ROWSxCOLUMNS",
    }
    for words, option in options.items():
        sentence = sentence.replace(words, option)
    return sentence


def _projections(
    args: argparse.Namespace, calibrations: Sequence[tuple[Path, Calibration]], grid: Grid, isocentre: np.ndarray
) -> tuple[list[Projection], list[tuple[str, ...]]]:
    """The views, then the geometries of files, and notes of each; ``grid`` is the CT's, where the transform puts it."""
    try:
        found = [view.projection(grid) for view in _views(args, isocentre)]
    except InputError as error:
        raise InputError(_in_options(str(error))) from None
    spacing = None if args.pixel is None else (args.pixel, args.pixel)
    notes: list[tuple[str, ...]] = [() for _ in found]
    for path, calibration in calibrations:
        try:
            projection, told = calibration.placed(args.size, spacing, isocentre, args.seen_from_detector)
        except InputError as error:
            raise InputError(f"{path}: {_in_options(str(error))}") from None
        found.append(projection)
        notes.append(told)
    return found, notes


def _notes(radiographs: Sequence[Radiograph], structures: Sequence[str]) -> Iterable[str]:
    """The notes of all views, each once and with the views that have it unless all do; then the colours of the outlines."""
    owners: dict[str, list[str]] = {}
    for radiograph in radiographs:
        for note in radiograph.notes:
            owners.setdefault(note, []).append(radiograph.name)
    for note, names in owners.items():
        yield f"note: {note}" if len(names) == len(radiographs) else f"note: {', '.join(names)}: {note}"
    if structures:
        from XRayTo3DLib.report.outlines import colour_names

        colours = ", ".join(f"{name} {colour}" for name, colour in colour_names(structures).items())
        yield f"note: Colours of the outlines: {colours}."
