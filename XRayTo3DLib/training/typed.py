"""Tables of plain values to frozen dataclasses, and what no schema of JSON sees: numbers that are none, ranges the wrong way."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def typed(kind: type[T], table: dict[str, Any]) -> T:
    """A dataclass of a table that a schema has accepted: nested tables and arrays become dataclasses and tuples."""
    hints = typing.get_type_hints(kind)
    return kind(**{key: _value(hints[key], value) for key, value in table.items()})


def _value(hint: Any, value: Any) -> Any:
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return typed(hint, value)  # type: ignore[arg-type, return-value]
    if typing.get_origin(hint) is tuple:
        return tuple(_value(arguments[0], v) for v in value)
    if typing.get_origin(hint) is dict:
        return {key: _value(arguments[1], v) for key, v in value.items()}
    return hint(value) if hint in (int, float) else value


def not_finite(value: Any, place: str = "") -> str | None:
    """Where in nested tables and arrays a number is NaN or infinite, or a whole number beyond 64 bits; ``None`` if nowhere."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        wrong = (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63)
        return place if wrong else None
    return next((found for key, v in items if (found := not_finite(v, f"{place}/{key}".lstrip("/")))), None)
