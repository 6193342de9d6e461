"""``xrayto3d population``: learn a population of bodies from labelled CTs, and sample it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.cli.options import at_least_zero, count, positive, whole
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import VIEW_WORDS

if TYPE_CHECKING:
    import numpy as np

    from XRayTo3DLib.cohort.case import CaseResult
    from XRayTo3DLib.cohort.population_run import SourceCT

#: Structures that landmarks stand on and that are no organs here: labels of TotalSegmentator.
_MORE = {"trachea": 16, "sternum": 116}
_DESCRIPTION = f"""\
Learn a population of bodies from a folder of CTs, some or all of them labelled, and make new labelled CTs of it.

One labelled CT is the atlas; all others are registered to it by velocity fields that do not fold, and each registration is
checked. Shape, breathing, and the HU of tissues are drawn anew for every sample; so are landmarks and the body's surface.
Written are registrations and their pictures, the population with its report (leave-one-out), and the samples:
NAME.nii.gz (HU), NAME.labels.nii.gz, NAME.body.ply, NAME.json (landmarks and what was drawn) and NAME.VIEW.nrrd.

views: {VIEW_WORDS}
"""
_EPILOG = """\
examples:
  xrayto3d population --from cts --count 100 --out bodies
        NAME.nii.gz with NAME.labels.nii.gz beside it, ids of TotalSegmentator; the best labelled one is the atlas
  xrayto3d population --from cts --labels ids.json --count 100 --out bodies --drr AP --drr LLAT --workers 4
  xrayto3d population --from cts --count 100 --out train --leave-out patient7 --leave-out patient9
  xrayto3d population --from bodies/population.npz --count 1000 --seed 2 --out more --scheduler tcp://10.0.0.5:8786
        samples of a population that is there, on the workers of a Dask cluster

The same seed gives the same samples. A run that was stopped goes on where it was; a CT or sample that fails is told and
does not stop the others.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "population",
        help="learn a population from labelled CTs and sample it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        type=Path,
        metavar="PATH",
        help="a folder of CTs in HU, with NAME.labels beside them, or the population.npz of an earlier run",
    )
    parser.add_argument("--count", required=True, type=whole, metavar="N", help="samples to make; 0 only learns the population")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where everything is written")
    learning = parser.add_argument_group("learning")
    learning.add_argument(
        "--labels",
        default="totalsegmentator",
        metavar="SCHEME",
        help="what the labels are: totalsegmentator, head_neck or a JSON file {organ: id or [ids]} (default totalsegmentator)",
    )
    learning.add_argument(
        "--atlas", metavar="NAME", help="the labelled CT that others are registered to (default: the best labelled)"
    )
    learning.add_argument(
        "--leave-out", action="append", default=[], metavar="NAME", help="a CT that is not learned; may be repeated"
    )
    learning.add_argument("--modes", type=count, default=8, metavar="N", help="modes of shape (default 8)")
    learning.add_argument(
        "--registrations", type=Path, metavar="FOLDER", help="keeps the registrations, for several runs (default: --out)"
    )
    sampling = parser.add_argument_group("samples")
    sampling.add_argument("--seed", type=whole, default=0, metavar="N", help="of everything that is drawn (default 0)")
    sampling.add_argument("--spacing", type=positive, default=4.0, metavar="MM", help="side of a voxel in mm (default 4)")
    sampling.add_argument(
        "--strength", type=at_least_zero, default=1.0, metavar="S", help="factor on the variation of shape (default 1; no unit)"
    )
    sampling.add_argument(
        "--arms",
        type=at_least_zero,
        default=0.0,
        metavar="SHARE",
        help="share of the samples with arms at their sides, 0 to 1 (default 0)",
    )
    sampling.add_argument(
        "--drr", action="append", default=[], metavar="VIEW", help="also write a simulated X-ray; may be repeated"
    )
    work = parser.add_argument_group("work")
    work.add_argument("--workers", type=count, metavar="N", help="processes that share the work (default 1)")
    work.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://HOST:PORT or its file, in place of --workers")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Register, fit, sample; what can be wrong is looked at before the work."""
    if args.workers is not None and args.scheduler is not None:
        raise InputError("--workers and --scheduler exclude each other: drop one of them.")
    if args.arms > 1:
        raise InputError(f"--arms {args.arms:g} is a share from 0 to 1: correct it.")
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cohort.population_run import POPULATION, Workers, sample_all
    from XRayTo3DLib.files import check_writable
    from XRayTo3DLib.geometry.views import ViewSpec
    from XRayTo3DLib.simulation.population.sampling import SampleSettings

    for view in args.drr:
        ViewSpec.parse(view)
    check_writable(args.out / POPULATION)
    workers = Workers(args.workers or 1, args.scheduler)
    notes: tuple[str, ...] = ()
    if args.source.is_file():
        from XRayTo3DLib.simulation.population.model import read_population

        read_population(args.source)
        population = args.source
    else:
        notes = _learn(args, workers)
        population = args.out / POPULATION
    settings = SampleSettings(args.spacing, args.strength, args.arms)
    with bar("samples") as progress:
        results = sample_all(population, args.count, args.out, args.seed, settings, args.drr, workers, progress=progress)
    print("\n".join([str(population), *_told(results), *(f"note: {note}" for note in notes)]))
    if results and all(one.state == "failed" for one in results):
        raise InputError(f"No sample could be made: {results[0].reason}")


