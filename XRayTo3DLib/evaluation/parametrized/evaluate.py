"""Parametrized X-rays measured on a folder of CTs: every method, every use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.parametrized.augmentation import augmentation_table
from XRayTo3DLib.evaluation.parametrized.cases import Answer, Case, MeanImage, NearestSurface, read_cases
from XRayTo3DLib.evaluation.parametrized.figures import drag_figures, image_figures, marker_figures
from XRayTo3DLib.evaluation.parametrized.uses import anomaly_rows, completion_rows
from XRayTo3DLib.evaluation.similarity import roc_auc
from XRayTo3DLib.models.zoo import find_models
from XRayTo3DLib.parametrized.answer import fits, networks_for
from XRayTo3DLib.parametrized.loop import MOST_ROUNDS, MarkersAndImage, State, settle, start
from XRayTo3DLib.parametrized.networks import IMAGE, Networks
from XRayTo3DLib.parametrized.regions import Region, find_region
from XRayTo3DLib.progress import Progress, part, silent

OURS = "ours"
#: Figures of a row that are averaged.
FIGURES = ("mae", "mae_body", "ms_ssim", "marker_mm")


def evaluate_parametrized(
    data: Path | Sequence[Path],
    region: str = "head_neck",
    view: str = "AP",
    training: Path | None = None,
    models: Sequence[str] = (),
    marker: str | None = None,
    scheme: str | None = None,
    limit: int | None = None,
    progress: Progress = silent,
    networks: MarkersAndImage | None = None,
) -> dict[str, Any]:
    """Measure the region's networks and the baselines on the CTs of ``data``; the result is what ``parametrized.json`` holds.

    - ``training``: a folder of CTs for the methods ``mean`` and ``nearest`` and for the experiment with training images; without it
      they are left out;
    - ``models``: image networks (names or files) that are measured too; by default all that are found for region and view;
    - ``marker``: the marker network; with ``models`` it and the first of them are the pair "ours" in place of the bundled one;
    - ``scheme``: what label files mean; ``networks``: those to use instead of the bundled ones.

    Raises :class:`InputError` when no CT can be measured or no network is there.
    """
    found = find_region(region)
    word = found.view_word(view)
    if word not in found.frame.range:
        raise InputError(f"The region {found.name} has no range for the view {view}: use one of {', '.join(found.views)}.")
    named = str(models[0]) if marker and models else None
    ours = networks_for(found, word, marker, named) if networks is None else networks
    others = {} if networks is not None else _others(found, word, ours, models, marker)
    cases, left_out = read_cases(data, found, word, scheme, limit, part(progress, 0.0, 0.2))
    known = [] if training is None else read_cases(training, found, word, scheme, None, part(progress, 0.2, 0.4))[0]
    baselines: list[MeanImage | NearestSurface] = [MeanImage(known), NearestSurface(known)] if known else []
    results: dict[str, Any] = {
        "region": found.name,
        "view": word,
        "landmarks": list(found.names),
        "range": found.frame.range[word],
        "size": list(found.frame.size),
        "spacing_mm": found.frame.spacing_mm,
        "most_rounds": MOST_ROUNDS,
        "training": str(training) if training else None,
        "networks": {OURS: [ours.marker.file.name, ours.image.file.name]} if isinstance(ours, Networks) else {},
        "left_out": left_out,
        "cases": [],
        "drags": [],
        "completion": {"cases": []},
        "anomaly": {"cases": []},
    }
    states: list[State] = []
    for number, case in enumerate(cases):
        progress(0.4 + 0.4 * number / len(cases), f"Measuring {case.name}")
        states.append(_measure(case, found, ours, others, baselines, results, number))
    results["summary"] = _summary(results["cases"])
    results |= _drag_summary(results["drags"])
    results["completion"]["summary"] = _by(results["completion"]["cases"], "shown")
    results["anomaly"]["summary"] = _by(results["anomaly"]["cases"], "kind")
    results["augmentation"] = augmentation_table(ours, found, known, cases, progress=part(progress, 0.8, 1.0))
    return results | {"states": states, "examples": [case.example for case in cases]}


def _others(region: Region, view: str, ours: Any, models: Sequence[str], marker: str | None) -> dict[str, Networks]:
    """Every other image network of the region and view, each with the marker network of ours."""
    paths = list(models) or [str(one.path) for one in find_models() if fits(one, "xray", IMAGE, region, view)]
    found: dict[str, Networks] = {}
    for path in paths:
        pair = networks_for(region, view, marker or str(ours.marker.file.path), path)
        name = pair.image.file.name
        found.setdefault(name if name not in found else path, pair)
    return found


def _measure(
    case: Case,
    region: Region,
    ours: MarkersAndImage,
    others: dict[str, Networks],
    baselines: Sequence[MeanImage | NearestSurface],
    results: dict[str, Any],
    number: int,
) -> State:
    """Add the rows of one case; returns the settled state of ours."""
    range_ = results["range"]
    surface = case.example.surface
    first = settle(ours, start(ours, region, surface))
    answers: list[tuple[str, Answer, State | None]] = [(OURS, Answer(first.xray, first.points), first)]
    for name, pair in others.items():
        state = settle(pair, start(pair, region, surface))
        answers.append((name, Answer(state.xray, state.points), state))
    answers += [(method.name, method.answer(case), None) for method in baselines]
    for name, answer, settled in answers:
        mean, each = marker_figures(case, answer.points, region.names)
        results["cases"].append(
            {
                "case": case.name,
                "method": name,
                **image_figures(case.example.xray, answer.xray, surface.silhouette, range_),
                "marker_mm": mean,
                "markers": each,
                "rounds": settled.rounds if settled else None,
                "converged": settled.converged if settled else None,
            }
        )
    results["drags"] += [{"case": case.name, **row} for row in drag_figures(ours, first, range_)]
    results["completion"]["cases"] += completion_rows(ours, case, first, range_, region.names)
    results["anomaly"]["cases"] += anomaly_rows(ours, case, first, range_, number)
    return first


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """``summary[method]``: means over the cases; of ``markers`` by name, of ``rounds``, and the share that ``converged``."""
    summary: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        found: dict[str, Any] = {"cases": len(own)} | {figure: _mean([row[figure] for row in own]) for figure in FIGURES}
        found["markers"] = {name: _mean([row["markers"][name] for row in own]) for name in own[0]["markers"]}
        found["markers_cases"] = {name: sum(row["markers"][name] is not None for row in own) for name in own[0]["markers"]}
        found["rounds"] = _mean([row["rounds"] for row in own])
        found["converged"] = _mean([None if row["converged"] is None else float(row["converged"]) for row in own])
        summary[method] = found
    return summary


def _drag_summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``drag_mm_off`` and its kin: the mean over all drags of all cases."""
    names = ("mm_off", "found_mm_off", "image_mm", "far_change", "return_mae", "rounds")
    found: dict[str, Any] = {f"drag_{name}": _mean([row[name] for row in rows]) for name in names}
    found["drag_converged"] = _mean([float(row["converged"]) for row in rows])
    marks = dict.fromkeys(row["marker"] for row in rows)
    found["drag_by_marker"] = {}
    for mark in marks:
        own = [row for row in rows if row["marker"] == mark]
        found["drag_by_marker"][mark] = {"drags": len(own), **{name: _mean([row[name] for row in own]) for name in names}}
    return found


def _by(rows: Sequence[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """The mean of every number, for each value of ``key``."""
    found: dict[str, dict[str, Any]] = {}
    for value in dict.fromkeys(row[key] for row in rows):
        own = [row for row in rows if row[key] == value]
        names = [name for name in own[0] if name not in ("case", key)]
        found[value] = {"cases": len(own)} | {name: _mean([row[name] for row in own]) for name in names}
    healthy = [row["score"] for row in rows if row.get("kind") == "healthy"]
    for value in found:
        if healthy and value != "healthy":
            ill = [row["score"] for row in rows if row["kind"] == value]
            flags = np.array([False] * len(healthy) + [True] * len(ill))
            found[value]["auc_of_images"] = roc_auc(np.array(healthy + ill), flags)
    return found
