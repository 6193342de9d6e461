"""The evaluation of organ shapes: the same cases, X-rays, masks and figures for every system and baseline.

:mod:`.cases` says what a case is, :mod:`.xrays` what a method is given, :mod:`.baselines` holds what a system must beat,
:mod:`.figures` measures, :mod:`.table` writes.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name, case_names, ct_files
from XRayTo3DLib.evaluation.shapes import baselines
from XRayTo3DLib.evaluation.shapes.baselines import MEANS, NEAREST, MeanShape, Trained, bundled_means, mean_shape
from XRayTo3DLib.evaluation.shapes.cases import ShapeCase, labelled, patients_of, read_scan, scheme_of
from XRayTo3DLib.evaluation.shapes.figures import ShapeAnswer, shape_figures
from XRayTo3DLib.evaluation.shapes.table import summarise
from XRayTo3DLib.evaluation.shapes.xrays import BEAMS, SETTINGS, Given, ShapeXrays, in_words, known_setting
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample, resample_mask
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.base import OrganShape, ShapeSystem, organs_of
from XRayTo3DLib.shapes.methods.segmented import Segmentation
from XRayTo3DLib.shapes.organs import ORGANS, find_organ
from XRayTo3DLib.shapes.registry import models_for

#: The method that a user gets who names none.
OURS, CEILING = "ours", "ceiling"
#: Methods that are no models; the last needs training CTs.
BASELINES = (*MEANS, NEAREST)
ALL = "all"
#: Lungs as the reconstruction shows them.
SEGMENTATION = "segmentation"

Method = str | Path | LoadedModel | ShapeSystem
#: An organ smaller than this share of the mean is a part of one.
_LEAST = 0.25


@dataclass
class _Run:
    """What an evaluation has gathered so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)


