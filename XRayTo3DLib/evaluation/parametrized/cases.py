"""What parametrized X-rays are measured on: surface image, X-ray and landmarks of each CT, and the baselines of training CTs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_names, ct_files
from XRayTo3DLib.images.volume import Volume, check_ct
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.parametrized.body import Body, body_of_ct
from XRayTo3DLib.parametrized.examples import Example, example_of_body
from XRayTo3DLib.parametrized.landmarks import measure_body
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.shapes.labels import label_file, read_labels
from XRayTo3DLib.shapes.organs import SCHEMES


@dataclass(frozen=True, eq=False)
class Case:
    """One CT in one view of a region: its ``example``, and the ``ct`` and ``body`` it was made of."""

    name: str
    example: Example
    ct: Volume
    body: Body


def label_scheme(region: Region, scheme: str | None, folder: Path) -> str:
    """What the label files of a folder mean when nothing is said: its ``labels.json``, else the scheme of the region's name."""
    own = folder / "labels.json"
    return scheme or (str(own) if own.is_file() else region.name if region.name in SCHEMES else "totalsegmentator")


def read_cases(
    place: Path | Sequence[Path], region: Region, view: str, scheme: str | None, limit: int | None, progress: Progress
) -> tuple[list[Case], list[dict[str, str]]]:
    """The CTs of a folder, and those left out with the reason: no body, or a frame that cannot be placed.

    Raises :class:`InputError` when none is left.
    """
    paths = ct_files(place)[:limit]
    found, left_out = [], []
    for number, (path, name) in enumerate(zip(paths, case_names(paths), strict=True)):
        progress(number / len(paths), f"Reading {name}")
        try:
            ct = read_volume(path)
            check_ct(ct, name)
            labels = read_labels(path, label_scheme(region, scheme, path.parent)) if label_file(path) is not None else None
            body = body_of_ct(ct, labels)
            example = example_of_body(ct, body, region, view, measure_body(body, region))
        except InputError as error:
            left_out.append({"case": name, "reason": str(error)})
            continue
        found.append(Case(name, example, ct, body))
    if not found:
        raise InputError(f"No CT of {place} can be measured ({left_out[0]['reason']}): add CTs of the region {region.name}.")
    return found, left_out


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of a case: ``xray`` (line integrals [row, column]) and ``points`` [landmark, 2], NaN where it has none."""

    xray: np.ndarray
    points: np.ndarray


class MeanImage:
    """The mean X-ray of the training CTs and the mean place of each landmark in the frame."""

    name = "mean"

    def __init__(self, training: Sequence[Case]) -> None:
        self._xray = np.mean([case.example.xray for case in training], axis=0)
        points = np.stack([case.example.points for case in training])
        known = np.isfinite(points)
        self._points = np.where(
            known.any(axis=0), np.where(known, points, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
        )

    def answer(self, case: Case) -> Answer:
        return Answer(self._xray, self._points)


class NearestSurface:
    """X-ray and landmarks of the training CT whose surface image is most alike; a landmark it lacks has its mean place."""

    name = "nearest"

    def __init__(self, training: Sequence[Case]) -> None:
        self._training = training
        self._mean = MeanImage(training)

    def answer(self, case: Case) -> Answer:
        own = case.example.surface.array
        distances = [float(np.mean(np.square(other.example.surface.array - own))) for other in self._training]
        nearest = self._training[int(np.argmin(distances))].example
        points = np.where(np.isfinite(nearest.points), nearest.points, self._mean.answer(case).points)
        return Answer(nearest.xray, points)
