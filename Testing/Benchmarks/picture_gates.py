"""How often the gates of pictures of unknown scale speak, rightly and wrongly: figures of ``calibration/gates.py``.

Pictures are real radiographs (PNG, all upright and of the view named) and DRRs of CTs, frontal and lateral, through random display
processing. Each is shown as it is, turned by 180 degrees, and under the other view's name; photographs of scikit-image stand for
what is no radiograph.

    python Testing/Benchmarks/picture_gates.py --pictures FOLDER --view AP --heads CT [...] --chests CT [...]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage import data

from XRayTo3DLib.evaluation.cases import ct_files, read_case
from XRayTo3DLib.geometry.views import fit_projection, view_projection
from XRayTo3DLib.images.pixel_matching import matched
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import appearance, guessed_region
from XRayTo3DLib.reconstruction.calibration.gates import faults
from XRayTo3DLib.reconstruction.calibration.reference import view_kind
from XRayTo3DLib.reconstruction.calibration.shadow import shadow_of
from XRayTo3DLib.simulation.display_processing import DisplayProcessing, process
from XRayTo3DLib.simulation.drr import render_drr

_PHOTOGRAPHS = ("camera", "coins", "page", "text", "moon", "brick", "grass", "gravel", "clock", "cell")


def drrs(places: list[Path]) -> Iterator[Radiograph]:
    for number, path in enumerate(ct_files(places)):
        truth = read_case(path).truth
        for view, name in enumerate(("AP", "LAT")):
            made = render_drr(truth, [fit_projection(name, truth.grid, 2.0, 1500.0)], [name])[0]
            yield process(made, DisplayProcessing.random(10 * number + view))


def pictures(folder: Path, view: str) -> Iterator[Radiograph]:
    for path in sorted(folder.glob("*.png")):
        yield read_radiograph(path, view, 0.55)


def photographs() -> Iterator[Radiograph]:
    for name in _PHOTOGRAPHS:
        values = np.asarray(getattr(data, name)(), dtype=np.float32)
        values = values if values.ndim == 2 else values.mean(axis=2)
        yield Radiograph(values, view_projection("AP", (0, 0, 0), values.shape, 350 / max(values.shape)), name, unknown=UNKNOWN)


def tell(title: str, found: list[Radiograph], region: str = "") -> None:
    """One line of counts."""
    spoken: Counter[str] = Counter()
    for one in found:
        picture = matched(one, 4.0, np.zeros(3))
        shadow = shadow_of(picture)
        look = appearance(picture, shadow)
        view = view_kind(picture)
        spoken["region right"] += guessed_region([picture], [shadow])[0] == region
        back = picture.valid if picture.valid is None else picture.valid[::-1, ::-1]
        turned = replace(picture, line_integrals=picture.line_integrals[::-1, ::-1], valid=back)
        upside_down = faults(appearance(turned, shadow_of(turned)), view)
        misnamed = faults(look, "lateral" if view == "frontal" else "frontal")
        for sentence in faults(look, view) or ["nothing"]:
            spoken["as it is: " + " ".join(sentence.split()[:5])] += 1
        spoken["turned, said"] += any("upside" in s for s in upside_down)
        spoken["misnamed, said"] += any("view" in s for s in misnamed)
    print(f"{title} ({len(found)}): " + ", ".join(f"{key} {100 * n / len(found):.0f} %" for key, n in sorted(spoken.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder of PNGs of chests")
    parser.add_argument("--view", default="AP", help="the view of all of them")
    parser.add_argument("--heads", nargs="*", type=Path, default=[])
    parser.add_argument("--chests", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    tell("photographs and textures", list(photographs()))
    if arguments.pictures:
        tell("real chests", list(pictures(arguments.pictures, arguments.view)), "chest")
    if arguments.heads:
        tell("DRRs of heads", list(drrs(arguments.heads)), "head")
    if arguments.chests:
        tell("DRRs of chests", list(drrs(arguments.chests)), "chest")


if __name__ == "__main__":
    main()