def evaluate_shapes(
    data: Path,
    organs: Sequence[str] | None = None,
    labels: str | None = None,
    methods: Sequence[Method] | None = None,
    training: Path | None = None,
    settings: Sequence[str] | None = None,
    limit: int | None = None,
    beam: str = "cone",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure organ shapes on every labelled CT of ``data``.

    - ``data``: a labelled CT (HU) or a folder of them, NAME.labels.nii.gz beside NAME.nii.gz;
    - ``organs``: names; all that the label scheme names by default; ``labels``: the scheme, ``"head_neck"``,
      ``"totalsegmentator"`` or a JSON file, where the folder has no labels.json of its own;
    - ``methods``: ``ours``, ``all`` (every model that is found), a model (a name, a file, loaded), a system without one, or
      a baseline; by default all of these that there are;
    - ``training``: labelled CTs for the baselines; a CT of the case's own patient (the same name or file, or the same patient in
      patients.csv) is left out for it, so that the folder of the cases itself gives leave-one-patient-out. Without it the bundled
      mean shapes are taken, and there is no nearest;
    - ``settings``: of :data:`.xrays.SETTINGS`; ``limit``: only the first CTs; ``beam``: one of :data:`.xrays.BEAMS`.

    Returns a dictionary of what JSON knows: ``protocol`` (in words), ``models``, ``cases`` (a row a case, organ, setting and
    method), ``summary[setting][organ][method]``, ``left_out``, ``refused`` (both with reasons) and ``seen`` (cases that a
    baseline was made of). Raises :class:`InputError` before the work for what cannot be, and when no organ could be measured.
    """
    wanted = [known_setting(name).name for name in settings or SETTINGS]
    if beam not in BEAMS:
        raise InputError(f"The beam {beam!r} is not known: use one of {', '.join(BEAMS)}.")
    scheme = scheme_of(data, labels)
    names = [find_organ(name).name for name in organs] if organs else _organs_in(scheme)
    models, kept, others = _methods(methods, names, training is not None)
    files = labelled(ct_files(data))[:limit]
    titles = case_names(files)
    trained: dict[str, list[Trained]] = {name: [] for name in names}
    if training is not None:
        needed = wanted if NEAREST in kept else []
        trained = _trained(training, names, labels, needed, beam, part(progress, 0.0, 0.4))
    own = {case_name(path): patient for path, patient in _patients(data, files).items()}
    bundled = {} if training is not None else bundled_means()
    run = _Run()
    means: dict[tuple[str, tuple[str, ...]], MeanShape] = {}
    for index, (path, title) in enumerate(zip(files, titles, strict=True)):
        share = part(progress, 0.4 + 0.6 * index / len(files), 0.4 + 0.6 * (index + 1) / len(files))
        share(0.0, title)
        scan = read_scan(path, scheme, title)
        made: dict[tuple[float, ...], dict[str, Radiograph]] = {}  # organs in one field share its X-rays
        for number, organ in enumerate(names):
            share(number / len(names), f"{title} {organ}")
            case = scan.case(organ)
            if isinstance(case, str):
                run.left_out.append({"case": title, "organ": organ, "reason": case})
                continue
            others_patients = [t for t in trained[organ] if not _same_patient(t, path, own)]
            mean = bundled.get(organ)
            if others_patients:
                key = organ, tuple(t.case.name for t in others_patients)
                if key not in means:
                    means[key] = mean_shape([t.case for t in others_patients])
                mean = means[key]
            if mean is not None and case.volume_ml < _LEAST * mean.volume_ml:
                run.left_out.append({"case": title, "organ": organ, "reason": "smaller than a quarter of the mean"})
                continue
            if mean is not None and training is None and case_name(path) in mean.subjects:
                run.seen.setdefault(f"the bundled mean of {organ}", []).append(title)
            assert case.ct is not None
            xrays = ShapeXrays(case, beam, made.setdefault(case.ct.grid.origin, {}))
            _measure(case, xrays, wanted, models, kept, mean, others_patients, run)
    if not run.rows:
        reasons = sorted({entry["reason"] for entry in run.left_out + run.refused})
        raise InputError(f"No organ could be measured ({'; '.join(reasons)[:300]}): give CTs with whole organs, or other organs.")
    progress(1.0, "evaluation of shapes done")
    return {
        "protocol": in_words(beam, names),
        "labels": {name: list(ids) for name, ids in scheme.items() if name in names},
        "models": [_about(name, model) for name, model in models.items()] + others,
        "training": {organ: [t.case.name for t in found] for organ, found in trained.items() if found},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "left_out": run.left_out,
        "refused": run.refused,
        "seen": run.seen,
        "cases": run.rows,
        "summary": summarise(run.rows),
    }


def _measure(
    case: ShapeCase,
    xrays: ShapeXrays,
    settings: Sequence[str],
    models: dict[str, LoadedModel | ShapeSystem | None],
    kept: Sequence[str],
    mean: MeanShape | None,
    trained: Sequence[Trained],
    run: _Run,
) -> None:
    """The rows of one case."""
    known: dict[str, dict[str, Any]] = {}
    for setting in settings:
        given = xrays.of(setting)
        first = {"case": case.name, "organ": case.organ, "setting": setting}

        def add(answer: ShapeAnswer, method: str, model: str | None = None, first: dict[str, str] = first) -> None:
            figures = shape_figures(case.truth, case.grid, answer, case.organ)
            run.rows.append({**first, "method": method, "model": model, **figures})

        answered: dict[str, tuple[ShapeAnswer, OrganShape]] = {}
        grid = case.field
        for method, model in models.items():
            knows = organs_of(model) if isinstance(model, LoadedModel) else getattr(model, "organs", [case.organ])
            if case.organ not in knows:
                continue
            try:
                found = _answer(case, given, method, model, answered)
            except InputError as error:
                run.refused.append({**first, "method": method, "reason": str(error)})
                continue
            add(found[0], method, found[1].model)
            if method == OURS:
                grid = found[1].estimate.probability.grid
        for how in MEANS:
            if how in kept and mean is not None:
                if how not in known:  # it does not depend on the setting
                    known[how] = shape_figures(case.truth, case.grid, mean.answer(how, case), case.organ)
                run.rows.append({**first, "method": how, "model": None, **known[how]})
        if NEAREST in kept and trained:
            add(baselines.nearest(trained, case, setting, given), NEAREST)
        add(_ceiling(case, grid), CEILING)


def _answer(
    case: ShapeCase,
    given: Given,
    method: str,
    model: LoadedModel | ShapeSystem | None,
    answered: dict[str, tuple[ShapeAnswer, OrganShape]],
) -> tuple[ShapeAnswer, OrganShape]:
    """What a model, or the default, gives for a case; one model is asked once a setting, whatever it is called."""
    key = "" if model is None else model.file.sha256 if isinstance(model, LoadedModel) else model.name
    if key not in answered:
        started = time.monotonic()
        shape = organ_shape(given.radiographs, case.organ, given.masks, model, check_scope=False)
        seconds = time.monotonic() - started
        mask = resample_mask(shape.labelmap.array > 0, shape.labelmap.grid, case.grid)
        answer = ShapeAnswer(method, mask, shape.volume_ml, shape.interval_ml, seconds)
        answered[key] = answered[shape.sha256 or key] = answer, shape
    return answered[key]


def _ceiling(case: ShapeCase, grid: Grid) -> ShapeAnswer:
    """The truth on the voxels of an answer and back: what these voxels themselves cost."""
    coarse = resample(Volume(case.truth.astype(np.float32), case.grid, "1"), grid, smooth=True)
    mask = resample(Volume(np.pad(coarse.array, 1), coarse.grid.padded(1), "1"), case.grid).array >= 0.5
    return ShapeAnswer(CEILING, mask, float(np.count_nonzero(mask)) * case.grid.voxel_volume / 1000)


def _organs_in(scheme: Any) -> list[str]:
    """The organs that a scheme names, or names the parts of."""
    return [name for name, organ in ORGANS.items() if name in scheme or (organ.parts and set(organ.parts) <= set(scheme))]


def _methods(
    methods: Sequence[Method] | None, organs: Sequence[str], with_training: bool
) -> tuple[dict[str, LoadedModel | ShapeSystem | None], list[str], list[dict[str, str]]]:
    """Models by the names of their rows (``None`` is the default), the baselines, and models that could not be loaded."""
    every = BASELINES if with_training else MEANS
    listed = list(methods) if methods else [OURS, ALL, SEGMENTATION, *every]
    models: dict[str, LoadedModel | ShapeSystem | None] = {}
    kept: list[str] = []
    broken: list[dict[str, str]] = []
    for method in listed:
        if not isinstance(method, (str, Path)):
            models[method.file.name if isinstance(method, LoadedModel) else method.name] = method
        elif method == OURS:
            models[OURS] = None
        elif method == ALL:
            for file in {f.path: f for organ in organs for f in models_for(organ)}.values():
                try:
                    models[file.name] = load_model(file.path)
                except InputError as error:
                    broken.append({"method": file.name, "name": file.name, "version": "", "sha256": "", "reason": str(error)})
        elif method == SEGMENTATION:
            models[SEGMENTATION] = Segmentation()
        elif method in BASELINES:
            if method == NEAREST and not with_training:
                raise InputError("The method nearest is chosen among training CTs: name a folder of them (--training).")
            kept.append(str(method))
        elif method != CEILING:
            model = load_model(method)
            models[model.file.name] = model
    return models, kept, broken


def _about(name: str, model: LoadedModel | ShapeSystem | None) -> dict[str, str]:
    if not isinstance(model, LoadedModel):
        what = "the default of each organ" if model is None else model.name
        return {"method": name, "name": what, "version": "", "sha256": ""}
    return {"method": name, "name": model.file.name, "version": str(model.file.card["version"]), "sha256": model.file.sha256}


def _patients(data: Path, files: Sequence[Path]) -> dict[Path, str]:
    known = patients_of(data)
    return {path: known[case_name(path)] for path in files if case_name(path) in known}


def _same_patient(trained: Trained, path: Path, own: dict[str, str]) -> bool:
    """Whether a training CT may be of the case's own patient."""
    name = case_name(path)
    return trained.name == name or trained.path == path.resolve() or (name in own and own[name] == trained.patient)


def _trained(
    folder: Path, organs: Sequence[str], labels: str | None, settings: Sequence[str], beam: str, progress: Progress
) -> dict[str, list[Trained]]:
    """The organs of the training CTs, with what each setting would give of them."""
    files, scheme, patients = labelled(ct_files(folder)), scheme_of(folder, labels), patients_of(folder)
    found: dict[str, list[Trained]] = {organ: [] for organ in organs}
    for index, (path, title) in enumerate(zip(files, case_names(files), strict=True)):
        progress(index / len(files), f"training CT {title}")
        scan = read_scan(path, scheme, title)
        for organ in organs:
            case = scan.case(organ)
            if isinstance(case, str):
                continue
            xrays = ShapeXrays(case, beam)
            given = {setting: xrays.of(setting) for setting in settings}
            name = case_name(path)
            found[organ].append(Trained(replace(case, ct=None), given, name, path.resolve(), patients.get(name, "")))
    if not any(found.values()):
        raise InputError(f"{folder} holds no whole organ of {', '.join(organs)}: name a folder of other labelled CTs.")
    return found
