"""One self-contained HTML page about a reconstruction."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing

_TEMPLATE = "report.html.j2"


@dataclass
class Section:
    """A heading, sentences, and a picture (PNG bytes) or tables below them."""

    title: str
    text: list[str] = field(default_factory=list)
    picture: bytes | None = None
    alternative: str = ""
    tables: list[Table] = field(default_factory=list)


@dataclass
class Table:
    """Column heads, rows of text, and for each column whether more (1) or less (-1) is better, or neither (0)."""

    heads: list[str]
    rows: list[list[str]]
    better: list[int] = field(default_factory=list)
    note: str = ""

    def best(self, column: int) -> int | None:
        """The row whose figure is the best of a column, ``None`` where nothing is compared."""
        direction = self.better[column] if column < len(self.better) else 0
        numbers = {row: _number(cells[column]) for row, cells in enumerate(self.rows)}
        known = {row: value for row, value in numbers.items() if value is not None}
        if direction == 0 or len(set(known.values())) < 2:
            return None
        return max(known, key=lambda row: direction * known[row])


def _number(text: str) -> float | None:
    try:
        return float(text.split()[0].rstrip("%"))
    except (ValueError, IndexError):
        return None


def write_report(
    path: Path,
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    notes: Sequence[str],
    sections: Sequence[Section],
) -> None:
    """Write the page: pictures are inside it, and it loads nothing from anywhere."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template(_TEMPLATE).render(
        title=title,
        lead=lead,
        facts=facts,
        notes=notes,
        sections=sections,
        encode=lambda data: base64.b64encode(data).decode("ascii"),
    )
    with writing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def check_report_packages() -> None:
    """Raise :class:`InputError` before the work when the report could not be written after it."""
    from importlib.util import find_spec

    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise InputError(f"The report needs {' and '.join(missing)}: run `pip install 'xrayto3d[demo]'`.")


def figure_table(methods: Sequence[tuple[str, dict[str, Any]]], note: str) -> Table:
    """Image figures, a row a method."""
    heads = ["", "PSNR, dB", "PSNR with peak 4095, dB", "SSIM", "HU error in the body"]
    rows = [
        [
            name,
            form(f["psnr"], ".2f"),
            form(f["psnr_x2ct"], ".2f"),
            form(f["ssim"], ".3f"),
            form(f["hu_mae_body"], ".0f"),
        ]
        for name, f in methods
    ]
    return Table(heads, rows, [0, 1, 1, 1, -1], note)


def structure_table(methods: Sequence[tuple[str, dict[str, Any]]], note: str) -> Table:
    """Dice and HD95 of each structure, a row a method."""
    known = [(name, f["structures"]) for name, f in methods if "structures" in f]
    names = list(known[0][1]) if known else []
    heads = ["", *(f"Dice, {name}" for name in names), *(f"HD95, {name}, mm" for name in names)]
    rows = [
        [method, *(form(s[n]["dice"], ".3f") for n in names), *(form(s[n]["hd95_mm"], ".1f") for n in names)] for method, s in known
    ]
    return Table(heads, rows, [0, *[1] * len(names), *[-1] * len(names)], note)


def form(value: float, how: str) -> str:
    """A figure as text; what is not defined is a dash."""
    return "n/a" if value != value else format(value, how)
