"""Results as a summary, as strict JSON and as Markdown."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.evaluation.figures import FIGURES
from XRayTo3DLib.files import writing

#: Heading and format of each figure.
_COLUMNS = {
    "psnr": ("PSNR dB", ".2f"),
    "psnr_x2ct": ("PSNR (peak 4095) dB", ".2f"),
    "psnr_slices": ("PSNR (X2CT slices) dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "ssim_slices": ("SSIM (X2CT slices)", ".3f"),
    "hu_mae_body": ("HU error in body", ".0f"),
    "reprojection": ("re-projection error", ".2e"),
    "seconds": ("seconds", ".2f"),
    **{
        f"{name}_{figure}": (f"{name} {words}", how)
        for name in ("body", "bone", "lungs")
        for figure, words, how in (("dice", "Dice", ".3f"), ("hd95_mm", "HD95 mm", ".1f"), ("nsd", "NSD", ".3f"))
    },
}


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """``summary[setting][method]``: the mean of each figure over the cases that have it, and how many cases there are.

    ``counts`` gives the number of cases of a figure where it is not all of them; a figure that no case has is ``None``.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["setting"], row["method"]), []).append(row)
    summary: dict[str, dict[str, dict[str, Any]]] = {}
    for (setting, method), same in groups.items():
        found: dict[str, Any] = {"geometry": same[0]["geometry"], "cases": len(same)}
        counts = {}
        for figure in FIGURES:
            values = [row[figure] for row in same if row.get(figure) is not None]
            found[figure] = math.fsum(values) / len(values) if values else None
            if len(values) < len(same):
                counts[figure] = len(values)
        summary.setdefault(setting, {})[method] = found | {"counts": counts}
    return summary


def to_markdown(results: dict[str, Any]) -> str:
    """The summary and every case as Markdown tables; names from files are made harmless."""
    models = [f"{m['name']} {m['version']} (SHA-256 {str(m['sha256'])[:12]})" for m in results["models"]]
    lines = ["# Evaluation", "", results["protocol"], "", f"Models: {plain(', '.join(models) or 'none')}. ", ""]
    lines += [f"Training CTs of the baselines: {len(results['baselines'])}.", ""]
    for refused in results["refused"]:
        lines += [plain(f"{refused['method']} did not answer {refused['setting']} of {refused['case']}: {refused['reason']}"), ""]
    summary = [((s, row["geometry"], m), row) for s, methods in results["summary"].items() for m, row in methods.items()]
    lines += ["## Mean over cases", "", *_table(("setting", "geometry", "method"), summary), "", "## Every case", ""]
    cases = [((r["case"], r["setting"], r["geometry"], r["method"]), r) for r in results["cases"]]
    lines += _table(("case", "setting", "geometry", "method"), cases)
    return "\n".join(lines) + "\n"


def in_lines(results: dict[str, Any]) -> list[str]:
    """The summary for a terminal, a line a setting and method, and what was refused."""
    lines = []
    for setting, methods in results["summary"].items():
        width = max(map(len, methods))
        for method, row in methods.items():
            psnr, ssim, error = (
                "n/a" if row[f] is None else format(row[f], how)
                for f, how in (("psnr", ".2f"), ("ssim", ".3f"), ("hu_mae_body", ".0f"))
            )
            lines.append(
                f"{setting:<22} {row['geometry']:<8} {method:<{width}} PSNR {psnr:>6} dB  SSIM {ssim:>5}  HU error {error:>4}  "
                f"({row['cases']} cases)"
            )
    lines += [f"{r['method']} did not answer {r['setting']} of {r['case']}: {r['reason']}" for r in results["refused"]]
    return lines


def _table(first: Sequence[str], rows: Sequence[tuple[Sequence[str], dict[str, Any]]]) -> list[str]:
    head = [*first, *(_COLUMNS[figure][0] for figure in FIGURES)]
    body = [[*map(plain, names), *(_cell(row, figure) for figure in FIGURES)] for names, row in rows]
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *body]]


def _cell(row: dict[str, Any], figure: str) -> str:
    if row.get(figure) is None:
        return "n/a"
    count = row.get("counts", {}).get(figure)
    return format(row[figure], _COLUMNS[figure][1]) + ("" if count is None else f" (n = {count})")


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line: tags, pipes and marks are escaped, control characters left out."""
    visible = re.sub(r"\s+", " ", str(text).encode("utf-8", "replace").decode("utf-8"))
    visible = "".join(c for c in visible if c.isprintable())
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(visible, quote=False))


def strict(value: Any) -> Any:
    """What JSON knows: numbers that are not finite become ``None``, tuples lists, keys text."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_results(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``evaluation.json`` (strict: no NaN, no Infinity) and ``evaluation.md`` and return their paths."""
    return write_table("evaluation", results, to_markdown(results), folder)


def write_table(name: str, results: dict[str, Any], markdown: str, folder: Path) -> list[Path]:
    """Write the figures of any evaluation as ``name.json`` (strict: no NaN, no Infinity) and ``name.md``; returns their paths."""
    written = []
    text = json.dumps(strict(results), indent=1, allow_nan=False)
    for file, content in ((f"{name}.json", text), (f"{name}.md", markdown)):
        with writing(folder / file) as temporary:
            temporary.write_text(content, encoding="utf-8")
        written.append(folder / file)
    return written
