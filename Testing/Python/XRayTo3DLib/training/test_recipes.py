"""Recipes: typed values, every broken one a sentence before anything is read, and no test case in the bundled one."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_recipe import TINY, table

import XRayTo3DLib.training.recipes as recipes
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.card import check_card
from XRayTo3DLib.training import systems
from XRayTo3DLib.training.export import card_of
from XRayTo3DLib.training.lifted_views import settings
from XRayTo3DLib.training.recipes import Source, load_recipe, recipe_of
from XRayTo3DLib.training.subjects import source_files

_OPTIONAL = {("data", 0, "exclude")}


def places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """Every table, array and value in the tables, by its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


def changed(place: tuple, value: Any = None, remove: bool = False) -> dict[str, Any]:
    result = copy.deepcopy(table())
    inside: Any = result
    for key in place[:-1]:
        inside = inside[key]
    if remove:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return result


def test_the_values_are_typed_and_cannot_be_changed():
    recipe = load_recipe("biplanar")
    assert recipe.schedule.steps == 20000 and recipe.schedule.batch == 4 and isinstance(recipe.schedule.learning_rate, float)
    assert recipe.settings.network.plane == (24, 48, 96, 160) and recipe.settings.augmentation.scale["torso"] == (0.95, 1.6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.schedule.steps = 1
    check_card(card_of(recipe, 1, 1, [], ""), "the recipe")


def test_schemas_and_types_name_the_same_values():
    def compare(kind: type, schema: dict[str, Any]) -> None:
        fields = {f.name: f for f in dataclasses.fields(kind)}
        assert set(fields) == set(schema["properties"]), kind
        needed = {n for n, f in fields.items() if f.default is dataclasses.MISSING}
        assert needed == set(schema["required"]), kind

    folder = Path(recipes.__file__).parent
    common = json.loads((folder / "recipe.schema.json").read_text())
    own = json.loads((folder / "lifted_views" / "recipe.schema.json").read_text())
    inner = common["properties"]
    compare(recipes.Schedule, inner["schedule"])
    compare(recipes.Source, inner["data"]["items"])
    compare(recipes.CardText, inner["card"])
    compare(recipes.Credit, inner["card"]["properties"]["data"]["items"])
    compare(settings.LiftedViews, own)
    kinds = {"grid": settings.GridSettings, "network": settings.NetworkSettings, "augmentation": settings.Augmentation}
    for name, kind in {**kinds, "views": settings.Views, "loss": settings.Loss}.items():
        compare(kind, own["properties"][name])
    assert set(inner["system"]["enum"]) == set(recipes.SYSTEMS) == set(systems.SYSTEMS)


def test_every_value_that_is_missing_of_another_kind_or_no_number_is_one_sentence():
    for place in places(table()):
        if place not in _OPTIONAL and (not isinstance(place[-1], int) or place == ("data", 0)):
            with pytest.raises(InputError, match=r"tiny\.toml"):
                recipe_of(changed(place, remove=True), "tiny.toml")
        for wrong in (math.nan, [], {"a": 1}, -1e300, True):
            if (wrong is True and place == ("schedule", "bfloat16")) or (wrong == [] and place in _OPTIONAL):
                continue
            with pytest.raises(InputError, match=r"tiny\.toml"):
                recipe_of(changed(place, wrong), "tiny.toml")


def test_values_that_do_not_go_together_are_named():
    for place, value, words in (
        (("schedule", "learning_rate"), math.nan, "learning_rate is not a finite number"),
        (("schedule", "learning_rate"), 0, "learning_rate"),
        (("schedule", "steps"), 0, "steps"),
        (("schedule", "steps"), 2.5, "steps"),
        (("schedule", "average_decay"), 1.0, "average_decay"),
        (("seed",), -1, "seed"),
        (("name",), "../up", "name"),
        (("system",), "other", "system"),
        (("unknown",), 1, "unknown"),
        (("network", "plane"), [8, 8, 8], "plane"),
        (("network", "plane"), [4, 8, 8, 8], "plane"),
        (("network", "unknown"), 1, "unknown"),
        (("grid", "size"), 20, "size"),
        (("grid", "slab"), 24, "slab: 24 slices of a grid of 16"),
        (("views", "chances"), [0.5, 0.4, 0.3], "sum to 1.2"),
        (("views", "source_to_isocentre"), [2000.0, 600.0], "2000 is above 600"),
        (("views", "source_to_isocentre"), [100.0, 600.0], "outside the grid of 320 mm"),
        (("augmentation", "scale"), {"head": [1, 1]}, "scale: it lacks the group torso"),
        (("augmentation", "anywhere"), {}, "anywhere: it lacks the group torso"),
        (("augmentation", "scale", "torso"), [1.2, 0.9], "1.2 is above 0.9"),
        (("augmentation", "until"), 0.0, "until"),
        (("loss",), {"log_squared": 0, "squared": 0, "absolute": 0, "likelihood": 1}, "loss"),
        (("data",), [], "data"),
        (("data", 0, "weight"), 0, "weight"),
        (("card", "version"), "1", "version"),
        (("card", "spacing_mm"), [25.0, 15.0], "25 is above 15"),
    ):
        with pytest.raises(InputError, match=words):
            recipe_of(changed(place, value), "tiny.toml")


def test_files_that_are_no_recipe_are_one_sentence(tmp_path):
    path = tmp_path / "broken.toml"
    for content, words in (
        ("name = ", "not valid TOML"),
        ('name = "x"', "system: None is none of lifted_views"),
        ("", "system"),
        ("name = " + "[" * 100_000, "TOML|deep"),
        (".".join("a" * 1_500) + " = 1", "TOML|deep|not valid"),
        ("seed = " + "9" * 10_000, "TOML|finite"),
        (b"name = \xff", "not valid TOML"),
        (TINY + "#" * 1_000_001, "larger than any recipe"),
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=words) as error:
            load_recipe(path)
        assert len(str(error.value)) < 600 and "\n" not in str(error.value)
    for missing in ("nothing", tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError, match=r"use one of .*biplanar"):
            load_recipe(missing)


def test_no_case_of_a_test_set_is_trained_on(tmp_path):
    """The public test case stands in the torso folder and is left out by name; the validation split is a folder of its own."""
    bundled = load_recipe("biplanar")
    for name in ("lidc_0001_chest", "lidc_0314_chest", "lidc_0314_chest.labels"):
        path = tmp_path / "torso" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    torso = next(source for source in bundled.data if source.folder == "torso")
    assert [path.name for path in source_files(torso, tmp_path)] == ["lidc_0314_chest.nii.gz"]
    assert {source.folder for source in bundled.data} == {"head_neck/train", "torso"}
    with pytest.raises(InputError, match="There is no CT"):
        source_files(Source("torso", "torso", 1.0, ("lidc_0314_chest", "lidc_0001_chest")), tmp_path)
