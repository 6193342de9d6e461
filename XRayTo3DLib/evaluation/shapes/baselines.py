"""Baselines of shapes: the mean of the training organs, and the organ of the training CT with the most similar X-ray.

The bundled means are in ``Resources/Baselines/shapes.npz``; ``python -m XRayTo3DLib.training.mean_shapes`` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.shapes.cases import ShapeCase
from XRayTo3DLib.evaluation.shapes.figures import ShapeAnswer
from XRayTo3DLib.evaluation.shapes.xrays import Given
from XRayTo3DLib.files import resources_folder
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume

#: Ways to place the mean shape, in the order of a table.
MEANS = ("mean", "mean_scaled", "mean_body")
NEAREST = "nearest"
#: Voxels in mm of a mean shape, but not more than this many along a side; voxels along a side of one stretched to its box.
_VOXEL_MM, _MOST, _STRETCHED = 3.0, 96, 32
_FILE = "Baselines/shapes.npz"


@dataclass(frozen=True, eq=False)
class MeanShape:
    """The mean of training organs.

    ``occupancy`` (float32 [z, y, x], 0 to 1): the share of organs in each voxel of ``spacing`` mm, their boxes' middles at the
    array's; ``stretched``: the same with every box stretched to the whole array; ``volume_ml`` and ``offset`` (LPS mm of the box's
    middle in the field's frame): means; ``subjects``: whose organs they are.
    """

    organ: str
    occupancy: np.ndarray
    spacing: float
    stretched: np.ndarray
    volume_ml: float
    offset: np.ndarray
    subjects: tuple[str, ...]

    def answer(self, how: str, case: ShapeCase) -> ShapeAnswer:
        """The mean placed on a case as ``how`` says, one of :data:`MEANS`; its level is that which gives it the mean volume."""
        low, high = case.box
        if how == "mean_scaled":
            grid = Grid.centred((low + high) / 2, _STRETCHED, (high - low) / _STRETCHED)
            mask = _above(self.stretched, grid, float(self.stretched.mean()), case.grid)
        else:
            centre = self.offset if how == "mean_body" else (low + high) / 2
            grid = Grid.centred(centre, self.occupancy.shape[::-1], self.spacing)
            share = self.volume_ml * 1000 / grid.voxel_volume / self.occupancy.size
            mask = _above(self.occupancy, grid, share, case.grid)
        volume = float(self.stretched.mean() * np.prod(high - low) / 1000) if how == "mean_scaled" else self.volume_ml
        return ShapeAnswer(how, mask, volume)


def mean_shape(cases: Sequence[ShapeCase]) -> MeanShape:
    """The mean of the organs of cases (one organ, at least one case)."""
    boxes = [case.box for case in cases]
    sides = np.max([high - low for low, high in boxes], axis=0)
    spacing = max(_VOXEL_MM, float(sides.max()) / _MOST)
    size = np.ceil(sides / spacing).astype(int) + 2
    total, stretched = np.zeros(size[::-1]), np.zeros((_STRETCHED,) * 3)
    for case, (low, high) in zip(cases, boxes, strict=True):
        inside = Volume(case.truth.astype(np.float32), case.grid, "1")
        total += resample(inside, Grid.centred((low + high) / 2, tuple(size), spacing), smooth=True).array
        stretched += resample(inside, Grid.centred((low + high) / 2, _STRETCHED, (high - low) / _STRETCHED), smooth=True).array
    return MeanShape(
        cases[0].organ,
        (total / len(cases)).astype(np.float32),
        spacing,
        (stretched / len(cases)).astype(np.float32),
        float(np.mean([case.volume_ml for case in cases])),
        np.mean([(low + high) / 2 for low, high in boxes], axis=0),
        tuple(case.name for case in cases),
    )


def _above(array: np.ndarray, grid: Grid, share: float, wanted: Grid) -> np.ndarray:
    """Where an array lies among its largest values, ``share`` of all, as a mask on another grid."""
    count = int(np.clip(round(share * array.size), 1, array.size))
    level = max(float(np.partition(array.ravel(), -count)[-count]), 1e-6)
    return resample(Volume(np.pad(array, 1), grid.padded(1), "1"), wanted).array >= level


def save_means(means: Sequence[MeanShape], path: Path) -> None:
    """Write mean shapes as one compressed file, with 8 bits a voxel."""
    arrays: dict[str, np.ndarray] = {}
    about = {}
    for mean in means:
        arrays[f"{mean.organ}.occupancy"] = np.rint(255 * np.clip(mean.occupancy, 0, 1)).astype(np.uint8)
        arrays[f"{mean.organ}.stretched"] = np.rint(255 * np.clip(mean.stretched, 0, 1)).astype(np.uint8)
        about[mean.organ] = {
            "spacing_mm": round(mean.spacing, 6),
            "volume_ml": round(mean.volume_ml, 3),
            "offset_mm": [round(float(v), 2) for v in mean.offset],
            "subjects": list(mean.subjects),
        }
    arrays["about"] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def bundled_means() -> dict[str, MeanShape]:
    """The mean shapes that come with this software, by organ; none where the file is missing."""
    path = resources_folder() / _FILE
    if not path.is_file():
        return {}
    with np.load(path) as stored:
        about = json.loads(stored["about"].tobytes())
        return {
            organ: MeanShape(
                organ,
                stored[f"{organ}.occupancy"].astype(np.float32) / 255,
                float(words["spacing_mm"]),
                stored[f"{organ}.stretched"].astype(np.float32) / 255,
                float(words["volume_ml"]),
                np.array(words["offset_mm"]),
                tuple(words["subjects"]),
            )
            for organ, words in about.items()
        }


@dataclass(frozen=True, eq=False)
class Trained:
    """A training organ, with what a setting would give of it (``given``, by the setting's name), and whose it is."""

    case: ShapeCase
    given: dict[str, Given]
    name: str
    path: Path
    patient: str = ""


def nearest(trained: Sequence[Trained], case: ShapeCase, setting: str, given: Given) -> ShapeAnswer:
    """The organ of the training CT whose X-rays and drawn shadows are most similar, where it lies in its own field.

    Similar is the mean square difference of the line integrals over that of the case's own, and one less the Dice of the shadows.
    """
    if not trained:
        raise InputError(
            "The method nearest chooses among training CTs, and there are none with this organ: name a folder of them."
        )

    def distance(other: Trained) -> float:
        total = 0.0
        seen = other.given[setting]
        for mine, its, drawn, its_drawn in zip(given.radiographs, seen.radiographs, given.masks, seen.masks, strict=True):
            power = float(np.square(mine.line_integrals).mean())
            total += float(np.square(mine.line_integrals - its.line_integrals).mean()) / power if power else 0.0
            if drawn is not None and its_drawn is not None:
                both = 2 * np.count_nonzero(drawn & its_drawn) / (np.count_nonzero(drawn) + np.count_nonzero(its_drawn))
                total += 1 - float(both)
        return total

    best = min(trained, key=distance).case
    inside = Volume(best.truth.astype(np.float32), best.grid, "1")
    return ShapeAnswer(NEAREST, resample(inside, case.grid).array >= 0.5, best.volume_ml)
