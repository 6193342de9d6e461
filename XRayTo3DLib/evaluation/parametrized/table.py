"""Results of parametrized X-rays as strict JSON and as a Markdown page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.evaluation.table import plain, write_table
from XRayTo3DLib.files import writing
from XRayTo3DLib.parametrized.pictures import beside, picture
from XRayTo3DLib.parametrized.regions import Region

#: Cases that the page shows, evenly spread over all.
_SHOWN = 6
_HEAD = {
    "cases": ("cases", "d"),
    "mae": ("MAE", ".4f"),
    "mae_body": ("MAE in the body", ".4f"),
    "ms_ssim": ("MS-SSIM", ".3f"),
    "marker_mm": ("markers mm", ".1f"),
    "rounds": ("rounds", ".1f"),
    "converged": ("converged", ".0%"),
}
_DRAG = {
    "drag_mm_off": ("off where it was put, mm", ".2f"),
    "drag_found_mm_off": ("off as found anew in the image, mm", ".2f"),
    "drag_image_mm": ("image follows, mm of 10", ".1f"),
    "drag_far_change": ("change beyond 60 mm", ".2%"),
    "drag_return_mae": ("MAE after dragging back", ".2%"),
    "drag_rounds": ("rounds", ".1f"),
    "drag_converged": ("converged", ".0%"),
}
_COMPLETION = {
    "cases": ("cases", "d"),
    "mae_before": ("MAE of the unseen before", ".4f"),
    "mae_after": ("after", ".4f"),
    "markers_mm_before": ("markers mm before", ".1f"),
    "markers_mm_after": ("after", ".1f"),
    "unseen_markers_mm_before": ("unseen markers mm before", ".1f"),
    "unseen_markers_mm_after": ("after", ".1f"),
}
_ANOMALY = {
    "cases": ("cases", "d"),
    "auc": ("ROC AUC of pixels", ".3f"),
    "auc_of_images": ("ROC AUC of images", ".3f"),
    "area_cm2": ("area cm^2", ".1f"),
    "share": ("share of the body", ".1%"),
    "score": ("score", ".2f"),
}
_AUGMENTATION = {
    "images": ("images", "d"),
    "epochs": ("epochs", "d"),
    "mse": ("MSE of maps", ".2e"),
    "error_mm": ("error mm", ".1f"),
}


def _cell(row: Mapping[str, Any], name: str, how: str) -> str:
    return "n/a" if row.get(name) is None else format(row[name], how)


def _table(first: str, rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    lines = [f"| {first} | " + " | ".join(title for title, _ in columns.values()) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {plain(name)} | " + " | ".join(_cell(row, key, how) for key, (_, how) in columns.items()) + " |")
    return [*lines, ""]


def to_markdown(results: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
    """The page: what was measured, every table, what was left out."""
    size, summary = results["size"], results["summary"]
    lines = [
        f"# Parametrized X-rays: {plain(results['region'])}, view {results['view']}",
        "",
        f"{size[0]} x {size[1]} pixels of {results['spacing_mm']:g} mm, parallel beam. X-rays are predicted from the body's "
        f"surface alone. MAE and MS-SSIM are shares of the range, a line integral of {results['range']:g}; MAE over the whole "
        "picture and over the body's pixels, MS-SSIM at twice the size. Marker errors are distances in the picture, over the "
        "landmarks that a CT has. Rounds are those of the loop until no marker moved 0.5 mm farther, "
        f"{results['most_rounds']} at most.",
        "",
        *_table("method", summary, _HEAD),
        "## Markers, mean error in mm",
        "",
    ]
    names = results["landmarks"]
    any_method = next(iter(summary.values()))
    rows = {n: {m: s["markers"][n] for m, s in summary.items()} | {"n": any_method["markers_cases"][n]} for n in names}
    lines += _table("landmark", rows, {"n": ("cases", "d"), **{m: (plain(m), ".1f") for m in summary}})
    lines += ["## Drags of 10 mm", "", *_table("", {"all": results}, _DRAG)]
    marks = {m: {f"drag_{k}": v for k, v in row.items()} for m, row in results["drag_by_marker"].items()}
    lines += _table("marker", marks, {"drag_drags": ("drags", "d"), **{k: v for k, v in _DRAG.items() if k != "drag_converged"}})
    lines += ["## Completion of partial X-rays", "", *_table("shown", results["completion"]["summary"], _COMPLETION)]
    lines += [
        "## Anomalies",
        "",
        "A titanium rod of 8 mm, a lung full of fluid and a parotid gland taken out, put into the CTs' own X-rays.",
        "",
        *_table("what", results["anomaly"]["summary"], _ANOMALY),
    ]
    if results.get("augmentation"):
        lines += ["## Training data", "", plain(results["augmentation"]["about"]), ""]
        lines += _table(
            "augmented by", {f"{r['augmentation']}, epoch {r['epochs']}": r for r in results["augmentation"]["rows"]}, _AUGMENTATION
        )
    if pictures:
        lines += ["## Pictures", "", "Left the CT's X-ray with its landmarks, right the predicted one with its markers.", ""]
        lines += [f"![case]({name})" for name in pictures]
    for one in results["left_out"]:
        lines.append(f"- left out: {plain(one['case'])}: {plain(one['reason'])}")
    return "\n".join(lines) + "\n"


def in_lines(results: Mapping[str, Any]) -> list[str]:
    """The summary for a terminal."""
    width = max(len(name) for name in results["summary"])
    lines = []
    for name, row in results["summary"].items():
        cells = "  ".join(f"{title} {_cell(row, key, how)}" for key, (title, how) in _HEAD.items() if key != "cases")
        lines.append(f"{name:<{width}}  {cells}  ({row['cases']} cases)")
    lines.append("drags: " + "  ".join(f"{title} {_cell(results, key, how)}" for key, (title, how) in _DRAG.items()))
    for part, row in results["completion"]["summary"].items():
        lines.append(f"completion, {part} shown: MAE {_cell(row, 'mae_before', '.4f')} to {_cell(row, 'mae_after', '.4f')}")
    for kind, row in results["anomaly"]["summary"].items():
        lines.append(f"anomaly, {kind}: ROC AUC {_cell(row, 'auc', '.3f')}, {_cell(row, 'area_cm2', '.1f')} cm^2 found")
    return [*lines, *(f"left out: {one['case']}: {one['reason']}" for one in results["left_out"])]


def write_results(results: dict[str, Any], region: Region, folder: Path) -> list[Path]:
    """Write ``parametrized.json`` (strict), ``parametrized.md`` and its pictures, and return their paths."""
    kept = {key: value for key, value in results.items() if key not in ("states", "examples")}
    states, examples = results.get("states", []), results.get("examples", [])
    step = max(1, len(states) // _SHOWN)
    names: list[str] = []
    for number in range(0, len(states), step)[:_SHOWN]:
        name = f"parametrized_{len(names) + 1}.png"
        pair = [(examples[number].xray, examples[number].points), (states[number].xray, states[number].points)]
        with writing(folder / name) as temporary:
            beside([picture(xray, region, results["range"], points) for xray, points in pair]).save(temporary, format="PNG")
        names.append(name)
    written = write_table("parametrized", kept, to_markdown(results, names), folder)
    return [*written, *(folder / name for name in names)]
