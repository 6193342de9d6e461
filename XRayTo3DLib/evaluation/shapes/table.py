"""Results of organ shapes as a summary, as strict JSON and as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.evaluation.shapes.figures import FIGURES
from XRayTo3DLib.evaluation.table import plain, write_table

_COLUMNS = {
    "dice": ("Dice", ".3f"),
    "iou": ("IoU", ".3f"),
    "hausdorff_mm": ("Hausdorff mm", ".1f"),
    "hd95_mm": ("HD95 mm", ".1f"),
    "surface_distance_mm": ("surface distance mm", ".2f"),
    "landmark_mm": ("landmarks mm", ".1f"),
    "volume_error": ("volume error", ".1%"),
    "volume_bias": ("volume bias", "+.1%"),
    "volume_rmse_ml": ("volume RMSE mL", ".1f"),
    "coverage_90": ("coverage of the 90 % interval", ".0%"),
    "interval_width": ("width of the interval", ".0%"),
    "seconds": ("seconds", ".2f"),
}


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """``summary[setting][organ][method]``: the mean of each figure over the cases that have it, and how many cases there are.

    Beside the means: ``volume_bias`` (mean signed error), ``volume_rmse_ml`` (root of the mean square error in mL), ``coverage_90``
    (share of the cases whose interval holds the true volume, of those that have one) and ``interval_width`` (mean width over the
    true volume). ``counts`` gives the number of cases of a figure where it is not all of them.
    """
    summary: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["setting"], row["organ"], row["method"]), []).append(row)
    for (setting, organ, method), same in groups.items():
        known = {figure: [row[figure] for row in same if row[figure] is not None] for figure in FIGURES}
        known["volume_bias"] = [row["volume_signed"] for row in same]
        covered = [row["covered"] for row in same if row["covered"] is not None]
        known["coverage_90"] = [float(c) for c in covered]
        wide = [row for row in same if row["interval_ml"] is not None]
        known["interval_width"] = [(row["interval_ml"][1] - row["interval_ml"][0]) / row["volume_ml_truth"] for row in wide]
        found: dict[str, Any] = {"cases": len(same)}
        found |= {name: math.fsum(values) / len(values) if values else None for name, values in known.items()}
        squares = [(row["volume_ml"] - row["volume_ml_truth"]) ** 2 for row in same]
        found["volume_rmse_ml"] = math.sqrt(math.fsum(squares) / len(squares))
        counts = {name: len(values) for name, values in known.items() if len(values) < len(same)}
        summary.setdefault(setting, {}).setdefault(organ, {})[method] = found | {"counts": counts}
    return summary


def to_markdown(results: dict[str, Any]) -> str:
    """Summary, what was left out and every case as Markdown tables; names from files are made harmless."""
    models = [f"{m['name']} {m['version']} (SHA-256 {str(m['sha256'])[:12]})" for m in results["models"]]
    lines = ["# Evaluation of organ shapes", "", results["protocol"], "", f"Models: {plain(', '.join(models) or 'none')}.", ""]
    lines += [plain(sentence) + "\n" for sentence in sentences(results)]
    summary = [((s, o, m), row) for s, organs in results["summary"].items() for o, ms in organs.items() for m, row in ms.items()]
    columns = [name for name in _COLUMNS if any(row.get(name) is not None for _, row in summary)]
    lines += ["## Mean over cases", "", *_table(("setting", "organ", "method", "cases"), summary, columns), "", "## Every case", ""]
    cases = [((r["case"], r["setting"], r["organ"], r["method"]), r) for r in results["cases"]]
    own = [*FIGURES[:-1], "volume_ml", "volume_ml_truth", "covered"]
    lines += _table(("case", "setting", "organ", "method"), cases, own)
    return "\n".join(lines) + "\n"


def sentences(results: dict[str, Any]) -> list[str]:
    """What was left out, refused or seen before, for Markdown and the terminal."""
    found = []
    for (organ, reason), count in Counter((e["organ"], e["reason"]) for e in results["left_out"]).items():
        found.append(f"{organ}: {count} of the CTs left out ({reason}).")
    for (method, setting, organ, reason), count in Counter(
        (r["method"], r["setting"], r["organ"], r["reason"]) for r in results["refused"]
    ).items():
        found.append(f"{method} did not answer {setting} of {organ} in {count} cases: {reason}")
    for name, cases in results["seen"].items():
        found.append(f"{name} has seen {', '.join(cases)}.")
    return found


def in_lines(results: dict[str, Any]) -> list[str]:
    """The summary for a terminal, a line a setting, organ and method, and what was left out."""
    lines = []
    for setting, organs in results["summary"].items():
        for organ, methods in organs.items():
            width = max(map(len, methods))
            for method, row in methods.items():
                coverage = "" if row["coverage_90"] is None else f"  coverage {row['coverage_90']:.0%}"
                lines.append(
                    f"{setting:<13} {organ:<14} {method:<{width}} Dice {_form(row, 'dice'):>5}  HD95 {_form(row, 'hd95_mm'):>5} mm"
                    f"  volume error {_form(row, 'volume_error'):>6}{coverage}  ({row['cases']} cases)"
                )
    return [*lines, *sentences(results)]


def _form(row: dict[str, Any], figure: str) -> str:
    return "n/a" if row.get(figure) is None else format(row[figure], _COLUMNS[figure][1])


def _table(first: Sequence[str], rows: Sequence[tuple[Sequence[str], dict[str, Any]]], columns: Sequence[str]) -> list[str]:
    head = [*first, *(_COLUMNS[c][0] if c in _COLUMNS else c.replace("_", " ") for c in columns)]
    body = []
    for names, row in rows:
        named = [*map(plain, names), *([str(row["cases"])] if "cases" in first else [])]
        body.append([*named, *(_cell(row, column) for column in columns)])
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *body]]


def _cell(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    count = row.get("counts", {}).get(column)
    return format(value, _COLUMNS[column][1] if column in _COLUMNS else ".1f") + ("" if count is None else f" (n = {count})")


def write_results(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``shapes.json`` (strict: no NaN, no Infinity) and ``shapes.md`` and return their paths."""
    return write_table("shapes", results, to_markdown(results), folder)
