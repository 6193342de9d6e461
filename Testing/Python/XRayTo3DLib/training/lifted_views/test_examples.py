"""Examples: pure functions of their step, the protocol's own cubes where they say so, X-rays that are those of the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_recipe import phantoms, tiny

from XRayTo3DLib.evaluation.protocol import protocol_grid
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, to_attenuation
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.reconstruction.methods.virtual_detector import scale, virtual_projection
from XRayTo3DLib.training.augmentation import annealed
from XRayTo3DLib.training.lifted_views.examples import Examples, place
from XRayTo3DLib.training.subjects import load_subjects


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def subjects(data, tmp_path_factory):
    return load_subjects(tiny().data, data, tmp_path_factory.mktemp("cache"))


def test_a_batch_follows_from_its_step_alone(subjects):
    examples = Examples(tiny(), subjects)
    first, again, other = examples.batch(3), Examples(tiny(), subjects).batch(3), examples.batch(4)
    assert all(torch.equal(getattr(first, n), getattr(again, n)) for n in ("images", "matrices", "beams", "target"))
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)
    assert first.target.shape == (2, 1, 16, 16, 16) and first.target.min() >= 0
    firsts = {examples.batch(step).first for step in range(12)}
    assert firsts == {0, 8}


def test_an_exact_example_is_the_protocols_cube_or_its_mirror_image(subjects, data):
    """Sampled once, from the CT's own voxels: the truth that the evaluation measures against, not a smoothed copy."""
    volume = read_volume(data / "cts" / "two.nii.gz")
    truth = to_attenuation(resample(volume, protocol_grid(volume, 16, 20.0))).array / MU_WATER
    settings = tiny(augmentation__exact=[1.0, 1.0]).settings.augmentation
    grid, generator = Grid.centred((0, 0, 0), 16, 20.0), np.random.default_rng(1)
    mirrored = []
    for _ in range(6):
        found = place(subjects[1], grid, settings, 0.0, generator).numpy()
        errors = [np.abs(found - wanted)[2:-2, 2:-2, 2:-2].max() for wanted in (truth, truth[:, :, ::-1])]
        assert min(errors) < 2e-3, errors  # HU are kept as whole numbers
        mirrored.append(int(np.argmin(errors)))
    assert set(mirrored) == {0, 1} and truth.max() > 1


def test_annealing_ends_where_the_recipe_says(subjects):
    assert [annealed((5.0, 1.0), f) for f in (0.0, 0.5, 1.0, 7.0)] == [5.0, 3.0, 1.0, 1.0]
    calm = {f"augmentation__{n}": [1e-9 + v, 0.0] for n, v in (("stretch", 0.2), ("shift_mm", 50.0), ("bend_mm", 20.0))}
    calm |= {f"augmentation__{n}": [v, 0.0] for n, v in (("rotation_degrees", 20.0), ("bone_gain", 0.2))}
    still = {"augmentation__scale": {"torso": [1.0, 1.0]}, "augmentation__anywhere": {"torso": 0.0}}
    examples = Examples(tiny(augmentation__exact=[0.0, 0.0], **calm, **still), subjects[:1])
    exact = Examples(tiny(augmentation__exact=[1.0, 1.0]), subjects[:1]).batch(0).target[0, 0]
    for step, near in ((0, False), (5, True)):  # 0.6 of 6 steps are over at step 5
        found = examples.batch(step).target[0, 0]
        error = min(float((found - wanted).abs().max()) for wanted in (exact, exact.flip(2)))
        assert (error < 1e-3) == near


def test_the_radiographs_are_those_of_the_target_and_what_is_untold_is_told_wrong(subjects):
    chances = ("noisy", "gain_chance", "blur_chance", "anything")
    plain = {f"views__{name}": [0.0, 0.0] for name in chances} | {"views__chances": [1.0, 0.0, 0.0], "views__cone": 0.0}
    grid = Grid.centred((0, 0, 0), 16, 20.0)
    for untold, right in ((0.0, True), (1.0, False)):
        changes = {"views__untold": untold, "views__untold_degrees": 20.0, "views__aimed": 1.0}
        batch = Examples(tiny(**plain, **changes), subjects).batch(1)
        direction = batch.beams[0, 0, :3].double().numpy()
        view = virtual_projection(view_projection(direction, (0, 0, 0), (8, 8), 4.0, None), grid)
        told = project(batch.target[0, 0] * MU_WATER, grid, [view])[0] / scale(grid)
        assert torch.allclose(batch.images[0, 0], told, rtol=1e-4, atol=1e-4) == right
        # Aimed and untold: the real beam is exactly frontal or lateral.
        reals = [virtual_projection(view_projection(v, (0, 0, 0), (8, 8), 4.0, None), grid) for v in ("AP", "PA", "LAT", "RLAT")]
        seen = [project(batch.target[0, 0] * MU_WATER, grid, [v])[0] / scale(grid) for v in reals]
        assert min(float((batch.images[0, 0] - s).abs().max()) for s in seen) < 1e-3
