"""Draw ``Resources/Screenshots/results.png``: CTs, their AP and lateral X-rays, and what is reconstructed from these two alone.

``python Testing/Benchmarks/results_picture.py CT [CT ...]``: a row a CT, on the evaluation protocol's grid and X-rays.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib import extract_surfaces, reconstruct, segment_ct, to_display, to_hu
from XRayTo3DLib.evaluation.cases import read_case
from XRayTo3DLib.evaluation.xrays import radiographs_of
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.report.rendering import render

ROOT = Path(__file__).resolve().parents[2]
WINDOW = (-700.0, 900.0)
TITLES = ("AP X-ray", "lateral X-ray", "CT", "from both X-rays", "CT", "from both X-rays", "bone of the CT", "from both X-rays")


def row(path: Path) -> list[np.ndarray]:
    """The pictures of one CT, each [row, column] or [row, column, rgb], head up."""
    case = read_case(path)
    xrays = radiographs_of(case, "two_views")
    found = to_hu(reconstruct(xrays, grid=case.truth.grid, check_views=False).volume)
    pictures = [to_display(xray, "clinical") for xray in xrays]
    for axis in (1, 2):
        for volume in (case.truth, found):
            middle = np.take(volume.array, volume.array.shape[axis] // 2, axis=axis)[::-1]
            pictures.append(np.clip((middle - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1))
    drawn = render([_surfaces(case.truth), _surfaces(found)], side=320)
    return [*pictures, *np.split(drawn, 2, axis=1)]


def _surfaces(volume: Volume) -> list:
    return extract_surfaces(segment_ct(volume))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Screenshots" / "results.png")
    arguments = parser.parse_args()
    rows = [row(path) for path in arguments.ct]
    figure = Figure(figsize=(1.7 * len(TITLES), 1.78 * len(rows) + 0.15), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(TITLES), squeeze=False)
    for number, pictures in enumerate(rows):
        for axis, picture, title in zip(axes[number], pictures, TITLES, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
            axis.set_axis_off()
            if number == 0:
                axis.set_title(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    arguments.out.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
