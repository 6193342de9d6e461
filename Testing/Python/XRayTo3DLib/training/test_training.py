"""Training: examples are pure functions of their seed, runs go on where they stopped, and no test case is trained on."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name, ct_files
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.models.zoo import describe_model, load_model
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.reconstruction.methods.virtual_detector import beam, matrix, scale, virtual_projection
from XRayTo3DLib.simulation.phantom import thorax_phantom
from XRayTo3DLib.training.data import Sampler, load_subjects
from XRayTo3DLib.training.export import export
from XRayTo3DLib.training.fit import build, fit, learning_rate
from XRayTo3DLib.training.recipes import load_recipe


@pytest.fixture(scope="module")
def recipe() -> dict:
    """The bundled recipe, made small enough for a test."""
    small = copy.deepcopy(load_recipe("biplanar"))
    small["grid"] = {"size": 16, "spacing": 20.0}
    small["network"] = {
        "plane": [8, 8, 16, 16],
        "space": [8, 8, 16],
        "depths": 8,
        "depth_features": 2,
        "flat_features": 4,
        "fine": 4,
    }
    small |= {"steps": 6, "batch": 2, "bfloat16": False}
    small["data"] = [{"group": "torso", "folder": "cts", "weight": 1.0, "exclude": ["left_out"]}]
    return small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (24, 18, 20), 16.0), supersample=1)
    for name in ("one", "two", "left_out"):
        write_volume(volume, folder / "cts" / f"{name}.nii.gz")
    (folder / "cts" / "one.labels.nii.gz").write_bytes((folder / "cts" / "one.nii.gz").read_bytes())
    return folder


@pytest.fixture(scope="module")
def sampler(recipe, data, tmp_path_factory) -> Sampler:
    cache = tmp_path_factory.mktemp("cache")
    return Sampler(load_subjects(recipe["data"], data, recipe["grid"]["spacing"], cache), recipe)


def test_only_wanted_cts_are_taken(sampler):
    assert [s.name for s in sampler.subjects] == ["one", "two"]


def test_examples_follow_from_the_step_alone(sampler):
    first, again, other = (sampler.batch(step, 2) for step in (3, 3, 4))
    assert torch.equal(first.images, again.images) and torch.equal(first.target, again.target)
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)
    assert first.target.shape == (2, 1, 16, 16, 16) and first.target.min() >= 0


def test_the_examples_radiographs_are_those_of_the_target(recipe, sampler):
    exact = copy.deepcopy(recipe)
    exact["views"] |= {"noisy": 0.0, "gain_chance": 0.0, "blur_chance": 0.0, "anything": 0.0, "exact": 1.0, "cone": 0.0}
    exact["views"]["chances"] = [1.0, 0.0, 0.0]
    batch = Sampler(sampler.subjects, exact).batch(1, 1)
    grid = Grid.centred((0, 0, 0), 16, 20.0)
    direction = batch.beams[0, 0, :3].double().numpy()
    view = virtual_projection(view_projection(direction, (0, 0, 0), (8, 8), 4.0, None), grid)
    expected = project(batch.target[0, 0] * MU_WATER, grid, [view])[0] / scale(grid)
    torch.testing.assert_close(batch.images[0, 0], expected, rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(recipe, sampler, tmp_path):
    whole = fit(recipe, sampler, tmp_path / "whole")
    fit(recipe, sampler, tmp_path / "parts", stop_after=0.0)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 1
    parts = fit(recipe, sampler, tmp_path / "parts")
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=name)


def test_fitting_one_case_lowers_the_error(recipe, sampler, tmp_path):
    longer = recipe | {"steps": 40, "learning_rate": 2e-2}
    fit(longer, sampler, tmp_path)
    rows = np.loadtxt(tmp_path / "log.csv", delimiter=",", ndmin=2)
    fit(longer | {"steps": 120}, sampler, tmp_path)
    later = np.loadtxt(tmp_path / "log.csv", delimiter=",", ndmin=2)
    assert later[-1, 1] < 0.8 * rows[0, 1]


def test_the_learning_rate_warms_up_and_falls():
    recipe = {"learning_rate": 1.0, "steps": 1000}
    rates = [learning_rate(s, recipe) for s in (0, 199, 600, 1000)]
    assert rates[0] < 0.01 and rates[1] == pytest.approx(1.0) and rates[2] < 0.6 and rates[3] == pytest.approx(0.01)


def test_the_exported_model_is_the_averaged_network(recipe, sampler, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    average = fit(recipe, sampler, tmp_path / "run").eval()
    path = export(recipe, tmp_path / "run", tmp_path / "tiny.pt")
    card = describe_model(path).card
    assert card["training"]["steps"] == 6
    assert card["training"]["parameters"] == sum(p.numel() for p in average.parameters())
    batch = sampler.batch(0, 1)
    model = load_model(path, ask=lambda m: True)
    with torch.no_grad():
        found = model(batch.images, batch.matrices, batch.beams, batch.affine, [16, 16, 16])[0]
        wanted = average(batch.images, batch.matrices, batch.beams, batch.affine, [16, 16, 16])[0]
    np.testing.assert_allclose(found, wanted, atol=5e-3)  # half precision


def test_a_damaged_or_foreign_checkpoint_is_one_sentence(recipe, tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        export(recipe, tmp_path, tmp_path / "x.pt")
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        export(recipe, tmp_path, tmp_path / "x.pt")


class TestNetwork:
    """What the network promises by construction."""

    def answer(self, network, views, images):
        grid = Grid.centred((0, 0, 0), 16, 20.0)
        virtual = [virtual_projection(v, grid) for v in views]
        matrices = torch.as_tensor(np.stack([matrix(v, grid) for v in virtual]), dtype=torch.float32)
        beams = torch.as_tensor(np.stack([beam(v, grid) for v in virtual]), dtype=torch.float32)
        affine = torch.as_tensor(grid.affine, dtype=torch.float32)
        with torch.no_grad():
            return network(images[None], matrices[None], beams[None], affine, [16, 16, 16])[0]

    def test_the_order_of_the_views_does_not_matter_and_any_number_goes(self, recipe):
        network = build(recipe).eval()
        views = [view_projection(v, (0, 0, 0), (8, 8), 4.0, d) for v, d in (("AP", None), ("LAT", 1500.0), ("LAO30", 900.0))]
        images = torch.rand(3, 32, 32)
        forward = self.answer(network, views, images)
        backward = self.answer(network, views[::-1], images.flip(0))
        torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-5)
        for count in (1, 2):
            assert self.answer(network, views[:count], images[:count]).shape == (2, 16, 16, 16)
        assert forward.min() >= 0

    def test_the_geometry_is_an_input(self, recipe):
        network = build(recipe).eval()
        images = torch.rand(2, 32, 32)
        first, turned = (
            self.answer(network, [view_projection(v, (0, 0, 0), (8, 8), 4.0, None) for v in ("AP", lateral)], images)
            for lateral in ("LAT", "LAT+10")
        )
        assert (first - turned).abs().max() > 1e-3


class TestRecipes:
    def test_a_missing_and_a_broken_recipe_are_one_sentence(self, tmp_path):
        with pytest.raises(InputError, match="biplanar"):
            load_recipe("nothing")
        broken = tmp_path / "broken.toml"
        broken.write_text("name = ")
        with pytest.raises(InputError, match="not valid TOML"):
            load_recipe(broken)
        broken.write_text('name = "x"')
        with pytest.raises(InputError, match="lacks seed"):
            load_recipe(broken)

    def test_no_case_of_a_test_set_is_trained_on(self, shared):
        """By patient: names in the data are one a patient but for flt_001, whose two exams are both trained on."""
        data = shared / "data"
        trained = set()
        for source in load_recipe("biplanar")["data"]:
            names = {case_name(p) for p in ct_files(data / source["folder"])}
            trained |= names - set(source.get("exclude", []))
        tested = {case_name(p) for p in ct_files(data / "head_neck" / "validation")} | {"lidc_0001_chest"}
        assert len(trained) == 182
        assert not trained & tested
