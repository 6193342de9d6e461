"""``xrayto3d parametrized``: an X-ray from the body's surface, changed by its markers, and what it is good for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from XRayTo3DLib.cli.options import count, finite, positive, whole
from XRayTo3DLib.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from XRayTo3DLib.parametrized.loop import State
    from XRayTo3DLib.parametrized.surface_image import SurfaceImage

#: What can be done; without a word an X-ray is made.
_ACTIONS = ("complete", "anomaly", "augment")
_DESCRIPTION = """\
Predict the X-ray of a body from its surface alone, with markers: move one and the X-ray follows.

BODY is a closed surface (STL, OBJ, PLY, VTP, in mm), a segmentation of the body, or a CT in HU. The action comes before
or after it: complete (a partial real X-ray: what it shows stays, the rest is predicted), anomaly (what differs from the
healthy X-ray of this body), augment (many X-rays with their markers, to train with). Without one an X-ray is made.
"""
_EPILOG = """\
examples:
  xrayto3d parametrized body.stl --region head_neck --out xray
  xrayto3d parametrized body.stl --marker chin=0,-10 --lock larynx --out xray
        the chin 10 mm lower; the larynx stays where it is
  xrayto3d parametrized complete body.stl --xray partial.nrrd --out completed
  xrayto3d parametrized anomaly ct.nii.gz --xray AP.nrrd --threshold 0.1 --out anomaly
  xrayto3d parametrized augment body.stl --count 100 --seed 1 --annotation tip=12,-60,140 --out images

writes into --out:
  xray.nrrd, xray.png         the X-ray where it stands, and a picture with its markers
  markers.mrk.json, .csv      the markers as a point list of 3D Slicer (LPS mm), and as a table
  moving.gif                  the marker that was moved (or the first) on its way
  parametrized.json           rounds, whether the loop came to rest, notes
  complete: completed.nrrd, completed.png      anomaly: difference.nrrd, anomaly.seg.nrrd, anomaly.png
  augment: image_0001.nrrd, .png ... and annotations.csv

