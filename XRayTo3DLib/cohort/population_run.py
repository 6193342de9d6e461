"""A population from a folder of CTs: register every one, refuse bad registrations, fit, measure, and sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.cohort.case import CaseResult, fingerprint
from XRayTo3DLib.cohort.population import (
    REGISTRATIONS,
    checked_subject,
    file_digest,
    load_atlas,
    make_sample,
    read_ids,
    register_subject,
    registration_case,
)
from XRayTo3DLib.cohort.runner import run_cases
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name
from XRayTo3DLib.files import writing
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.report.page import check_report_packages
from XRayTo3DLib.report.population import RegisteredCT, write_contact_sheet, write_population_report
from XRayTo3DLib.simulation.population.model import Subject, fit_population, measure_population, write_population
from XRayTo3DLib.simulation.population.registration import Registration
from XRayTo3DLib.simulation.population.sampling import SampleSettings

#: What a run writes beside its registrations and samples.
POPULATION, RECORD = "population.npz", "population.json"
REPORT, SHEET = "population.html", "registrations.png"


@dataclass(frozen=True)
class SourceCT:
    """A CT of the folder, and its label file if it has one."""

    ct: Path
    labels: Path | None

    @property
    def name(self) -> str:
        return case_name(self.ct)


@dataclass(frozen=True)
class Workers:
    """Processes of this machine, or the address of a Dask scheduler."""

    count: int = 1
    scheduler: str | None = None


def choose_atlas(sources: Sequence[SourceCT], groups: Mapping[str, tuple[int, ...]], name: str | None = None) -> SourceCT:
    """The labelled CT called ``name``, or the one that has most of the organs, and among those most labelled mL.

    Raises :class:`InputError` where there is none.
    """
    labelled = [one for one in sources if one.labels is not None and name in (None, one.name)]
    if not labelled:
        raise InputError(
            "No CT of the folder has labels: put NAME.labels.nii.gz beside NAME.nii.gz."
            if name is None
            else f"There is no labelled CT called {name!r} in the folder: name another --atlas."
        )

    def richness(one: SourceCT) -> tuple[int, float]:
        labels = read_ids(one.labels, dict(groups))  # type: ignore[arg-type]
        present = np.unique(labels.array)
        organs = sum(bool(set(ids) & set(present.tolist())) for ids in groups.values())
        return organs, float((labels.array > 0).sum() * labels.grid.voxel_volume)

    return labelled[0] if len(labelled) == 1 else max(labelled, key=richness)


def register_all(
    sources: Sequence[SourceCT],
    atlas: SourceCT,
    groups: Mapping[str, tuple[int, ...]],
    folder: Path,
    workers: Workers,
    progress: Progress = silent,
) -> tuple[CaseResult, ...]:
    """Register every CT to the atlas, the atlas itself left out; files and records in ``folder``."""
    assert atlas.labels is not None
    cases = {
        one.name: registration_case(one.ct, one.labels, atlas.ct, atlas.labels, dict(groups))
        for one in sources
        if one.name != atlas.name
    }
    return run_cases(register_subject, cases, folder, workers.count, workers.scheduler, progress)


def fit_all(
    sources: Sequence[SourceCT],
    atlas: SourceCT,
    groups: Mapping[str, tuple[int, ...]],
    folder: Path,
    registrations: Path,
    failed: Sequence[CaseResult] = (),
    landmarks: Mapping[str, np.ndarray] | None = None,
    modes: int = 8,
    leave_out: Sequence[str] = (),
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Check the registrations, fit the population without those that fail the rule or are left out, measure it, and write
    ``population.npz``, ``population.json``, ``registrations.png`` and, with the packages of the demo, ``population.html``; returns
    sentences of what is not used. What an earlier run wrote from
    the same files is kept.
    """
    files = {one.name: registrations / REGISTRATIONS / f"{one.name}.npz" for one in sources if one.name != atlas.name}
    files = {name: path for name, path in files.items() if path.is_file()}
    points = {name: np.round(np.asarray(point), 3).tolist() for name, point in (landmarks or {}).items()}
    made_from = fingerprint(
        [{name: file_digest(path) for name, path in files.items()}, file_digest(atlas.ct), groups, points, modes, sorted(leave_out)]
    )
    record = folder / RECORD
    if record.is_file() and (folder / POPULATION).is_file():
        told = json.loads(record.read_text(encoding="utf-8"))
        if told.get("made_from") == made_from and told.get("population") == file_digest(folder / POPULATION):
            return tuple(told["notes"])
    loaded, fixed = load_atlas(atlas.ct, atlas.labels, dict(groups))  # type: ignore[arg-type]
    loaded.landmarks.update({name: np.array(point) for name, point in points.items()})
    subjects: list[Subject] = []
    rows = [RegisteredCT(one.name, None, None, one.reason) for one in failed if one.state == "failed"]
    for number, one in enumerate(one for one in sources if one.name in files):
        progress(0.6 * number / len(files), f"checking {one.name}")
        subject, check = checked_subject(one.name, Registration.read(files[one.name]), one.ct, one.labels, loaded, fixed)
        rows.append(RegisteredCT(one.name, check, subject.texture, "left out as asked" if one.name in leave_out else ""))
        if check.accepted and one.name not in leave_out:
            subjects.append(subject)
    progress(0.6, "fitting")
    population = fit_population(loaded, fixed, subjects, modes)
    progress(0.7, "leaving one subject out at a time")
    quality = measure_population(loaded, fixed, subjects, modes)
    write_population(population, folder / POPULATION)
    write_contact_sheet(folder / SHEET, population, rows)
    notes = [f"{row.name} is not used: {row.why}." for row in rows if row.why]
    try:
        check_report_packages()
        write_population_report(folder / REPORT, population, rows, quality)
    except InputError as error:
        notes.append(f"{REPORT} was not written. {error}")
    told = {
        "made_from": made_from,
        "population": file_digest(folder / POPULATION),
        "atlas": atlas.name,
        "subjects": list(population.subjects),
        "textures": [one.name for one in population.textures],
        "registrations": {row.name: row.figures for row in rows},
        "quality": asdict(quality),
        "notes": notes,
    }
    with writing(record) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return tuple(notes)


def sample_all(
    population: Path,
    count: int,
    folder: Path,
    seed: int = 0,
    settings: SampleSettings | None = None,
    views: Sequence[str] = (),
    workers: Workers | None = None,
    prefix: str = "sample",
    progress: Progress = silent,
) -> tuple[CaseResult, ...]:
    """Draw ``count`` samples of a population's file into ``folder``: sample 7 of a seed is the same whatever the count."""
    digest, used = file_digest(population), workers or Workers()
    cases = {
        f"{prefix}_{number:05d}": {
            "population": str(population.resolve()),
            "digest": digest,
            "name": f"{prefix}_{number:05d}",
            "seed": seed,
            "number": number,
            "settings": asdict(settings or SampleSettings()),
            "views": list(views),
        }
        for number in range(count)
    }
    return run_cases(make_sample, cases, folder, used.count, used.scheduler, progress)