def _learn(args: argparse.Namespace, workers: object) -> tuple[str, ...]:
    """Register and fit; sentences of what is not used."""
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cohort.population_run import SourceCT, Workers, choose_atlas, fit_all, register_all
    from XRayTo3DLib.evaluation.cases import ct_files
    from XRayTo3DLib.shapes.labels import label_file, read_scheme

    assert isinstance(workers, Workers)
    groups = read_scheme(args.labels)
    sources = [SourceCT(path, label_file(path)) for path in ct_files(args.source)]
    names = [one.name for one in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{args.source} holds several CTs called {twice[0]}: rename all but one.")
    for name in args.leave_out:
        if name not in names:
            raise InputError(
                f"--leave-out {name}: there is no such CT in {args.source} ({', '.join(names[:8])} ...): correct the name."
            )
    atlas = choose_atlas(sources, groups, args.atlas)
    if len(sources) < 3:
        raise InputError(f"{args.source} holds {len(sources)} CTs: a population needs an atlas and at least 2 others.")
    kept = args.registrations or args.out
    with bar("registrations") as progress:
        registered = register_all(sources, atlas, groups, kept, workers, progress)
    with bar("population") as progress:
        return fit_all(
            sources, atlas, groups, args.out, kept, registered, _landmarks(atlas, args.labels), args.modes, args.leave_out, progress
        )


def _landmarks(atlas: SourceCT, scheme: str) -> dict[str, np.ndarray]:
    """The landmarks of the region that fits the labels of the atlas best, LPS mm by name."""
    from XRayTo3DLib.images.labelmap import Labelmap
    from XRayTo3DLib.io.segmentations import read_labelmap
    from XRayTo3DLib.io.volumes import read_volume
    from XRayTo3DLib.parametrized.landmarks import measure
    from XRayTo3DLib.parametrized.regions import find_region, regions
    from XRayTo3DLib.shapes.labels import read_labels

    ct, labels = read_volume(atlas.ct), read_labels(atlas.ct, scheme)
    if scheme == "totalsegmentator" and atlas.labels is not None:
        raw = read_labelmap(atlas.labels)
        array, names = labels.array.copy(), dict(labels.names)
        for number, (name, label) in enumerate(_MORE.items(), start=max(names) + 1):
            array[raw.array == label] = number
            names[number] = name
        labels = Labelmap(array, labels.grid, names)
    found = [measure(ct, labels, find_region(name)) for name in regions()]
    return max(found, key=len)


def _told(results: tuple[CaseResult, ...]) -> list[str]:
    """How many samples there are, and why any is missing."""
    there = sum(one.state != "failed" for one in results)
    return [f"{there} of {len(results)} samples"] + [f"{one.name} failed: {one.reason}" for one in results if one.state == "failed"]
