"""The same words for the same things: render_drr in Python, ``xrayto3d drr`` in the shell and renderDRR in Slicer."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from tables import each

from XRayTo3DLib.cli import drr as command
from XRayTo3DLib.cli import options
from XRayTo3DLib.geometry.projection import LARGEST_SIDE
from XRayTo3DLib.images.display import LOOKS, PERCENTILES
from XRayTo3DLib.projection.projector import QUALITIES
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.inserts import MATERIAL_WORDS
from XRayTo3DLib.simulation.structures import project_structures

#: An option that may be repeated has the singular.
_SINGULAR = {"inserts": "insert"}
#: In Slicer a CT, a segmentation or a model stands under transform nodes of its own.
_NODES = {"transform"}


def keywords(function: Any) -> dict[str, Any]:
    """The keyword-only parameters of a function with their defaults, in snake_case."""
    parameters = inspect.signature(function).parameters.values()
    return {snake(p.name): p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def of_python() -> dict[str, Any]:
    """The words of a DRR in Python with their defaults: keywords of render_drr, and the fields of its exposure."""
    words = keywords(render_drr)
    exposure = words.pop("exposure")
    return {**words, **asdict(exposure)}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def shell() -> dict[str, argparse.Action]:
    """The options of the command by their long names, in snake_case."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    actions = parser._subparsers._group_actions[0].choices["drr"]._actions  # type: ignore[union-attr]
    return {a.option_strings[-1].removeprefix("--").replace("-", "_"): a for a in actions if a.option_strings}


def slicer_keywords() -> dict[str, Any]:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from XRayTo3DSlicer.logic import Logic

    return keywords(Logic.renderDRR)


def disagreements(python: Mapping[str, Any], in_shell: Mapping[str, Any], in_slicer: Mapping[str, Any]) -> set[str]:
    """Words that one of the three lacks, and those of Slicer that Python does not know."""
    lacking = {f"shell: {word}" for word in python if _SINGULAR.get(word, word) not in in_shell}
    lacking |= {f"slicer: {word}" for word in python if word not in in_slicer and word not in _NODES}
    return lacking | {f"python: {word}" for word in in_slicer if word not in python}


def test_the_words_agree() -> None:
    known = {"transform", "quality", "kilovolts", "inserts", "photons", "electronic_noise", "blur", "seed"}
    assert known <= set(of_python())
    assert disagreements(of_python(), shell(), slicer_keywords()) == set()


@each("word", sorted(of_python()))
def test_a_word_that_is_missing_is_found(word: str) -> None:
    python, in_shell, in_slicer = of_python(), shell(), slicer_keywords()
    own = _SINGULAR.get(word, word)
    assert disagreements(python, {w: a for w, a in in_shell.items() if w != own}, in_slicer) == {f"shell: {word}"}
    if word not in _NODES:
        assert disagreements(python, in_shell, {w: d for w, d in in_slicer.items() if w != word}) == {f"slicer: {word}"}
        assert disagreements({w: d for w, d in python.items() if w != word}, in_shell, in_slicer) == {f"python: {word}"}


def test_an_option_of_physics_is_a_word_of_python() -> None:
    """What the shell calls physics is what Python takes, and nothing else."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    groups = parser._subparsers._group_actions[0].choices["drr"]._action_groups  # type: ignore[union-attr]
    (physics,) = [group for group in groups if group.title == "physics"]
    assert {action.dest for action in physics._group_actions} | {"transform"} == set(of_python())


def test_the_defaults_agree() -> None:
    python, in_shell, in_slicer = of_python(), shell(), slicer_keywords()
    for word, default in python.items():
        option = in_shell[_SINGULAR.get(word, word)]
        assert option.dest == word
        if word == "inserts":
            assert list(option.default) == list(default) == list(in_slicer[word]) == []
        else:
            assert option.default == default, word
            assert word in _NODES or in_slicer[word] == default, word


def test_every_word_is_explained_everywhere() -> None:
    slicer_keywords()
    from XRayTo3DSlicer.logic import Logic

    for word in of_python():
        assert f"``{word}``" in f"{render_drr.__doc__} {Exposure.__doc__}"
        assert len(shell()[_SINGULAR.get(word, word)].help or "") > 20
        camel = re.sub(r"_(.)", lambda found: found[1].upper(), word)
        assert word in _NODES or f"``{camel}``" in (Logic.renderDRR.__doc__ or "")


def test_structures_are_asked_for_in_the_same_words() -> None:
    slicer_keywords()
    from XRayTo3DSlicer.logic import Logic

    asked, whole = (inspect.signature(f).parameters for f in (Logic.renderStructures, Logic.renderDRR))
    geometry = [name for name, p in whole.items() if p.kind is p.POSITIONAL_OR_KEYWORD and name not in ("self", "ctNode")]
    assert [name for name in asked if name in geometry] == geometry and "ctNode" in asked
    for name in geometry:
        assert asked[name].default == whole[name].default
    words = set(inspect.signature(project_structures).parameters)
    assert words - {"labelmap", "volume"} == {"projections", "names", "transform", "progress"}
    assert words - {"labelmap", "volume"} <= set(inspect.signature(render_drr).parameters)


def test_choices_are_those_of_the_library() -> None:
    found = shell()
    assert tuple(found["quality"].choices or ()) == QUALITIES
    assert tuple(found["look"].choices or ()) == (*LOOKS, "monochrome2", "monochrome1", "none")
    assert "default {:g} {:g}".format(*PERCENTILES) in (found["percentiles"].help or "")
    assert options.LARGEST_SIDE == LARGEST_SIDE
    materials = re.findall(r"[a-z]+(?:-[a-z]+)*(?=,)", MATERIAL_WORDS)
    assert len(materials) >= 3 and all(word in (found["insert"].help or "") for word in materials)
