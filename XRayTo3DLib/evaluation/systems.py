"""What stands in a row of the table: models of any interface and baselines, each alone and after the same fusion."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import Case, case_names, read_case
from XRayTo3DLib.evaluation.protocol import Protocol as EvaluationProtocol
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.pixel_matching import coarse
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.methods.base import Method
from XRayTo3DLib.reconstruction.methods.baselines import Mean, Nearest, Oracle
from XRayTo3DLib.reconstruction.methods.registry import method_for
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.reconstruction.refine import refine


@dataclass(frozen=True, eq=False)
class Answer:
    """A volume in HU on the case's grid, and the seconds that it took."""

    method: str
    volume: Volume
    seconds: float


class System(Protocol):
    """One more system is one more of these."""

    @property
    def name(self) -> str:
        """What its rows are called."""

    def answers(self, case: Case, setting: str, radiographs: Sequence[Radiograph], beta: float) -> list[Answer]:
        """The answer alone and fused (``<name>_fused``); :class:`InputError` when the system does not take these X-rays."""


@dataclass(frozen=True, eq=False)
class ModelSystem:
    """A model of the task ``volume`` in the library's own pipeline."""

    name: str
    model: LoadedModel

    def answers(self, case: Case, setting: str, radiographs: Sequence[Radiograph], beta: float) -> list[Answer]:
        grid = case.truth.grid
        coarser = halved(grid) if self._takes(radiographs, halved(grid)) and not self._takes(radiographs, grid) else grid
        found = reconstruct(radiographs, self.model, coarser, beta=beta, check_views=False)
        seconds = found.seconds
        if coarser is not grid:
            started = time.monotonic()
            found = refine(found, radiographs, grid.spacing[0], beta)
            seconds += time.monotonic() - started
        return [
            Answer(self.name, Volume(to_hu(found.before_fusion).array, grid), found.model_seconds),
            Answer(f"{self.name}_fused", Volume(to_hu(found.volume).array, grid), seconds),
        ]

    def _takes(self, radiographs: Sequence[Radiograph], grid: Grid) -> bool:
        try:
            method_for(self.model.file.card).check(self.model, radiographs, grid)
        except InputError:
            return False
        return True


def halved(grid: Grid) -> Grid:
    """Half as many voxels of twice the size in the same place."""
    return Grid.centred(grid.centre, tuple(n // 2 for n in grid.size), tuple(2 * s for s in grid.spacing))


@dataclass(frozen=True, eq=False)
class BaselineSystem:
    """A baseline, made for a case (the oracle is told its truth), in the same fusion as a model."""

    name: str
    made_for: Callable[[Case], Method]

    def answers(self, case: Case, setting: str, radiographs: Sequence[Radiograph], beta: float) -> list[Answer]:
        started = time.monotonic()
        grid = case.truth.grid
        used = coarse(radiographs, grid)
        method = self.made_for(case)
        method.check(None, used, grid)
        volume = method.run(None, used, grid, silent).mean
        alone = time.monotonic() - started
        fused = fuse(volume, used, beta).volume
        return [
            Answer(self.name, to_hu(volume), alone),
            Answer(f"{self.name}_fused", to_hu(fused), time.monotonic() - started),
        ]


def read_training(
    paths: Sequence[Path], protocol: EvaluationProtocol, progress: Progress = silent
) -> tuple[list[str], list[Volume]]:
    """The names of training CTs, and each on the protocol's grid (HU)."""
    names = case_names(paths)
    volumes = []
    for index, (path, name) in enumerate(zip(paths, names, strict=True)):
        progress(index / len(paths), f"training CT {name}")
        volumes.append(read_case(path, protocol).truth)
    return names, volumes


def baselines(names: Sequence[str], training: Sequence[Volume]) -> list[BaselineSystem]:
    """The baselines named; :class:`InputError` for one that needs training CTs where there are none."""
    found = []
    for name in names:
        if name != Mean.name and not training:
            raise InputError(f"The method {name} is chosen among training CTs: name a folder of them (--training).")
        if name == Oracle.name:
            found.append(BaselineSystem(name, lambda case: Oracle(training, case.truth)))
        else:
            method: Method = Mean(training) if name == Mean.name else Nearest(training)
            found.append(BaselineSystem(name, lambda case, method=method: method))  # type: ignore[misc]
    return found
