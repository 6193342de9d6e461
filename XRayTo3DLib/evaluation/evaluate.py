"""The evaluation: the same cases, X-rays and metrics for every method, so that figures stay comparable.

:mod:`.protocol` says what a case and a setting are, :mod:`.cases` reads the CTs, :mod:`.xrays` makes what a method is given,
:mod:`.systems` holds the methods, :mod:`.figures` measures, :mod:`.table` writes.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import Case, case_name, case_names, ct_files, read_case
from XRayTo3DLib.evaluation.figures import ceiling_figures, reprojection_figure, volume_figures
from XRayTo3DLib.evaluation.protocol import PROTOCOLS, SETTINGS, in_words
from XRayTo3DLib.evaluation.systems import ModelSystem, System, baselines, read_training
from XRayTo3DLib.evaluation.table import summarise
from XRayTo3DLib.evaluation.xrays import Xrays
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel, find_models, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.methods.baselines import Mean, Nearest, Oracle

#: Methods that are no models; ``ceiling`` is measured in every evaluation.
BASELINES = (Mean.name, Nearest.name, Oracle.name)
#: As a method: every model of the task ``volume`` that is found, and every baseline.
ALL = "all"

Method = str | Path | LoadedModel


def evaluate(
    methods: Method | Sequence[Method] | None,
    data: Path | Sequence[Path],
    training: Path | Sequence[Path] | None = None,
    settings: Sequence[str] | None = None,
    limit: int | None = None,
    beta: float = BETA,
    progress: Progress = silent,
    protocol: str = "standard",
) -> dict[str, Any]:
    """Measure methods on every CT of ``data`` by the protocol.

    - ``methods``: models (a name, a path, loaded), baselines (:data:`BASELINES`) or ``"all"``; one model, or ``None`` for the
      bundled one, is measured beside the baselines;
    - ``data``, ``training``: CT files or folders; the training CTs make the baselines, and those that are cases too are left out;
    - ``settings``: of :data:`.protocol.SETTINGS`, all by default; ``limit``: only the first cases;
    - ``protocol``: ``"standard"`` or another of :data:`.protocol.PROTOCOLS`.

    Returns a dictionary of what JSON knows: ``protocol`` (in words), ``models``, ``cases`` (a row a case, setting and method),
    ``summary[setting][method]``, and ``refused`` (what a method did not take, and why). Raises :class:`InputError` before the work
    for what cannot be, and when no method answered at all.
    """
    wanted = list(settings or SETTINGS)
    unknown = [s for s in wanted if s not in SETTINGS]
    if unknown:
        raise InputError(f"The setting {unknown[0]!r} is not known: use one of {', '.join(SETTINGS)}.")
    if protocol not in PROTOCOLS:
        raise InputError(f"The protocol {protocol!r} is not known: use one of {', '.join(PROTOCOLS)}.")
    measured_on = PROTOCOLS[protocol]
    models, names, refused = _methods(methods, training is not None)
    files = ct_files(data)[:limit]
    trained: tuple[list[str], list[Volume]] = [], []
    if training is not None:
        trained = read_training(_others(ct_files(training), files), measured_on, part(progress, 0.0, 0.1))
    systems: list[System] = [*models, *baselines(names, trained[1])]
    rows: list[dict[str, Any]] = []
    titles = case_names(files)
    for index, (path, title) in enumerate(zip(files, titles, strict=True)):
        case = read_case(path, measured_on, title)
        share = part(progress, 0.1 + 0.9 * index / len(files), 0.1 + 0.9 * (index + 1) / len(files))
        rows += _measure(case, wanted, systems, beta, refused, share)
    if refused and not any(row["method"] != "ceiling" for row in rows):
        raise InputError(refused[0]["reason"])
    progress(1.0, "evaluation done")
    return {
        "protocol": in_words(measured_on),
        "models": [_model(system) for system in models],
        "fusion_beta": beta,
        "baselines": trained[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "refused": refused,
        "cases": rows,
        "summary": summarise(rows),
    }


def _measure(
    case: Case,
    settings: Sequence[str],
    systems: Sequence[System],
    beta: float,
    refused: list[dict[str, str]],
    progress: Progress,
) -> list[dict[str, Any]]:
    """The rows of one case; what a system refuses is added to ``refused``."""
    rows = []
    xrays = Xrays(case)
    ceiling = ceiling_figures(case)
    # A volume that does not depend on the X-rays is measured once.
    known: dict[int, dict[str, Any]] = {}

    def measured(volume: Volume) -> dict[str, Any]:
        digest = hash(np.ascontiguousarray(volume.array).tobytes())
        if digest not in known:
            known[digest] = volume_figures(case, volume)
        return known[digest]

    for number, setting in enumerate(settings):
        progress(number / len(settings), f"{case.name} {setting}")
        radiographs = xrays.of(setting)
        first = {"case": case.name, "setting": setting, "geometry": "known" if SETTINGS[setting].known else "unknown"}
        for system in systems:
            try:
                answers = system.answers(case, setting, radiographs, beta)
            except InputError as error:
                refused.append({"case": case.name, "setting": setting, "method": system.name, "reason": str(error)})
                continue
            for answer in answers:
                rows.append(
                    {
                        **first,
                        "method": answer.method,
                        **measured(answer.volume),
                        "reprojection": reprojection_figure(answer.volume, radiographs),
                        "seconds": answer.seconds,
                    }
                )
        own = reprojection_figure(case.truth, radiographs)
        undefined = {**ceiling["undefined"], "seconds": "nothing was computed"}
        rows.append({**first, "method": "ceiling", **ceiling, "reprojection": own, "seconds": None, "undefined": undefined})
    return rows


def _methods(
    methods: Method | Sequence[Method] | None, with_training: bool
) -> tuple[list[ModelSystem], list[str], list[dict[str, str]]]:
    """The models loaded, under names of their own, the baselines' names, and the models that could not be loaded for ``all``."""
    every_baseline = BASELINES if with_training else BASELINES[:1]
    if methods is None or isinstance(methods, (str, Path, LoadedModel)):
        # One model, or the bundled one, beside the baselines.
        listed: list[Method | None] = [methods, *every_baseline] if methods not in BASELINES else [methods]
    else:
        listed = list(methods)
    refused: list[dict[str, str]] = []
    loaded: list[LoadedModel] = []
    names: list[str] = []
    for method in listed:
        if isinstance(method, str) and method in BASELINES:
            names.append(method)
        elif method == ALL:
            names += every_baseline
            for file in find_models():
                if file.card["task"] != "volume":
                    continue
                try:
                    loaded.append(load_model(file.path, "volume"))
                except InputError as error:
                    refused.append({"case": "all", "setting": "all", "method": file.name, "reason": str(error)})
        else:
            loaded.append(method if isinstance(method, LoadedModel) else load_model(method, "volume"))
    distinct = list({model.file.sha256: model for model in loaded}.values())
    called = [model.file.name for model in distinct]
    titles = [
        name if called.count(name) == 1 and name not in (*BASELINES, "ceiling") else f"{name}_{model.file.sha256[:8]}"
        for name, model in zip(called, distinct, strict=True)
    ]
    return [ModelSystem(t, m) for t, m in zip(titles, distinct, strict=True)], list(dict.fromkeys(names)), refused


def _others(training: Sequence[Path], cases: Sequence[Path]) -> list[Path]:
    """The training CTs that are no cases: neither the same file nor of the same name."""
    files, names = {p.resolve() for p in cases}, {case_name(p) for p in cases}
    others = [p for p in training if p.resolve() not in files and case_name(p) not in names]
    if not others:
        raise InputError("Every training CT is also a test case: name a folder of other CTs for the baselines.")
    return others


def _model(system: ModelSystem) -> dict[str, Any]:
    file = system.model.file
    return {"method": system.name, "name": file.name, "version": file.card["version"], "sha256": file.sha256}
