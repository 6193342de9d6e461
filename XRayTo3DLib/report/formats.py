"""What each format of X-rays can carry, as one table of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from XRayTo3DLib.report.page import Section, Table, form

_TEXT = (
    "The same pair of X-rays in the formats that devices store, read back as anybody's files are, and reconstructed by the same "
    "model on the same grid. What a format has no place for is given by hand; what it does not say of the scale of its values is "
    "unknown, and fitted. A topogram is another beam, that of a CT scanner, and has a reference of its own."
)
_NOTE = (
    "dB on HU + 1024 in [0, 2500], peak 2500, whole grid: against the volume from exact line integrals of the same beams, and "
    "against the CT. DX and XA: counts of a detector of 16 bits; CR: 12 bits on an arbitrary scale; PNG: a film."
)


def format_section(rows: Sequence[dict[str, Any]]) -> Section:
    """The table; ``rows`` are those of :class:`XRayTo3DLib.evaluation.formats.Carried` as dictionaries."""
    heads = ["", "given by hand", "scale unknown", "against exact line integrals, dB", "against the CT, dB"]
    return Section("X-rays in other formats", [_TEXT], tables=[Table(heads, [_row(row) for row in rows], note=_NOTE)])


def _row(row: dict[str, Any]) -> list[str]:
    if row["problem"]:
        return [row["format"], _list(row["given"]), "", "no volume", row["problem"]]
    same = "the same" if row["psnr_same"] == float("inf") else form(row["psnr_same"], ".1f")
    return [row["format"], _list(row["given"]), _list(row["unknown"]), same, form(row["psnr_truth"], ".2f")]


def _list(words: Sequence[str]) -> str:
    return ", ".join(word.replace("_", " ") for word in words) or "nothing"
