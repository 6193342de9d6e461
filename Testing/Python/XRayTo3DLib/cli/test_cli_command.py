"""The command itself: help, exit codes, and what is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tables import each

from XRayTo3DLib.cli import command
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Cancelled

COMMANDS = ("demo", "drr", "reconstruct", "evaluate", "models", "train")


@each("name", COMMANDS)
def test_every_help_has_description_and_examples(run, name):
    found = run(name, "--help")
    assert found.code == 0
    assert "examples:" in found.out and f"xrayto3d {name}" in found.out.split("examples:")[1]
    assert len(found.out.split("options:")[0]) > 200


@each("name", COMMANDS)
def test_lengths_in_help_have_their_unit(run, name):
    lines = run(name, "--help").out.split("options:")[1].splitlines()
    # An option whose value is called MM says "mm" in its help, on the same or on the next lines.
    for number, line in enumerate(lines):
        if " MM" in line:
            assert "mm" in " ".join(lines[number : number + 3])


def test_help_lists_all_commands(run):
    found = run("--help")
    assert found.code == 0
    assert all(f"  {name}" in found.out for name in COMMANDS)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom XRayTo3DLib.cli import main\nmain(['reconstruct', '--help'])\n"
        "heavy = {'torch', 'vtk', 'vtkmodules', 'slicer', 'matplotlib', 'SimpleITK', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    root = Path(command.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr


def test_module_is_the_command():
    root = Path(command.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "XRayTo3DLib.cli", "models", "fetch"],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@each(
    "arguments",
    [
        [],
        ["scan"],
        ["drr"],
        ["drr", "ct.nrrd", "--view", "AP", "--out", "x", "--pixel", "-1"],
        ["drr", "ct.nrrd", "--view", "AP", "--out", "x", "--size", "10by10"],
        ["reconstruct", "--view", "AP=a.png", "--out", "x", "--grid-size", "0"],
        ["reconstruct", "--view", "AP=a.png", "--out", "x", "--beta", "nan"],
    ],
)
def test_wrong_arguments_are_one_sentence(run, arguments):
    found = run(*arguments)
    assert found.code == 2
    assert found.error.count("\n") == 1 and "--help" in found.error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("The disc is square: make it round."), 2, "The disc is square: make it round."),
        (KeyboardInterrupt(), 130, "Stopped"),
        (Cancelled(), 130, "Stopped"),
        (MemoryError(), 2, "memory"),
        (ModuleNotFoundError("No module named 'vtk'", name="vtk"), 2, "pip install"),
    ],
)
def test_ends_of_a_command(run, monkeypatch, error, code, words):
    def fail(_):
        raise error

    monkeypatch.setattr("XRayTo3DLib.cli.models._list", fail)
    found = run("models", "list")
    assert found.code == code
    assert words in found.error and found.error.count("\n") == 1


def test_own_mistakes_are_not_hidden(run, monkeypatch):
    def fail(_):
        raise ModuleNotFoundError("No module named 'XRayTo3DLib.nothing'", name="XRayTo3DLib.nothing")

    monkeypatch.setattr("XRayTo3DLib.cli.models._list", fail)
    with pytest.raises(ModuleNotFoundError):
        run("models", "list")
