from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from little_bodies import LIVER, LUNG_LEFT, LUNG_RIGHT, little_body

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.simulation.population.atlas import make_atlas, texture_of
from XRayTo3DLib.simulation.population.breathing import breathing_velocity
from XRayTo3DLib.simulation.population.channels import pictures
from XRayTo3DLib.simulation.population.fields import displaced, exponential
from XRayTo3DLib.simulation.population.intensity import fit_intensity, measure_tissues, with_tissues
from XRayTo3DLib.simulation.population.model import (
    Shape,
    Subject,
    fit_population,
    measure_population,
    read_population,
    shape_of_vector,
    vector_of,
    write_population,
)
from XRayTo3DLib.simulation.population.registration import Registration
from XRayTo3DLib.simulation.population.sampling import SampleSettings, draw_sample

GROUPS = {"liver": (LIVER,), "lung_left": (LUNG_LEFT,), "lung_right": (LUNG_RIGHT,)}
LIVER_CENTRE = np.array([-22.0, -6.0, -36.0])
LUNGS = (LUNG_LEFT, LUNG_RIGHT)


@pytest.fixture(scope="module")
def population():
    """Three subjects that are the atlas stretched by .9, 1 and 1.1 in x and y, as perfect registrations find it."""
    ct, labels = little_body()
    atlas = make_atlas("atlas", ct, labels, ct.grid, GROUPS, {"liver": LIVER_CENTRE}, spacing=4.0)
    fixed = pictures(ct)
    grid = atlas.velocity_grid(16.0)
    subjects = []
    for number, stretch in enumerate((0.9, 1.0, 1.1)):
        body, _ = little_body(stretch)
        found = Registration(np.diag([stretch, stretch, 1, 1]), np.zeros((3, *grid.shape), np.float32), grid, 0.0)
        texture = texture_of(f"body{number}", atlas, body, pictures(body), found)
        observed = np.ones(grid.shape, dtype=bool)
        observed[: 2 * number] = False
        subjects.append(Subject(f"body{number}", found, observed, texture))
    return fit_population(atlas, fixed, subjects, 2), subjects, fixed


def test_samples_are_labelled_bodies_of_the_population_that_depend_on_their_number_alone(population, tmp_path):
    model, subjects, fixed = population
    write_population(model, tmp_path / "population.npz")
    again = read_population(tmp_path / "population.npz")
    widths = []
    for number in range(6):
        made = draw_sample(again, 7, number)
        assert made.folded == 0
        assert made.ct.array.dtype == np.int16 and made.labels.shape == made.ct.array.shape
        liver = np.argwhere(made.labels == LIVER)[:, ::-1] * made.ct.grid.spacing + made.ct.grid.origin
        assert np.linalg.norm(liver.mean(axis=0) - made.landmarks["liver"]) < 5
        assert made.ct.array[np.isin(made.labels, LUNGS)].mean() < -600
        assert made.ct.array[made.labels == LIVER].mean() > -20
        same = draw_sample(model, 7, number)
        np.testing.assert_array_equal(same.ct.array, made.ct.array)
        assert same.drawn == made.drawn
        widths.append(float(np.ptp(np.argwhere(made.ct.array > -300)[:, 2])) * 4)
    # The subjects are 133, 148 and 163 mm wide; samples go on to two standard deviations.
    assert 115 < min(widths) < max(widths) < 185 and np.std(widths) > 4
    assert draw_sample(model, 8, 0).drawn != draw_sample(model, 7, 0).drawn
    quality = measure_population(model.atlas, fixed, subjects, 2)
    assert quality.compactness[1] > 0.9 and quality.generalisation[1] < 0.5 * quality.generalisation[0]
    (tmp_path / "other.npz").write_text("nothing")
    with pytest.raises(InputError, match="no population"):
        read_population(tmp_path / "other.npz")
    with pytest.raises(InputError, match="at least 2 subjects, and 1 can"):
        fit_population(model.atlas, fixed, subjects[:1], 2)


