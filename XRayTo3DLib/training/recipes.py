"""Recipes: a TOML file holds everything a training run depends on, but the data's place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BUNDLED = Path(__file__).with_name("recipes")
_TABLES = ("grid", "network", "data", "augmentation", "views", "card")
_VALUES = ("name", "seed", "steps", "batch", "learning_rate", "weight_decay", "average_decay", "l1_weight", "bfloat16")


def load_recipe(name_or_path: str | Path) -> dict[str, Any]:
    """A recipe by bundled name or by path; :class:`InputError` when it is missing, not TOML or incomplete."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = _BUNDLED / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _BUNDLED.glob("*.toml")))
        raise InputError(f"There is no recipe {str(name_or_path)!r}: use one of {known}, or the path of a .toml file.")
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The recipe {path} is not valid TOML ({error}): correct it.") from None
    missing = [key for key in (*_VALUES, *_TABLES) if key not in recipe]
    if missing:
        raise InputError(f"The recipe {path} lacks {', '.join(missing)}: take the bundled biplanar.toml as a pattern.")
    return recipe
