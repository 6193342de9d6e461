"""Real chest radiographs of unknown scale, one view each: does a body with its lungs come out, of a size that can be?

Every picture of the folder (PNG; ``_pa_`` or ``_ap_`` in its name) is reconstructed with a pixel of .4, .5, .6 or .7 mm, one
of them by chance. Right: a body (all structures together) of 6 to 35 L, nearly all of it in one piece and within the field; lungs
of 1 to 8 L together, on both sides, darker than what lies between them; and the middle of the back denser than its sides. Says it
for each, then all shares, and writes a contact sheet: the picture, its line integrals, two coronal, two axial and two sagittal
slices.

    python Testing/Benchmarks/real_chests.py FOLDER --sheet sheet.png [--seed 1] [--every 5] [--spacing .4]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.reconstruction.answer import Answer, solve
from XRayTo3DLib.reconstruction.grids import grid_for

_SPACINGS = (0.4, 0.5, 0.6, 0.7)
_TILE = 128
_BODY_L, _LUNGS_L = (6.0, 35.0), (1.0, 8.0)


@dataclass(frozen=True)
class Figures:
    """Litres of the body and the lungs, the lesser lung's share, the body's share in one piece and within the field, and HU."""

    body: float
    lungs: float
    side: float
    piece: float
    inside: float
    between: float
    spine: float

    def faults(self) -> list[str]:
        right = {
            "body": _BODY_L[0] <= self.body <= _BODY_L[1],
            "lungs": _LUNGS_L[0] <= self.lungs <= _LUNGS_L[1],
            "side": self.side > 0.1,
            "pieces": self.piece > 0.98,
            "field": self.inside > 0.95,
            "mediastinum": self.between > 150,
            "spine": self.spine > 0,
        }
        return [what for what, fine in right.items() if not fine]


def within(projection: Projection, grid: Grid) -> np.ndarray:
    """Which voxels of the grid the picture's field holds."""
    places = grid.affine[:3, :3] @ np.indices(grid.shape)[::-1].reshape(3, -1) + grid.affine[:3, 3:]
    columns, rows = projection.project(places.T).T
    height, width = projection.size
    return ((columns > -0.5) & (columns < width - 0.5) & (rows > -0.5) & (rows < height - 0.5)).reshape(grid.shape)


def measure(answer: Answer, projection: Projection) -> Figures | None:
    """The figures of one reconstruction; ``None`` without a body."""
    if answer.labels is None:
        return None
    labels, hu, litre = answer.labels.array, answer.hu.array, answer.hu.grid.voxel_volume / 1e6
    body, lungs = labels > 0, labels == 2
    sizes = np.sort(np.bincount(ndimage.label(body)[0].ravel())[1:])
    x = np.flatnonzero(body.any(axis=(0, 1)))
    half, width = (x[0] + x[-1] + 1) // 2, x[-1] - x[0] + 1
    sides = lungs[..., :half].sum(), lungs[..., half:].sum()
    levels = np.flatnonzero(lungs.sum(axis=(1, 2)) > 0.3 * max(1, lungs.sum(axis=(1, 2)).max()))
    if not len(levels):  # no lungs: all of the body
        levels = np.flatnonzero(body.any(axis=(1, 2)))
    level = slice(levels[0], levels[-1] + 1)
    middle = slice(half - width // 10, half + width // 10 + 1)
    between = hu[level, :, middle][body[level, :, middle]]
    beside = hu[level][lungs[level]]
    # The spine: the back third of the body in its middle, against what lies a quarter of the width to either side.
    y = np.flatnonzero(body[level].any(axis=(0, 2)))
    back = slice(y[0] + 3 * len(y) // 5, y[-1] + 1)
    quarter = width // 4
    outer = [hu[level, back, half + s * quarter - 2 : half + s * quarter + 3] for s in (-1, 1)]
    return Figures(
        float(body.sum() * litre),
        float(lungs.sum() * litre),
        float(min(sides) / max(1, sum(sides))),
        float(sizes[-1] / sizes.sum()),
        float(within(projection, answer.hu.grid)[body].mean()),
        float(between.mean() - beside.mean()) if len(beside) else 0.0,
        float(hu[level, back, middle].mean() - np.mean(outer)),
    )


def tiles(path: Path, answer: Answer) -> np.ndarray:
    """The row of a picture on the sheet: uint8 (_TILE, 8 * _TILE)."""

    def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
        shown = (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        return np.array(Image.fromarray(shown).resize((_TILE, _TILE)))

    hu = answer.hu.array
    z, y, x = hu.shape
    slices = (
        [hu[::-1, int(k * y)] for k in (0.4, 0.6)]
        + [hu[int(k * z)] for k in (0.4, 0.6)]
        + [hu[::-1, :, int(k * x)] for k in (0.33, 0.5)]
    )
    picture = np.asarray(Image.open(path).convert("L"), dtype=np.float32)
    shown = [grey(picture, 0, 255), grey(answer.found.radiographs[0].line_integrals, 0, 8), *(grey(s, -1000, 600) for s in slices)]
    return np.hstack(shown)


def one(path: Path, spacing: float, model: LoadedModel) -> Answer:
    view = "PA" if "_pa_" in path.name else "AP"
    radiograph = read_radiograph(path, view, spacing)
    return solve([radiograph], grid_for(model.file.card, [radiograph]), model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the pictures")
    parser.add_argument("--sheet", type=Path, help="the contact sheet (PNG)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of the pixels")
    parser.add_argument("--every", type=int, default=1, help="one picture of so many")
    parser.add_argument("--spacing", type=float, help="mm a pixel for all")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model(None, "volume")
    generator = np.random.default_rng(arguments.seed)
    rows, faults = [], []
    paths = sorted(arguments.folder.glob("*.png"))
    drawn = generator.choice(_SPACINGS, len(paths)).tolist()
    for path, by_chance in list(zip(paths, drawn, strict=True))[:: arguments.every]:
        spacing, started = arguments.spacing or by_chance, time.monotonic()
        try:
            answer = one(path, spacing, model)
        except InputError as error:
            print(f"{path.name:<26}{spacing:5.2f} refused: {error}", flush=True)
            faults.append(["refused"])
            continue
        figures = measure(answer, answer.found.radiographs[0].projection)
        found = ["no body"] if figures is None else figures.faults()
        faults.append(found)
        rows.append(tiles(path, answer))
        told = (
            ""
            if figures is None
            else (
                f"body {figures.body:5.1f} L, lungs {figures.lungs:4.1f} L ({100 * figures.side:2.0f} % on one side), one piece "
                f"{100 * figures.piece:3.0f} %, in the field {100 * figures.inside:3.0f} %, between {figures.between:4.0f} HU, "
                f"spine {figures.spine:4.0f} HU, "
            )
        )
        scale = answer.found.scales[0]
        print(
            f"{path.name:<26}{spacing:5.2f} {told}{'' if scale is None else scale.region}, {time.monotonic() - started:.0f} s "
            f"{' '.join(found).upper()}",
            flush=True,
        )
        if arguments.sheet is not None:
            Image.fromarray(np.vstack(rows)).save(arguments.sheet)
    print(f"{sum(not f for f in faults)} of {len(faults)} right")
    for what in sorted({f for found in faults for f in found}):
        print(f"  {what}: {sum(what in found for found in faults)}")


if __name__ == "__main__":
    main()
