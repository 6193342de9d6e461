"""Recipes: a TOML file holds everything a training run depends on, but the data's place; checked whole before anything is read.

What every recipe holds is here and in ``recipe.schema.json``; the tables of one system are typed in its folder's ``settings.py``
and checked by its own ``recipe.schema.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import jsonschema

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.training.image_to_graph.settings import ImageToGraphSettings
from XRayTo3DLib.training.lifted_views.settings import LiftedViews
from XRayTo3DLib.training.organ_probabilities.settings import OrganProbabilities
from XRayTo3DLib.training.parametrized.settings import Parametrized
from XRayTo3DLib.training.shape_vae.settings import ShapeVaeSettings
from XRayTo3DLib.training.typed import not_finite, typed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent


class Settings(Protocol):
    """The typed tables of a system."""

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``; ``groups``: those of the recipe's data."""


S = TypeVar("S", bound=Settings)
#: What may be trained: the typed tables of each system, by the name of its folder.
SYSTEMS: dict[str, type[Settings]] = {
    "lifted_views": LiftedViews,
    "organ_probabilities": OrganProbabilities,
    "parametrized": Parametrized,
    "shape_vae": ShapeVaeSettings,
    "image_to_graph": ImageToGraphSettings,
}
#: A recipe is a page of text.
_LARGEST = 1_000_000


@dataclass(frozen=True)
class Source:
    """A folder of CTs under the data folder; its CTs share ``weight``, and files of the names in ``exclude`` are left out."""

    group: str
    folder: str
    weight: float
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """How the weights are found. The learning rate rises over ``warm_up`` steps and falls by a cosine to ``final_rate`` of itself.

    ``average_decay``: of the exponential moving average of the weights, which is what is exported; ``gradient_limit``: norm to
    which gradients are clipped; ``bfloat16``: convolutions in half precision, where the processor has it;
    ``checkpoint_every``: steps.
    """

    steps: int
    batch: int
    learning_rate: float
    warm_up: int
    final_rate: float
    weight_decay: float
    average_decay: float
    gradient_limit: float
    bfloat16: bool
    checkpoint_every: int


@dataclass(frozen=True)
class Credit:
    """Whose data a model was trained on."""

    name: str
    subjects: int
    licence: str
    attribution: str


@dataclass(frozen=True)
class CardText:
    """What a model's card says that training cannot know."""

    version: str
    title: str
    region: tuple[str, ...]
    maximum_views: int
    spacing_mm: tuple[float, float]
    metrics_convention: str
    intended_use: str
    limits: tuple[str, ...]
    licence: str
    data: tuple[Credit, ...]


@dataclass(frozen=True)
class Recipe(Generic[S]):
    """A recipe: ``settings`` are the system's own tables, ``init`` a model or checkpoint whose weights are the first ones."""

    name: str
    system: str
    seed: int
    schedule: Schedule
    data: tuple[Source, ...]
    card: CardText
    settings: S
    init: str = ""


def bundled_recipes() -> dict[str, Path]:
    """The recipes that come with the library: name to file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*/*.toml"))}


def load_recipe(name_or_path: str | Path) -> Recipe[Any]:
    """A recipe by bundled name or by path; :class:`InputError` when it is missing, not TOML, or any value in it is wrong."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = bundled_recipes().get(str(name_or_path), path)
    if path.suffix != ".toml" or not path.is_file():
        known = ", ".join(bundled_recipes())
        raise InputError(f"There is no recipe {str(name_or_path)!r}: use one of {known}, or the path of a .toml file.")
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"The recipe {path} is larger than any recipe ({path.stat().st_size} bytes): name a recipe.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"The recipe {path} cannot be read ({error.strerror}): check the file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The recipe {path} is not valid TOML ({error}): correct it.") from None
    try:
        return recipe_of(tomllib.loads(text), str(path))
    except RecursionError:
        raise InputError(f"The recipe {path} is nested too deeply: correct it.") from None
    except InputError:
        raise
    except ValueError as error:  # no TOML, or a whole number of thousands of digits
        raise InputError(f"The recipe {path} is not valid TOML ({_short(str(error))}): correct it.") from None


def recipe_of(table: dict[str, Any], where: str) -> Recipe[Any]:
    """A recipe's tables as checked, typed values; ``where`` names them in an :class:`InputError`."""
    place = not_finite(table)
    if place is not None:
        raise InputError(f"The recipe {where} is not valid ({place} is not a finite number): correct it.")
    system = table.get("system")
    if not isinstance(system, str) or system not in SYSTEMS:
        raise InputError(
            f"The recipe {where} is not valid (system: {_short(repr(system))} is none of {', '.join(SYSTEMS)}): correct it."
        )
    own = _validator(_FOLDER / system)
    settings = {k: v for k, v in table.items() if k in own.schema["properties"]}
    rest = {k: v for k, v in table.items() if k not in settings}
    _check(rest, _validator(_FOLDER), where)
    _check(settings, own, where)
    recipe: Recipe[Any] = typed(Recipe, {**rest, "settings": typed(SYSTEMS[system], settings)})
    low, high = recipe.card.spacing_mm
    problem = (
        f"card/spacing_mm: {low:g} is above {high:g}" if low > high else recipe.settings.problem([s.group for s in recipe.data])
    )
    if problem:
        raise InputError(f"The recipe {where} is not valid ({problem}): correct it.")
    return recipe


@cache
def _validator(folder: Path) -> Any:
    return jsonschema.Draft202012Validator(json.loads((folder / "recipe.schema.json").read_text(encoding="utf-8")))


def _check(table: dict[str, Any], validator: Any, where: str) -> None:
    problem = jsonschema.exceptions.best_match(validator.iter_errors(table))
    if problem is not None:
        place = "/".join(map(str, problem.absolute_path))
        raise InputError(
            f"The recipe {where} is not valid ({place + ': ' if place else ''}{_short(problem.message)}): correct it; the bundled "
            "biplanar.toml is a pattern."
        )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:100] + " ... " + text[-80:]
