"""How soon an X-ray follows a landmark that is dragged with the mouse, in a slice and in a 3D view, and what 500 moves leave.

A move is timed from the mouse event to the new pixels and points in the scene, and again with the drawing of the view. The views
are slicer-core's own, drawn by software. Needs the packages slicer-core and, of a region, a marker and an image network.

    python Testing/Benchmarks/drag.py SURFACE_OR_CT [--region NAME] [--view VIEW] [--networks MARKER IMAGE] [--landmark NAME]
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "XRayTo3D"), str(ROOT / "Testing")]

from Harness.views import SliceView, ThreeDView  # noqa: E402
from XRayTo3DSlicer import headless  # noqa: E402
from XRayTo3DSlicer.logic import Logic  # noqa: E402
from XRayTo3DSlicer.nodes import model_nodes, volume_nodes  # noqa: E402

from XRayTo3DLib.anatomy.surfaces import Surface  # noqa: E402
from XRayTo3DLib.images.volume import Volume  # noqa: E402
from XRayTo3DLib.parametrized.answer import read_source  # noqa: E402

MOVES = 60
#: Wall clock, or with --processor the time of the processor: what one thread would take on a machine with nothing else to do.
clock = time.perf_counter


def milliseconds(times: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{1000 * np.median(times):7.1f}{1000 * np.percentile(times, 95):7.1f}"


def drag(view: object, at: np.ndarray, way: tuple[float, float], between: Callable[[], None]) -> list[float]:
    """Seconds of each move of one drag, as far as the scene."""
    times, event = [], view.event  # type: ignore[attr-defined]

    def timed(name: str, place: np.ndarray) -> None:
        start = clock()
        event(name, place)
        if name == "MouseMoveEvent":
            times.append(clock() - start)

    view.event = timed  # type: ignore[attr-defined]
    view.drag(at, way, MOVES, between)  # type: ignore[attr-defined]
    view.event = event  # type: ignore[attr-defined]
    return times[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("body", type=Path)
    parser.add_argument("--region", default="head_neck")
    parser.add_argument("--view", default="AP")
    parser.add_argument("--networks", nargs=2, metavar=("MARKER", "IMAGE"))
    parser.add_argument("--landmark", default="chin")
    parser.add_argument("--processor", action="store_true", help="processor time of one thread, in place of the wall clock")
    arguments = parser.parse_args()
    if arguments.processor:
        global clock
        import torch

        torch.set_num_threads(1)
        clock = time.process_time
    scene = headless.start()
    source = read_source(arguments.body)
    if isinstance(source, Volume):
        node = volume_nodes.volume_to_node(source, "body")
    elif isinstance(source, Surface):
        node = model_nodes.surface_to_node(source)
    else:
        sys.exit(f"{arguments.body} is neither a CT nor a surface.")
    networks = tuple(arguments.networks) if arguments.networks else None
    image, points, loop = Logic().parametrizedXRay(node, arguments.region, arguments.view, networks)
    index = loop.state.index(arguments.landmark)
    rounds: list[float] = []
    for _ in range(20):  # the networks alone: one round
        start = clock()
        loop.networks.markers(loop.state.surface.array, loop.state.xray)
        loop.networks.xray(loop.state.surface.array, loop.state.points)
        rounds.append(clock() - start)
    print(f"{'':<34}median    95 %  (ms)")
    print(f"{'both networks once':<33}{milliseconds(rounds)}")
    normal = np.array(loop.state.surface.projection.beam_direction) * [-1, -1, 1]
    at = np.array(points.GetNthControlPointPosition(index))
    views = {"slice view": SliceView(image), "3D view": ThreeDView(at - 500 * normal, at, 300.0)}
    for name, view in views.items():
        drawn: list[float] = []

        def draw(view: object = view, drawn: list[float] = drawn) -> None:
            start = clock()
            view.window.Render()  # type: ignore[attr-defined]
            drawn.append(clock() - start)

        at = np.array(points.GetNthControlPointPosition(index))
        print(f"{name + ', move to image':<33}{milliseconds(drag(view, at, (20, -15), draw))}")
        print(f"{name + ', drawing by software':<33}{milliseconds(drawn)}")
        loop.undo()
    nodes, before = scene.GetNumberOfNodes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, moves = clock(), 0
    while moves < 500:
        at = np.array(points.GetNthControlPointPosition(index))
        drag(views["slice view"], at, ((10, 8), (-10, -8))[moves // MOVES % 2], lambda: None)
        moves += MOVES
    gc.collect()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds, new = clock() - start, scene.GetNumberOfNodes() - nodes
    print(f"{moves} moves in {seconds:.1f} s; {new} new nodes; memory +{grown:.1f} MB")


if __name__ == "__main__":
    main()
