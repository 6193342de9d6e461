"""``xrayto3d train``: a tiny recipe trained, stopped, resumed and exported."""

from __future__ import annotations

import json

import pytest
import torch

from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.models.zoo import describe_model

_RECIPE = """
name = "tiny"
seed = 3
steps = 3
batch = 1
learning_rate = 1e-3
weight_decay = 0.0
average_decay = 0.9
l1_weight = 0.1
bfloat16 = false

[grid]
size = 16
spacing = 20.0

[network]
plane = [8, 8, 16, 16]
space = [8, 8, 16]
depths = 8
depth_features = 2
flat_features = 4
fine = 4

[[data]]
group = "torso"
folder = "cts"
weight = 1.0

[augmentation]
scale = { torso = [0.9, 1.2] }
stretch = 0.05
rotation_degrees = 5.0
shift_mm = 10.0
anywhere = 0.3
bend_mm = 5.0
bone_gain = 0.08

[views]
chances = [0.5, 0.5, 0.0]
anything = 0.2
exact = 0.4
error_degrees = 8.0
cone = 0.4
source_to_isocentre = [600.0, 2000.0]
noisy = 0.4
log10_photons = [4.0, 6.0]
gain_chance = 0.2
gain = 0.03
blur_chance = 0.2

[card]
version = "0.1.0"
title = "A tiny model"
region = ["chest"]
maximum_views = 2
spacing_mm = [15.0, 25.0]
metrics_convention = "none"
intended_use = "Testing the training command on a phantom."
limits = ["It has seen one phantom."]
licence = "Apache-2.0"

[[card.data]]
name = "phantom"
subjects = 1
licence = "Apache-2.0"
attribution = "made for a test"
"""


@pytest.fixture
def recipe(tmp_path, ct_file):
    write_volume(read_volume(ct_file), tmp_path / "data" / "cts" / "one.nii.gz")
    path = tmp_path / "tiny.toml"
    path.write_text(_RECIPE)
    return path


def test_a_run_goes_on_and_is_exported(run, recipe, tmp_path, home):
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, a: [a[0], "no-such-recipe", *a[2:]], "no recipe"),
        (lambda t, a: [*a, "--export", t / "model.bin"], "must end in .pt"),
        (lambda t, a: [x if x != t / "data" else t for x in a], "lacks the folder cts"),
    ],
    ids=["recipe", "export", "data"],
)
def test_what_cannot_be_trained(run, recipe, tmp_path, change, words):
    arguments = ["train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run"]
    found = run(*change(tmp_path, arguments))
    assert found.code == 2 and words in found.sentence
    assert not (tmp_path / "run").exists()


def test_a_broken_recipe(run, recipe, tmp_path):
    recipe.write_text("name = tiny")
    found = run("train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert found.code == 2 and "not valid TOML" in found.sentence


def test_an_empty_data_folder(run, recipe, tmp_path):
    (tmp_path / "data" / "cts" / "one.nii.gz").unlink()
    found = run("train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert found.code == 2 and "There is no CT" in found.sentence
