"""How often X-rays that an organ cannot be found in are said to be such, and how often right ones are doubted.

DRRs of CTs, frontal alone and with the lateral, as they are and through random display processing: as they are, turned by 180
degrees, mirrored, of the other region, and cut so that the organ's part of the field is missing (with ``--labels``, whose
organ says where that is).

    python Testing/Benchmarks/organ_scope.py --heads FOLDER --chests FOLDER [--limit N] [--labels head_neck]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from XRayTo3DLib.evaluation.cases import ct_files, read_case
from XRayTo3DLib.evaluation.shapes.cases import labelled, read_scan, scheme_of
from XRayTo3DLib.evaluation.shapes.xrays import ShapeXrays
from XRayTo3DLib.geometry.views import fit_projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.shapes.outlines import outlines
from XRayTo3DLib.shapes.scope import field_notes, scope_notes
from XRayTo3DLib.simulation.display_processing import DisplayProcessing, process
from XRayTo3DLib.simulation.drr import render_drr

#: An organ of each region, and the frontal picture alone or both.
ORGANS = {"heads": "mandible", "chests": "lungs"}
PAIRS = {"one view": ("AP",), "two views": ("AP", "LAT")}


def pairs(folder: Path, limit: int | None, processed: bool) -> Iterator[list[Radiograph]]:
    """The frontal and lateral DRR of each CT."""
    for number, path in enumerate(ct_files(folder)[:limit]):
        truth = read_case(path).truth
        views = [fit_projection(name, truth.grid, 2.0, 1500.0) for name in ("AP", "LAT")]
        made = render_drr(truth, views, ["AP", "LAT"])
        yield [process(one, DisplayProcessing.random(10 * number + n)) if processed else one for n, one in enumerate(made)]


def turned(radiograph: Radiograph) -> Radiograph:
    return replace(radiograph, line_integrals=radiograph.line_integrals[::-1, ::-1].copy(), valid=None)


def mirrored(radiograph: Radiograph) -> Radiograph:
    return replace(radiograph, line_integrals=radiograph.line_integrals[:, ::-1].copy(), valid=None)


def told(title: str, cases: list[list[Radiograph]], organ: str) -> None:
    """One line: how many cases have a sentence, by the number of views."""
    found = []
    for words, names in PAIRS.items():
        spoken = sum(bool(scope_notes(organ, case[: len(names)])) for case in cases)
        found.append(f"{words} {spoken} of {len(cases)} ({spoken / max(len(cases), 1):.0%})")
    print(f"{title:<44} {', '.join(found)}", flush=True)


def cut(folder: Path, labels: str, limit: int | None) -> None:
    """The organ's outline where the picture ends in the middle of it, or shows none of it."""
    counts: Counter[str] = Counter()
    for path in labelled(ct_files(folder))[:limit]:
        case = read_scan(path, scheme_of(folder, labels)).case("mandible")
        if isinstance(case, str):
            continue
        xrays = ShapeXrays(case)
        whole, shadow = xrays.view("AP"), xrays.mask("AP")
        rows = np.flatnonzero(shadow.any(axis=1))
        organ = Labelmap(case.truth.astype(np.uint8), case.grid, {1: "mandible"})
        for name, first in (("whole", 0), ("through the middle", int(rows.mean())), ("beside the organ", int(rows[-1]) + 4)):
            window = (slice(first, whole.projection.size[0]), slice(0, whole.projection.size[1]))
            part = Radiograph(whole.line_integrals[window], whole.projection.cropped(window), "AP")
            counts[name] += bool(field_notes("mandible", [part], outlines(organ, [part])))
            counts["cases " + name] += 1
    for name in ("whole", "through the middle", "beside the organ"):
        print(f"picture cut, {name:<31} a sentence in {counts[name]} of {counts['cases ' + name]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", required=True, type=Path, help="CTs of heads and necks that were not trained on")
    parser.add_argument("--chests", required=True, type=Path, help="CTs of chests, files or a folder")
    parser.add_argument("--limit", type=int, help="only so many CTs of each")
    parser.add_argument("--labels", help="how the labels beside the heads are numbered: counts pictures cut as well")
    arguments = parser.parse_args()
    for processed in (False, True):
        how = "processed" if processed else "calibrated"
        known = {name: list(pairs(getattr(arguments, name), arguments.limit, processed)) for name in ORGANS}
        for name, organ in ORGANS.items():
            other = next(o for n, o in ORGANS.items() if n != name)
            told(f"{name}, {how}: the {organ}, as they are", known[name], organ)
            told(f"{name}, {how}: the {other} of another region", known[name], other)
            told(f"{name}, {how}: turned by 180 degrees", [[turned(one) for one in case] for case in known[name]], organ)
            told(f"{name}, {how}: mirrored", [[mirrored(one) for one in case] for case in known[name]], organ)
    if arguments.labels:
        cut(arguments.heads, arguments.labels, arguments.limit)


if __name__ == "__main__":
    main()
