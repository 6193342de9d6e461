"""``xrayto3d drr``: simulated X-rays of a CT."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from XRayTo3DLib.cli.drr_options import DESCRIPTION, EPILOG, USAGE, add_options
from XRayTo3DLib.cli.options import beam_of
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import ViewSpec, beam_fields
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

#: Options that are fields of an Exposure.
_EXPOSURE = ("kilovolts", "photons", "electronic_noise", "blur", "seed")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "drr",
        help="simulate X-rays of a CT",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


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