def test_spacing_arms_and_strength_are_what_was_asked_for(population):
    model, _, _ = population
    plain = draw_sample(model, 3, 0)
    fine = draw_sample(model, 3, 0, SampleSettings(spacing=3.0))
    assert fine.ct.grid.spacing == (3.0, 3.0, 3.0)
    volumes = [(one.labels == LIVER).sum() * one.ct.grid.voxel_volume for one in (plain, fine)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
    mean = [draw_sample(model, 3, k, SampleSettings(strength=0.0)).landmarks["liver"] for k in range(3)]
    spread = [draw_sample(model, 3, k).landmarks["liver"] for k in range(3)]
    assert np.ptp(np.array(mean)[:, 0]) < 0.1 < 0.5 < np.ptp(np.array(spread)[:, 0])
    down = draw_sample(model, 3, 0, SampleSettings(arms=1.0))
    added = (down.ct.grid.size[0] - plain.ct.grid.size[0]) // 2
    assert added * 4 >= 130 and down.drawn["arms"] == "down"
    np.testing.assert_array_equal(down.ct.array[..., added:-added][plain.ct.array > -250], plain.ct.array[plain.ct.array > -250])
    arm = down.ct.array[2, :, :added]
    assert (arm > 900).any() and 3000 < (arm > -300).sum() * 16 < 12000
    assert not down.labels[..., :added].any()


def test_a_shape_and_its_vector_are_the_same():
    ct, labels = little_body()
    atlas = make_atlas("atlas", ct, labels, ct.grid, GROUPS, spacing=8.0)
    grid = atlas.velocity_grid(40.0)
    stretch = np.array([[1.2, 0.05, 0.0], [0.05, 0.9, -0.02], [0.0, -0.02, 1.1]])
    velocity = np.random.default_rng(0).standard_normal((3, *grid.shape)).astype(np.float32)
    found = shape_of_vector(vector_of(Shape(stretch, velocity), atlas), atlas, grid)
    np.testing.assert_allclose(found.stretch, stretch, atol=1e-5)
    np.testing.assert_array_equal(found.velocity, velocity)


def test_inspiration_lowers_the_diaphragm_and_spares_spine_and_back():
    ct, labels = little_body()
    atlas = make_atlas("atlas", ct, labels, ct.grid, GROUPS, spacing=4.0)
    grid = atlas.velocity_grid(8.0)
    velocity = breathing_velocity(atlas, grid)
    points = torch.tensor([[-22.0, -6.0, -8.0], [0.0, 34.0, -8.0], [-34.0, -2.0, 78.0], [0.0, -46.0, -10.0], [0.0, 50.0, -10.0]])
    moved = (displaced(points, exponential(torch.from_numpy(velocity), grid), grid) - points).numpy()
    assert -20.5 < moved[0, 2] < -12, "the dome"
    assert abs(moved[1, 2]) < 5 and abs(moved[2, 2]) < 4, "the spine and the tops of the lungs"
    assert -4 < moved[3, 1] < -1.5 and abs(moved[4, 1]) < 0.5, "front and back"
    assert breathing_velocity(replace(atlas, groups={"liver": (LIVER,)}), grid) is None


def test_tissues_are_measured_and_given_other_values():
    ct, labels = little_body()
    hounsfield = ct.array.astype(np.float32)
    whole = np.ones(labels.shape, dtype=bool)
    found = measure_tissues(hounsfield, labels, GROUPS, whole)
    assert found == {"lungs": -850.0, "liver": 70.0, "fat": -90.0, "muscle": 40.0, "bone": 900.0}
    assert measure_tissues(hounsfield, labels, GROUPS, ~whole) == {}
    model = fit_intensity([found, {**found, "liver": 110.0}])
    assert model.mean["liver"] == 90 and model.spread["liver"] == pytest.approx(np.std([70, 110], ddof=1))
    assert model.spread["fat"] == 5 and "spleen" not in model.mean
    drawn = [model.drawn(np.random.default_rng(k))["liver"] for k in range(200)]
    assert np.mean(drawn) == pytest.approx(90, abs=6) and max(drawn) <= 90 + 2 * model.spread["liver"]
    wanted = {"lungs": -775.0, "liver": 100.0, "fat": -100.0, "bone": 600.0}
    again = measure_tissues(with_tissues(hounsfield, labels, GROUPS, wanted), labels, GROUPS, whole)
    for name, value in {**wanted, "muscle": 40.0}.items():
        assert again[name] == pytest.approx(value, abs=1), name
