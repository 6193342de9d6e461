"""Model cards: what a model takes, gives, was made from and is good for; a JSON document that fits ``model_card.schema.json``."""

from __future__ import annotations

import json
import math
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError

_SCHEMA = Path(__file__).with_name("model_card.schema.json")
#: The number that cards written now carry as ``schema``.
SCHEMA = 2
#: Bytes and levels of nesting that a card may have: many times what any card needs.
LARGEST = 1 << 20
_DEEPEST = 16
_LONGEST_REASON = 200


def parse_card(text: bytes, where: str) -> dict[str, Any]:
    """The card in a model file's ``model.json``, checked; :class:`InputError` says what is wrong with it."""
    if len(text) > LARGEST:
        raise InputError(
            f"The card in {where} is larger than {LARGEST >> 20} MB: export the model again with a card of a few pages."
        )
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"The card in {where} is not valid JSON: export the model again.") from None
    check_card(card, where)
    return card


def check_card(card: Any, where: str) -> None:
    """Raise :class:`InputError` unless the card fits the schema, and its texts can be printed and its numbers compared."""
    import jsonschema

    _check_values(card, where)
    if isinstance(card, dict) and card.get("schema") == 1:
        raise InputError(
            f"The model card of {where} is of the older schema 1: add the interface that the model speaks (see the "
            f"README) and export the model again with schema {SCHEMA}."
        )
    problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_schema()).iter_errors(card))
    if problem is not None:
        place = "/".join(str(p) for p in problem.absolute_path) or "the card"
        reason = problem.message if len(problem.message) <= _LONGEST_REASON else f"{problem.message[:_LONGEST_REASON]}..."
        raise InputError(f"The model card of {where} is not valid ({place}: {reason}): correct the card.")
    pairs = {
        "inputs/views": [card["inputs"]["views"][key] for key in ("minimum", "maximum")],
        "outputs/grid/spacing_mm": card["outputs"]["grid"]["spacing_mm"],
        "inputs/range": card["inputs"].get("range", [0, 1]),
    }
    for place, (low, high) in pairs.items():
        if low > high:
            raise InputError(f"The model card of {where} is not valid ({place}: {low:g} is above {high:g}): correct the card.")


@cache
def _schema() -> dict[str, Any]:
    return json.loads(_SCHEMA.read_text(encoding="utf-8"))


def _check_values(card: Any, where: str) -> None:
    """No nesting without end, no number that is infinite, no text that a terminal would obey."""
    waiting = [(card, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise InputError(f"The model card of {where} is nested more than {_DEEPEST} levels deep: correct the card.")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and not printable(value):
            raise InputError(f"The model card of {where} holds control characters: correct the card.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"The model card of {where} holds a number that is NaN or infinite: correct the card.")


def shown(text: object) -> str:
    """A text as a terminal may print it: the texts of strangers' files and their names are escaped where they must be."""
    return str(text) if printable(str(text)) else ascii(str(text))


def printable(text: str) -> bool:
    """Whether a text holds nothing that a terminal obeys or cannot print: control and direction characters, lone surrogates."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cs") or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for c in text
    )
