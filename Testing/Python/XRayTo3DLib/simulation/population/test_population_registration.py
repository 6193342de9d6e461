from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from little_bodies import LIVER, LUNG_LEFT, LUNG_RIGHT, little_body

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.simulation.population.atlas import make_atlas, texture_of
from XRayTo3DLib.simulation.population.channels import pictures
from XRayTo3DLib.simulation.population.checks import check_registration, dice, folded_voxels
from XRayTo3DLib.simulation.population.registration import Registration, RegistrationSettings, register

SETTINGS = RegistrationSettings(spacing=12.0, steps=(40, 30), affine_steps=30, points=2500)
GROUPS = {"liver": (LIVER,), "lungs": (LUNG_LEFT, LUNG_RIGHT), "spleen": (1,)}


@pytest.fixture(scope="module")
def atlas():
    ct, labels = little_body()
    return make_atlas("atlas", ct, labels, ct.grid, GROUPS, spacing=4.0), pictures(ct)


def liver_dice(atlas, name, body, found) -> float:
    """Dice of the atlas' liver and a subject's, both in the place of the atlas and inside the subject's field."""
    ct, labels = body
    made = texture_of(name, atlas[0], ct, pictures(ct), found, (labels, ct.grid))
    return dice((made.labels == LIVER) & made.known, (atlas[0].labels == LIVER) & made.known)


def test_a_wider_body_and_a_slab_of_it_are_found_and_folds_and_errors_refused(atlas, tmp_path):
    rows = {"whole": (little_body(1.12, 10.0, 8.0), 0.9), "lower half": (little_body(1.1, 6.0, slices=slice(0, 30)), 0.85)}
    for name, (body, least) in rows.items():
        found = register(atlas[1], pictures(body[0]), atlas[0].velocity_grid(SETTINGS.spacing), SETTINGS)
        checked = check_registration(atlas[1], pictures(body[0]), found)
        assert checked.accepted, (name, checked)
        assert liver_dice(atlas, name, body, found) > least, name
        assert found.affine[0, 0] == pytest.approx(1.11, abs=0.06), name
        points = np.array([[-22.0, -6.0, -36.0], [30.0, 0.0, 30.0]])
        np.testing.assert_allclose(found.to_atlas(found.to_subject(points)), points, atol=0.2)
        if name == "whole":
            found.write(tmp_path / "one.npz")
            again = Registration.read(tmp_path / "one.npz")
            np.testing.assert_array_equal(again.velocity, found.velocity)
            assert again.grid.same_as(found.grid) and again.loss == found.loss
            away = found.affine.copy()
            away[2, 3] += 45
            wrong = check_registration(atlas[1], pictures(body[0]), replace(found, affine=away))
            assert not wrong.accepted and any(reason.startswith("Dice of lungs") for reason in wrong.reasons), wrong
            blown = found.affine.copy()
            blown[:, :3] *= 2.1
            assert any(
                "sixfold" in r for r in check_registration(atlas[1], pictures(body[0]), replace(found, affine=blown)).reasons
            )
    (tmp_path / "two.npz").write_text("no numbers")
    with pytest.raises(InputError, match="is no registration"):
        Registration.read(tmp_path / "two.npz")
    assert folded_voxels(found) == 0


def test_labels_of_lungs_follow_the_air_and_other_labels_stay(atlas):
    body = little_body(bulge=12.0)
    still = Registration(
        np.eye(4), np.zeros((3, *atlas[0].velocity_grid(20.0).shape), np.float32), atlas[0].velocity_grid(20.0), 0.0
    )
    made = texture_of("one", atlas[0], body[0], pictures(body[0]), still)
    lungs = np.isin(made.labels, (LUNG_LEFT, LUNG_RIGHT))
    truth = np.isin(body[1], (LUNG_LEFT, LUNG_RIGHT))
    before = np.isin(atlas[0].labels, (LUNG_LEFT, LUNG_RIGHT))
    assert dice(lungs, truth) > 0.985 > dice(before, truth) + 0.02
    # What was lung and is liver now becomes the organ beside it.
    assert (made.labels == LIVER).sum() > (atlas[0].labels == LIVER).sum()


def test_where_a_scan_ends_its_ct_passes_into_the_atlas(atlas):
    ct, _ = little_body(slices=slice(0, 30))
    ct.array[ct.array > 0] += 100
    still = Registration(
        np.eye(4), np.zeros((3, *atlas[0].velocity_grid(20.0).shape), np.float32), atlas[0].velocity_grid(20.0), 0.0
    )
    made = texture_of("half", atlas[0], ct, pictures(ct), still)
    muscle = (made.hounsfield.astype(float) - atlas[0].ct.array)[:, 14:16, 20:24].mean(axis=(1, 2))
    assert muscle[:24] == pytest.approx(100, abs=1) and muscle[31:] == pytest.approx(0, abs=1)
    assert (np.diff(muscle[23:32]) <= 0.5).all() and 20 < muscle[27] < 80
    assert made.known[:28].all() and not made.known[30:].any()
    np.testing.assert_array_equal(made.labels[31:], atlas[0].labels[31:])


def test_atlases_without_organs_and_ct_without_bodies_are_refused():
    ct, labels = little_body()
    with pytest.raises(InputError, match="hold none of spleen"):
        make_atlas("atlas", ct, labels, ct.grid, {"spleen": (1,)})
    with pytest.raises(InputError, match="No body"):
        pictures(replace(ct, array=np.full_like(ct.array, -1000.0)))
