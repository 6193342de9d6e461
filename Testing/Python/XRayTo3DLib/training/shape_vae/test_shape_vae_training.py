"""Organs as examples, and every variant of the shape VAE: it learns, is written as a model, and the model finds the organ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from organ_recipe import MANDIBLES, heads, organ_recipe
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.models.card import check_card
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.methods.shape_vae import modes
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.training.export import card_of, export
from XRayTo3DLib.training.fit import fit
from XRayTo3DLib.training.organ_examples import OrganExamples, load_organs, whole_organ
from XRayTo3DLib.training.recipes import bundled_recipes, load_recipe, recipe_of, tomllib
from XRayTo3DLib.training.shape_vae.network import ShapeVae
from XRayTo3DLib.training.systems import system_of

_NETWORK = {"channels": [4, 8, 8], "picture_channels": [2, 4, 8, 8], "latent": 6}
_NAMES = [name for name in bundled_recipes() if name.startswith("shape-vae-")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return heads(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def subjects(data, tmp_path_factory):
    return load_organs(organ_recipe("shape-vae-mandible", _NETWORK), data, tmp_path_factory.mktemp("cache"))


def test_an_example_is_the_organ_and_the_patient_about_it(subjects):
    assert [subject.name for subject in subjects] == ["one", "two"]  # that of the third is cut by the scan
    for subject in subjects:
        axes, centre = MANDIBLES[subject.name]
        for variant in range(2):
            volume = subject.shape(variant).sum() * 27 / 1000
            assert volume == pytest.approx(subject.volume_ml[variant], rel=0.05)
            # The placement takes the organ's middle to the example's, and the top of the scan to the reference.
            placement = subject.placements[variant]
            assert np.abs(placement[:, :3] @ centre + placement[:, 3]).max() < 3
            top = placement[:, :3] @ [10, -20, 8] + placement[:, 3]
            assert np.abs(top - subject.references[variant]).max() < 5
        assert subject.volume_ml[0] == pytest.approx(4 / 3 * np.pi * np.prod(axes) / 1000, rel=0.05)
        assert subject.volume_ml[1] != pytest.approx(subject.volume_ml[0], rel=1e-3)


def test_an_organ_is_whole_though_its_tip_lies_in_the_border(data, tmp_path):
    settings = organ_recipe("shape-vae-mandible", _NETWORK).settings.organ
    for side, whole in ((2, True), (12, False)):
        image = sitk.ReadImage(str(data / "heads" / "two.labels.nii.gz"))
        array = sitk.GetArrayFromImage(image)
        array[0, 20 : 20 + side, 20 : 20 + side] = 7
        changed = sitk.GetImageFromArray(array)
        changed.CopyInformation(image)
        sitk.WriteImage(changed, str(tmp_path / "tip.labels.nii.gz"))
        assert (whole_organ(tmp_path / "tip.nii.gz", settings) is not None) == whole


@each("view", ["frontal", "lateral"])
def test_the_offset_says_where_the_organ_is_in_the_picture(subjects, view):
    recipe = organ_recipe("shape-vae-mandible", _NETWORK)
    pictures = replace(recipe.settings.pictures, view=view, noise=0.0, anywhere=0.5, anywhere_mm=(40.0, 50.0), field_chance=0.0)
    recipe = replace(recipe, settings=replace(recipe.settings, pictures=pictures))
    examples, sides = OrganExamples(recipe, subjects), set()
    for step in range(6):
        batch = examples.batch(step)
        assert torch.equal(batch.picture, examples.batch(step).picture)
        for picture, mask, shape, offset, (patient, variant, mirrored) in zip(
            batch.picture[:, 0], batch.mask[:, 0], batch.shape[:, 0], batch.offset, batch.draws, strict=True
        ):
            sides.add(mirrored)
            across, depth = (0, 1) if view == "frontal" else (1, 0)
            # What is brighter than the head alone is the mandible: its middle lies where the offset says.
            bright = picture > picture.max() * 0.8
            rows, columns = bright.nonzero(as_tuple=True)
            assert abs((columns.float().mean() - 127.5) * 1.5 - offset[across]) < 6
            assert abs((127.5 - rows.float().mean()) * 1.5 - offset[2]) < 6
            reference = subjects[patient].references[variant]
            assert offset[depth] == pytest.approx(-reference[depth] * (-1 if mirrored and depth == 0 else 1))
            assert torch.equal(mask, shape.amax(dim=1 if view == "frontal" else 2).flip(0))
    assert sides == {True, False}


def test_the_card_of_every_bundled_recipe_is_valid():
    assert len(_NAMES) >= 6
    for name in _NAMES:
        check_card(card_of(load_recipe(name), 1, 1, [], ""), name)


@each("name", ["shape-vae-mandible", "shape-vae-mask", "shape-vae-no-shape-encoder", "shape-vae-vae-gan"])
def test_every_variant_learns_and_its_model_answers(subjects, data, tmp_path_factory, name):
    folder = tmp_path_factory.mktemp(name)
    recipe = organ_recipe(name, _NETWORK, steps=1)
    system = system_of(recipe)
    fit(recipe, system.task(recipe, subjects), folder)
    model = load_model(export(recipe, folder, folder / "model.pt"), ask=lambda _: True)
    whole = system.build(recipe)
    assert isinstance(whole, ShapeVae) and not any(
        "critic" in n or "shape_encoder" in n for n, _ in model.module.named_parameters()
    )
    assert len(whole.state_dict()) > len(model.module.state_dict()) or name == "shape-vae-no-shape-encoder"
    inputs = recipe.settings.network.inputs
    latents = [model(torch.ones(1, 1, 256, 256), torch.full((1, 1, 64, 64), value))[0] for value in (0.0, 1.0)]
    assert torch.equal(*latents) == (inputs == "topogram")
    ct = read_volume(data / "heads" / "two.nii.gz")
    view = ViewSpec.parse("AP", size=(80, 80), spacing=4.0, isocentre=tuple(ct.grid.centre)).projection()
    (seen,) = render_drr(ct, [view], ["AP"])
    estimate = organ_shape([seen], "mandible", masks=[seen.line_integrals > 4], model=model).estimate
    assert len(estimate.latent) == 6 and estimate.probability.grid.spacing == (3.0,) * 3
    assert modes(model, estimate, [3.0]).probability.array.shape == (64, 64, 64)


def test_a_shape_is_learned_from_a_picture(subjects, tmp_path):
    """Two patients, by heart."""
    network = {"channels": [8, 16, 16], "picture_channels": [4, 8, 16, 16], "latent": 6}
    recipe = organ_recipe("shape-vae-topogram", network, steps=20, learning_rate=2e-2)
    fit(recipe, system_of(recipe).task(recipe, subjects), tmp_path)
    rows = np.loadtxt(tmp_path / "log.csv", delimiter=",")
    assert rows[-1, 1] > rows[0, 1] + 0.1


def test_what_does_not_go_together_is_one_sentence(data, tmp_path):
    for table, change, words in (
        ("organ", {"name": "gills"}, "organ/name: 'gills' is none of"),
        ("organ", {"name": "liver"}, "organ/labels: head_neck has no liver"),
        ("network", {"adversarial": True}, "the baseline has no shape encoder"),
        ("network", {"shape_encoder": False}, "loss/shape: there is no shape encoder"),
        ("network", {"inputs": "ct"}, "network/inputs"),
    ):
        changed = tomllib.loads(bundled_recipes()["shape-vae-mandible"].read_text(encoding="utf-8"))
        changed[table].update(change)
        with pytest.raises(InputError, match=words):
            recipe_of(changed, "tiny.toml")
    recipe = organ_recipe("shape-vae-mandible", _NETWORK)
    (tmp_path / "heads").mkdir()
    for labels in (False, True):
        if labels:
            for path in (data / "heads").glob("cut*"):
                (tmp_path / "heads" / path.name).write_bytes(path.read_bytes())
        with pytest.raises(InputError, match="has the whole mandible" if labels else "no CT"):
            load_organs(recipe, tmp_path, tmp_path / "cache")
