"""Training of organ probabilities: what an example holds, and the way from a recipe to an organ."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_recipe import table

from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.models.trust import trust_digest
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.reconstruction.methods import virtual_detector
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.training.export import export
from XRayTo3DLib.training.fit import fit
from XRayTo3DLib.training.organ_probabilities.examples import Examples
from XRayTo3DLib.training.recipes import bundled_recipes, load_recipe, recipe_of
from XRayTo3DLib.training.subjects import load_subjects
from XRayTo3DLib.training.systems import system_of

ORGANS = ["parotid_left", "parotid_right"]


@pytest.fixture
def recipe(tmp_path, monkeypatch, backprojector):
    """A recipe over one CT of two balls of water in air, labelled the patient's left and right parotid."""
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XRAYTO3D_MODELS", str(backprojector.file.path.parent))
    trust_digest(backprojector.file.sha256)
    z, y, x = np.meshgrid(*[16.0 * (np.arange(n) - (n - 1) / 2) for n in (20, 16, 24)], indexing="ij")
    labels = np.zeros(x.shape, np.uint8)
    labels[(x - 70) ** 2 + y**2 + (z - 60) ** 2 < 55**2] = 4
    labels[(x + 80) ** 2 + y**2 + (z - 50) ** 2 < 70**2] = 3
    for array, name in (((1000 * (labels > 0) - 1000).astype(np.int16), "ct"), (labels, "ct.labels")):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((16.0,) * 3)
        (tmp_path / "cts").mkdir(exist_ok=True)
        sitk.WriteImage(image, str(tmp_path / "cts" / f"{name}.nii.gz"))
    told = table()
    told |= {"system": "organ_probabilities", "reconstruction": "backprojector"}
    told["data"][0] |= {"group": "head_neck"}
    told["grid"] = {"size": 16, "spacing": 20.0, "crop": 16}
    told["network"] = {"space": [4, 4, 8], "fine": 2, "full": 4}
    told["organs"] = {"names": ORGANS, "scheme": "head_neck"}
    told["drawn"] = {"examples": 2, "held_back": 0, "annealing": 0.0, "masks": 0.7, "wrong_mm": 0.0}
    told["loss"] = {"cross_entropy": 0.5, "dice": 1.0}
    told["augmentation"] |= {"scale": {"head_neck": [0.9, 1.1]}, "anywhere": {"head_neck": 0.0}}
    quiet = {key: [0.0, 0.0] for key in ("noisy", "gain_chance", "blur_chance")}
    told["views"] |= {**quiet, "untold": 0.0, "chances": [0.0, 1.0, 0.0]}
    told["schedule"] |= {"steps": 2}
    return recipe_of(told, "tiny_organs.toml")


def test_the_bundled_recipes_are_whole():
    names = [name for name, path in bundled_recipes().items() if path.parent.name == "organ_probabilities"]
    assert "organs_head_neck" in names
    for name in names:
        settings = load_recipe(name).settings
        assert settings.problem(["head_neck", "torso"][: len(settings.augmentation.scale)]) is None
        assert settings.reconstruction == "biplanar"


def test_an_examples_organs_stand_where_its_rays_met_them(recipe, tmp_path):
    """The CT holds nothing but its organs, as water: what was measured is the path through them, whatever was moved or bent."""
    subjects = load_subjects(recipe.data, tmp_path, tmp_path / "cache")
    examples = Examples(recipe, subjects, tmp_path / "kept")
    for index in range(2):
        example = examples.example(index)
        paths = example.paths.sum(dim=1).float() * MU_WATER / virtual_detector.scale(examples.grid)
        assert torch.corrcoef(torch.stack([paths.ravel(), example.images.float().ravel()]))[0, 1] > 0.99
        assert float((paths - example.images).abs().mean() / paths.mean()) < 0.12  # voxels of 20 mm share their water with air
        shares = examples.example(index).shares((slice(None),) * 3)
        x = torch.arange(16.0)
        middle = [(share.sum(dim=(0, 1)) * x).sum() / share.sum() for share in shares]
        assert middle[0] > middle[1], "the left one lies to the left, in a mirrored patient too"
        assert shares.sum().item() * 8 == pytest.approx(4 / 3 * np.pi * (55**3 + 70**3) / 1000, rel=0.35)
    assert len(list((tmp_path / "kept").rglob("*.npz"))) == 2
    batch = examples.batch(3)
    again = Examples(recipe, subjects, tmp_path / "kept").batch(3)
    assert torch.equal(batch.context, again.context) and batch.context.shape == (2, 10, 16, 16, 16)
    turned = examples._turned(batch.context[0], batch.target[0], batch.known[0])
    assert torch.equal(turned[1][0], batch.target[0][1].flip(-1)) and torch.equal(turned[0][9], batch.context[0][8].flip(-1))
    assert torch.equal(turned[0][7], batch.context[0][7]), "the same places along x"


def test_a_recipe_becomes_a_model_that_finds_its_organs(recipe, tmp_path):
    system = system_of(recipe)
    task = system.task(recipe, system.subjects(recipe, tmp_path, tmp_path / "cache"))
    fit(recipe, task, tmp_path / "run")
    path = export(recipe, tmp_path / "run", tmp_path / "tiny.pt")
    model = load_model(path, "shape", ask=lambda m: True)
    assert [s["name"] for s in model.file.card["outputs"]["structures"]] == ORGANS
    # Nothing can be learned in two steps: what it says is checked by making it sure.
    model.module.exit.weight.data.zero_()
    model.module.exit.bias.data[:] = torch.tensor([4.0, -4.0])
    words = ("AP", "LAT")
    views = [ViewSpec.parse(w, size=(40, 40), spacing=10.0, isocentre=(0, 0, 0)).projection() for w in words]
    radiographs = [Radiograph(np.ones(p.size, np.float32), p, w) for p, w in zip(views, words, strict=True)]
    found = organ_shape(radiographs, "parotid_left", model=model)
    assert found.model == "tiny" and found.surface.cut and found.volume_ml > 1000
    with pytest.raises(Exception, match="was not found"):
        organ_shape(radiographs, "parotid_right", model=model)
    with pytest.raises(Exception, match="does not know the organ liver, but parotid_left"):
        organ_shape(radiographs, "liver", model=model)