What is predicted is no measurement; research software, not for diagnosis.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "parametrized",
        help="an X-ray from the body's surface, changed by moving its markers",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="[ACTION] BODY", help="the body, and what to do: complete, anomaly or augment")
    parser.add_argument(
        "--region", default="head_neck", metavar="NAME", help="head_neck (default), torso, or a JSON file of a region"
    )
    parser.add_argument("--view", default="AP", metavar="VIEW", help="AP (frontal, the default) or LAT (lateral)")
    parser.add_argument(
        "--marker",
        action="append",
        default=[],
        metavar="NAME=DX,DZ",
        help="move a marker by DX mm (frontal: to the patient's left; lateral: to the back) and DZ mm towards the head; may be "
        "repeated",
    )
    parser.add_argument("--lock", action="append", default=[], metavar="NAME", help="a marker that stays; may be repeated")
    parser.add_argument(
        "--landmark",
        action="append",
        default=[],
        metavar="NAME=X,Y,Z",
        help="where a landmark of the skin is, LPS mm, in place of the one that is found; may be repeated",
    )
    parser.add_argument("--landmarks", type=Path, metavar="FILE", help="the same, from a point list of 3D Slicer (.mrk.json)")
    parser.add_argument(
        "--xray", type=Path, metavar="FILE", help="complete and anomaly: the real X-ray, line integrals with geometry"
    )
    parser.add_argument(
        "--threshold", type=positive, metavar="SHARE", help="anomaly: difference that counts, a share of the range (default 0.1)"
    )
    parser.add_argument("--count", type=count, metavar="N", help="augment: how many X-rays (default 20)")
    parser.add_argument("--seed", type=whole, metavar="N", help="augment: of the random moves (default 0)")
    parser.add_argument("--spread", type=positive, metavar="MM", help="augment: standard deviation of a move in mm (default 8)")
    parser.add_argument(
        "--annotation",
        action="append",
        default=[],
        metavar="NAME=X,Y,Z",
        help="augment: another place, LPS mm, that is followed through all X-rays; may be repeated",
    )
    parser.add_argument("--marker-model", metavar="NAME|FILE", help="the marker network (default: the bundled one)")
    parser.add_argument("--image-model", metavar="NAME|FILE", help="the image network (default: the bundled one)")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="receives the results")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read everything, let the loop come to rest, and write all files or none."""
    action, body_file = _action(args)
    moves = {name: numbers(text, "--marker", value, 2) for text, name, value in _named(args.marker, "--marker", "DX,DZ")}
    given = {name: numbers(text, "--landmark", value, 3) for text, name, value in _named(args.landmark, "--landmark", "X,Y,Z")}
    extra = {
        name: numbers(text, "--annotation", value, 3) for text, name, value in _named(args.annotation, "--annotation", "X,Y,Z")
    }
    from XRayTo3DLib.cli.bar import bar
    from XRayTo3DLib.cli.outputs import keep_inputs, staged
    from XRayTo3DLib.cli.parametrized_files import NAMES, write_state
    from XRayTo3DLib.cli.threads import use_threads
    from XRayTo3DLib.io.point_lists import read_markups
    from XRayTo3DLib.parametrized.answer import networks_for, read_source, surface_of
    from XRayTo3DLib.parametrized.loop import Loop
    from XRayTo3DLib.parametrized.regions import find_region
    from XRayTo3DLib.progress import part

    use_threads(args.threads)
    files = [body_file, *filter(None, (args.xray, args.landmarks))]
    keep_inputs(args.out, [*NAMES, "completed.nrrd", "completed.png", "difference.nrrd", "anomaly.seg.nrrd", "moving.gif"], files)
    region = find_region(args.region)
    for name in (*moves, *args.lock, *given):
        region.landmark(name)
    networks = networks_for(region, args.view, args.marker_model, args.image_model)
    if args.landmarks is not None:
        placed = {name: [float(v) for v in point] for name, point in read_markups(args.landmarks).items()}
        given = {name: point for name, point in placed.items() if name in region.names} | given
    surface = surface_of(read_source(body_file), region, args.view, given)
    with staged(args.out) as folder:
        with bar("parametrized X-ray") as progress:
            loop = Loop(networks, region, surface, part(progress, 0, 0.3))
            for name in args.lock:
                loop.lock(name)
            places = {name: loop.state.shifted(name, *way) for name, way in moves.items()}
            for name, place in places.items():
                loop.drag(name, place)
            state = loop.settle(part(progress, 0.3, 0.5))
            state, values, lines, written = _act(action, args, loop, region, places, extra, folder, part(progress, 0.5, 1))
        write_state(state, region, folder, values)
    shown = sorted({*NAMES, *written})
    told = [f"note: {note}" for note in state.surface.notes]
    rest = f"came to rest after {state.rounds} rounds" if state.converged else f"did not come to rest in {state.rounds} rounds"
    lines = [f"{len(state.positions())} markers; X-ray and markers {rest}", *lines]
    print("\n".join([*told, *lines, *(str(args.out / name) for name in shown if not name.startswith("image_"))]))


def _act(
    action: str,
    args: argparse.Namespace,
    loop: Any,
    region: Any,
    places: dict[str, np.ndarray],
    annotations: dict[str, list[float]],
    folder: Path,
    progress: Any,
) -> tuple[State, dict[str, Any], list[str], list[str]]:
    """What the action makes of the settled X-ray: the state to write, values for the JSON, lines to print, files written."""
    import numpy as np

    from XRayTo3DLib.cli import parametrized_files as files
    from XRayTo3DLib.io.radiographs import write_radiograph
    from XRayTo3DLib.parametrized.anomaly import THRESHOLD, find_anomaly
    from XRayTo3DLib.parametrized.answer import state_radiograph
    from XRayTo3DLib.parametrized.augment import SPREAD_MM, augment
    from XRayTo3DLib.parametrized.completion import complete
    from XRayTo3DLib.parametrized.pictures import picture

    networks, state = loop.networks, loop.state
    range_ = region.frame.range.get(state.surface.view, float(state.xray.max()))
    if action == "":
        files.write_moving(networks, region, loop.first, places, folder / "moving.gif")
        return state, {}, [], ["moving.gif"]
    if action == "augment":
        projection = state.surface.projection
        where = {name: projection.project(np.array([at]))[0, ::-1] for name, at in annotations.items()}
        made = augment(networks, state, args.count or 20, args.seed or 0, where, args.spread or SPREAD_MM, progress)
        lost = sum(len(where) - len(variant.annotations) for variant in made)
        lines = [f"{len(made)} X-rays"] + ([f"note: annotations were not found again {lost} times"] if lost else [])
        return state, {"images": len(made), "annotations_lost": lost}, lines, files.write_variants(made, region, folder)
    xray, shown = _real(args.xray, state.surface)
    if action == "complete":
        done = complete(networks, state, xray, shown, progress)
        from dataclasses import replace

        radiograph = replace(
            state_radiograph(done.state, "completed"),
            line_integrals=done.xray,
            notes=(f"Measured in {shown.mean():.0%} of the picture, predicted in the rest.", *done.state.surface.notes),
        )
        write_radiograph(radiograph, folder / "completed.nrrd")
        files.write_png(picture(done.xray, region, range_, done.state.points), folder / "completed.png")
        return done.state, {"shown": float(shown.mean())}, [], ["completed.nrrd", "completed.png"]
    found = find_anomaly(networks, state, xray, shown, range_, args.threshold or THRESHOLD, progress=progress)
    files.write_anomaly(found, xray, region, range_, folder)
    lines = [f"{len(found.findings)} places, {sum(one.area_mm2 for one in found.findings) / 100:.1f} cm^2; score {found.score:.2f}"]
    return found.state, files.anomaly_values(found), lines, ["difference.nrrd", "anomaly.seg.nrrd", "anomaly.png"]


def _real(path: Path, surface: SurfaceImage) -> tuple[np.ndarray, np.ndarray]:
    """The real X-ray in the frame, and the pixels it shows."""
    from XRayTo3DLib.io.radiographs import read_radiograph
    from XRayTo3DLib.parametrized.completion import in_frame

    return in_frame(read_radiograph(path), surface)


def _action(args: argparse.Namespace) -> tuple[str, Path]:
    """The action and the body's file; :class:`InputError` for words and options that do not go together."""
    words = list(args.words)
    named = [word for word in words if word in _ACTIONS]
    if len(words) == 2 and len(named) == 1:
        words.remove(named[0])
    elif len(words) != 1:
        raise InputError(f"{' '.join(words)!r} is not understood: name one body, and one of {', '.join(_ACTIONS)} at most.")
    action = named[0] if len(args.words) == 2 else ""
    wanted = {"xray": ("complete", "anomaly"), "threshold": ("anomaly",)}
    wanted |= dict.fromkeys(("count", "seed", "spread", "annotation"), ("augment",))
    for option, actions in wanted.items():
        if getattr(args, option) not in (None, []) and action not in actions:
            raise InputError(f"--{option} goes with {' and '.join(actions)} alone: name that action, or leave the option out.")
    if action in wanted["xray"] and args.xray is None:
        raise InputError(f"The action {action} needs the real X-ray: give --xray FILE.")
    return action, Path(words[0])


def _named(texts: list[str], option: str, form: str) -> list[tuple[str, str, str]]:
    """``NAME=VALUE`` texts as (text, name, value), each name once."""
    found: dict[str, tuple[str, str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {text} is not of the form NAME={form}: correct it.")
        if name in found:
            raise InputError(f"{option} names {name} twice: give it once.")
        found[name] = text, name, value
    return list(found.values())


def numbers(text: str, option: str, value: str, wanted: int) -> list[float]:
    """So many finite numbers, separated by commas."""
    parts = value.split(",")
    try:
        found = [finite(part) for part in parts]
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{option} {text}: {error}; correct the value in mm.") from None
    if len(found) != wanted:
        raise InputError(f"{option} {text}: {len(found)} numbers where {wanted} are needed; give mm, separated by commas.")
    return found
