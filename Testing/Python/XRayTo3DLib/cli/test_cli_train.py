"""``xrayto3d train``: a tiny recipe trained, stopped, resumed, exported, and used."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_recipe import TINY

from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.models.zoo import describe_model


@pytest.fixture
def recipe(tmp_path, ct_file):
    write_volume(read_volume(ct_file), tmp_path / "data" / "cts" / "one.nii.gz")
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_a_run_goes_on_and_its_model_reconstructs(run, recipe, tmp_path, xrays):
    folder, model = tmp_path / "run", tmp_path / "tiny.pt"
    arguments = ["train", recipe, "--data", tmp_path / "data", "--out", folder, "--cache", tmp_path / "cache"]
    assert run(*arguments, "--minutes", "0.00001").code == 0
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 1
    found = run(*arguments, "--steps", 2, "--export", model)
    assert found.code == 0, found.error
    assert "1 CTs" in found.out and str(model) in found.out
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 2
    card = describe_model(model).card
    assert card["name"] == "tiny" and card["training"]["steps"] == 2
    shown = json.loads(run("models", "show", model, "--json").out)
    assert shown == card
    assert run("models", "trust", model).code == 0
    views = ["--view", f"AP={xrays / 'AP.nrrd'}", "--view", f"LAT={xrays / 'LAT.nrrd'}"]
    grid = ["--grid-size", 16, "--grid-spacing", 22]
    found = run("reconstruct", *views, "--model", model, *grid, "--out", tmp_path / "reconstruction")
    assert found.code == 0, found.error
    assert read_volume(tmp_path / "reconstruction" / "reconstruction.nrrd").grid.size == (16, 16, 16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, a: [a[0], "no-such-recipe", *a[2:]], "no recipe"),
        (lambda t, a: [*a, "--export", t / "model.bin"], "must end in .pt"),
        (lambda t, a: [x if x != t / "data" else t for x in a], "lacks the folder cts"),
        (lambda t, a: [*a, "--export", t / "folder.pt"], "folder.pt cannot be written (it is a folder)"),
        (lambda t, a: [*a, "--export", t / "tiny.toml" / "x.pt"], "x.pt cannot be written (Not a directory)"),
        (lambda t, a: [*a, "--export", t / ("n" * 300 + ".pt")], "cannot be written (File name too long)"),
        (lambda t, a: [x if x != t / "run" else t / "tiny.toml" for x in a], "cannot be written (Not a directory)"),
    ],
    ids=["recipe", "export", "data", "folder", "below a file", "long", "out"],
)
def test_what_cannot_be_trained(run, recipe, tmp_path, change, words):
    """Said before any work, and nothing is left behind."""
    (tmp_path / "folder.pt").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments = ["train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run"]
    found = run(*change(tmp_path, arguments))
    assert found.code == 2 and words in found.sentence
    assert sorted(tmp_path.rglob("*")) == before


def test_a_broken_recipe(run, recipe, tmp_path):
    for text, words in (
        ("name = tiny", "not valid TOML"),
        (TINY.replace("learning_rate = 1e-2", "learning_rate = nan"), "learning_rate is not a finite number"),
    ):
        recipe.write_text(text)
        found = run("train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run")
        assert found.code == 2 and words in found.sentence


def test_an_empty_data_folder(run, recipe, tmp_path):
    (tmp_path / "data" / "cts" / "one.nii.gz").unlink()
    found = run("train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert found.code == 2 and "There is no CT" in found.sentence
