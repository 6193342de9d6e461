"""Tables of the panel, which are as high as their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def prepare(table: Any, titles: Sequence[str]) -> None:
    """Titles of the columns, which share the width."""
    table.setHorizontalHeaderLabels(list(titles))
    table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)


def fill(table: Any, rows: Sequence[Sequence[str]]) -> None:
    """Replace the rows of a table, which becomes just as high as they need."""
    table.rowCount = len(rows)
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.setItem(number, column, qt.QTableWidgetItem(text))
    fit(table)


def fit(table: Any) -> None:
    """Make a table just as high as its rows need."""
    height = table.horizontalHeader().sizeHint.height() + 2 * table.frameWidth
    height += sum(table.rowHeight(number) for number in range(table.rowCount))
    table.minimumHeight = height
    table.maximumHeight = height
