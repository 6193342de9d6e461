"""Training of parametrized X-rays: patients changed as they should be, networks that learn, and models that the loop can run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from paper_head import paper_head
from tiny_recipe import tomllib

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.segmentations import write_segmentation
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.parametrized.heat_maps import heat_maps
from XRayTo3DLib.parametrized.networks import Networks
from XRayTo3DLib.parametrized.regions import find_region
from XRayTo3DLib.training.export import export
from XRayTo3DLib.training.fit import fit
from XRayTo3DLib.training.parametrized.examples import Examples, changed
from XRayTo3DLib.training.parametrized.losses import critic_loss, dissimilarity, marker_loss
from XRayTo3DLib.training.parametrized.network import Critic, DraggedImageNetwork, ImageNetwork, MarkerNetwork
from XRayTo3DLib.training.parametrized.patients import Patient, load_patients, partners
from XRayTo3DLib.training.parametrized.settings import NetworkSettings, Start
from XRayTo3DLib.training.recipes import bundled_recipes, load_recipe, recipe_of
from XRayTo3DLib.training.systems import system_of
from XRayTo3DLib.training.task import AdversarialTask

NAMES = find_region("head_neck").names
LEFT, RIGHT = NAMES.index("parotid_left"), NAMES.index("parotid_right")


def slim(name: str, steps: int = 2, start: Start | None = None, **augmentation: object):
    """A bundled recipe with networks of a few filters."""
    recipe = load_recipe(name)
    settings, tiny = recipe.settings, NetworkSettings((8, 8), 1, 4)
    settings = dataclasses.replace(
        settings,
        network=dataclasses.replace(settings.network, marker=tiny, image=tiny, critic=(4,)),
        augmentation=dataclasses.replace(settings.augmentation, **augmentation),
        start=start or Start("", ""),
    )
    schedule = dataclasses.replace(recipe.schedule, steps=steps, batch=1, warm_up=0, checkpoint_every=steps)
    return dataclasses.replace(recipe, settings=settings, schedule=schedule)


def drawn(view: str = "AP") -> Patient:
    """A block of water whose X-ray has a dense disc at each of three landmarks."""
    surface = np.zeros((2, 128, 128), np.float32)
    surface[:, 30:100, 35:95] = [[[2.0]], [[1.0]]]
    rows, columns = np.mgrid[:128, :128]
    xray = 1.93 * (surface[1] > 0).astype(np.float32)
    points = np.full((len(NAMES), 2), np.nan)
    for index, at in ((0, (45.0, 64.0)), (LEFT, (60.0, 80.0)), (RIGHT, (62.0, 50.0))):
        points[index] = at
        xray += np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 18).astype(np.float32)
    return Patient("drawn", view, surface, xray, points, 2.56, partners(NAMES), view == "LLAT")


def centre(picture: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The middle of the disc near a place in an X-ray of :func:`drawn`, over its unit."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = np.clip(picture - 0.45, 0, None) * (np.hypot(rows - near[0], columns - near[1]) < 9)
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


def test_surface_x_ray_and_landmarks_are_changed_together_and_dragged_apart():
    patient, generator = drawn(), np.random.default_rng(2)
    together = {"exact": 0.0, "shift_pixels": 2.0, "scale": 0.0, "bend_pixels": 0.8, "drag": 0.0}
    apart = {"exact": 1.0, "drag": 1.0, "drag_pixels": 3.0, "drag_width": (11.0, 12.0)}
    for augmentation in (together, apart):
        settings = slim("markers", **augmentation).settings.augmentation
        moves = []
        for _ in range(6):
            surface, xray, points = changed(patient, settings, generator)
            for place in points[torch.isfinite(points).all(dim=1)].double().numpy():
                np.testing.assert_allclose(centre(xray[0].numpy(), place), place, atol=0.4)
            moves.append(min(float(np.linalg.norm(points[LEFT].numpy() - p.points[LEFT])) for p in (patient, patient.mirrored())))
            body = surface[:, surface[1] > 0]
            assert float(body[0].amin()) == pytest.approx(2.0) and float(body[1].amax()) == pytest.approx(1.0)
            assert any(np.array_equal(surface.numpy(), p.surface) for p in (patient, patient.mirrored())) == (augmentation is apart)
        assert max(moves) > 2
    # A larger body: more line integral, thicker, and nearer to the camera, whose distance to its middle stays.
    settings = slim("markers", exact=0.0, shift_pixels=0.0, scale=0.3, bend_pixels=0.0, drag=0.0).settings.augmentation
    surface, xray, _ = changed(patient, settings, np.random.default_rng(5))
    scale = float(surface[1].max())
    assert abs(scale - 1) > 0.05
    assert float(surface[0, 64, 64]) == pytest.approx(2.56 - 0.56 * scale, abs=1e-4)
    assert float(xray[0, 80, 64]) == pytest.approx(scale * 1.93 / 5, rel=1e-3)


def test_a_mirrored_patient_is_the_other_way_round_also_from_a_side():
    for view, columns, depth in (("AP", (127 - 50, 127 - 80), 2.0), ("LLAT", (50, 80), 2 * 2.56 - 2.0 - 1.0)):
        mirrored = drawn(view).mirrored()
        np.testing.assert_allclose(mirrored.points[[LEFT, RIGHT]], [[62, columns[0]], [60, columns[1]]])
        assert mirrored.surface[0].max() == pytest.approx(depth) and mirrored.surface[0, 0, 0] == 0
        np.testing.assert_allclose(centre(mirrored.xray / 5, mirrored.points[LEFT]), mirrored.points[LEFT], atol=0.3)
        again = mirrored.mirrored()
        for name in ("surface", "xray", "points"):
            np.testing.assert_allclose(getattr(again, name), getattr(drawn(view), name), atol=1e-6)


def test_a_batch_follows_its_step_and_what_is_not_told_is_not_dragged():
    recipe = slim("markers", exact=1.0, blind=0.5, drag=1.0, drag_pixels=4.0, left_out=0.0)
    examples = Examples(dataclasses.replace(recipe, schedule=dataclasses.replace(recipe.schedule, batch=8)), [drawn()])
    one, again, other = examples.batch(3), examples.batch(3), examples.batch(4)
    for name, value in vars(one).items():
        assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(getattr(again, name)))
    assert not torch.equal(one.xray, other.xray)
    originals = [torch.as_tensor(p.xray) / 5 for p in (drawn(), drawn().mirrored())]
    assert 0 < float(one.seen.mean()) < 1
    for index in range(8):
        seen = bool(one.seen[index] > 0)
        untouched = any(torch.allclose(one.xray[index, 0], original, atol=1e-6) for original in originals)
        assert untouched != seen and (float(one.told[index].max()) > 0.5) == seen and float(one.maps[index].max()) > 0.5
    with pytest.raises(InputError, match="no CT to train"):
        Examples(slim("markers"), [drawn("PA")])


def test_the_losses_say_what_is_wrong():
    generator = torch.Generator().manual_seed(1)
    picture, another = (torch.rand(2, 1, 64, 64, generator=generator) for _ in range(2))
    found = [float(dissimilarity(picture, p)) for p in (picture, picture + 0.1, another)]
    assert found[0] == pytest.approx(0, abs=1e-5) and found[1] < 0.1 and found[2] > 0.7
    weights = load_recipe("markers").settings.loss
    maps = (picture > 0.99).float()
    assert (
        float(marker_loss(torch.zeros_like(maps), maps, weights)) == pytest.approx(1)
        and float(marker_loss(maps, maps, weights)) == 0
    )
    # A critic of slope 1 everywhere pays no penalty, one of slope 3 does; what is told apart lowers the loss.
    surface, noise = torch.zeros(2, 2, 64, 64), torch.rand(2, 1, 1, 1, generator=generator)
    settings = load_recipe("xray_wgan_gp").settings.adversary
    for slope, made, told in ((1.0, picture, 0.0), (3.0, picture, 10 * 2.0**2), (1.0, picture - 1, -64.0)):
        critic = torch.nn.Conv2d(1, 1, 64)
        torch.nn.init.constant_(critic.weight, slope / 64)
        loss = critic_loss(lambda s, x, critic=critic: critic(x), surface, picture, made, noise, settings)
        assert float(loss) == pytest.approx(told, abs=1e-2)


@pytest.mark.parametrize("name", ["markers", "xray_unet", "xray_pix2pix", "xray_wgan", "xray_wgan_gp"])
def test_every_stage_learns_one_patient(name, tmp_path):
    recipe = slim(name, 20, exact=1.0, drag=0.0, blind=0.0, left_out=0.0)
    recipe = dataclasses.replace(recipe, schedule=dataclasses.replace(recipe.schedule, learning_rate=1e-2, average_decay=0.8))
    task = system_of(recipe).task(recipe, [drawn()])
    batch = task.batch(0, torch.device("cpu"))
    first, last = task.build().train(), fit(recipe, task, tmp_path).train()
    before, after = (float(task.loss(network, batch).figure) for network in (first, last))
    assert after < 0.7 * before, (before, after)
    if recipe.settings.adversary.kind == "wgan":
        clip = recipe.settings.adversary.clip
        assert all(float(p.abs().max()) <= 1.5 * clip for p in last.critic.parameters())


def test_convergent_training_starts_from_both_and_gives_two_models_that_fit_together(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    for name in ("markers", "xray_pretrained"):
        recipe = slim(name, 1)
        fit(recipe, system_of(recipe).task(recipe, [drawn()]), tmp_path / name)
    paths = [tmp_path / name / "checkpoint.pt" for name in ("markers", "xray_pretrained")]
    recipe = slim("xray_convergent", 2, Start(*map(str, paths)), blind=0.5)
    task = system_of(recipe).task(recipe, [drawn()])
    assert isinstance(task, AdversarialTask)
    network, batch = task.build(), task.batch(0, torch.device("cpu"))
    assert network.image.marker is network.marker
    for part, path in zip((network.marker, network.image.core), paths, strict=True):
        average = torch.load(path, weights_only=True)["average"]
        assert all(torch.equal(average[key], value) for key, value in part.state_dict().items())
    # What comes back through the other network is part of either's loss.
    for weight, loss in (("through_image", task.critic_loss), ("through_marker", lambda n, b: task.loss(n, b).total)):
        values = []
        for factor in (0.0, 1.0):
            task.weights = dataclasses.replace(recipe.settings.loss, **{weight: factor})
            values.append(float(loss(network, batch)))
        assert values[0] < values[1]
    task.weights = recipe.settings.loss
    fit(recipe, task, tmp_path / "both")
    path = export(recipe, tmp_path / "both", tmp_path / "mine.pt")
    image, marker = (load_model(p, ask=lambda m: True) for p in (path, tmp_path / "mine_markers.pt"))
    assert (image.file.name, marker.file.name) == ("xray_convergent", "xray_convergent_markers")
    networks = Networks(marker, image)
    networks.check(NAMES, (128, 128), 4.0, "AP")
    assert networks.xray(drawn().surface, drawn().points).shape == (128, 128)


class Seen(torch.nn.Module):
    """A marker network that finds the three landmarks of :func:`drawn` where they are when it sees no dragged X-ray."""

    def forward(self, surface: torch.Tensor, xray: torch.Tensor) -> torch.Tensor:
        points = torch.as_tensor(drawn().points, dtype=torch.float32)
        return heat_maps(points[None].expand(len(surface), -1, -1), (128, 128))


def test_a_dragged_landmark_takes_the_image_along_and_brings_it_back():
    patient = drawn()
    recipe = slim("xray_pretrained")
    core = system_of(recipe).task(recipe, [patient]).build()
    network = DraggedImageNetwork(Seen(), core, 2.0).eval()
    surface = torch.as_tensor(patient.surface)[None]
    points = torch.as_tensor(patient.points, dtype=torch.float32)[None]
    moved = points.clone()
    moved[0, LEFT] += torch.tensor([2.5, -2.5])
    with torch.no_grad():
        blind, still, dragged = (
            network(surface, heat_maps(p, (128, 128)))[0, 0].numpy() for p in (torch.full_like(points, torch.nan), points, moved)
        )
    np.testing.assert_allclose(still, blind, atol=1e-4)
    near = moved[0, LEFT].double().numpy()
    start = patient.points[LEFT]

    def disc(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
        level = np.median(picture[30:100, 35:95])
        return centre(0.45 + picture - level - 0.3 * (picture.max() - level), place)

    np.testing.assert_allclose(disc(dragged, near) - disc(blind, start), [2.5, -2.5], atol=0.5)
    assert np.abs(dragged - blind)[40:50, 60:69].max() < 0.1 * np.abs(dragged - blind).max()


def test_the_mean_anatomy_follows_the_landmarks_that_are_told():
    """Patients whose discs lie 6 pixels apart have one disc each in the mean, half way; told landmarks bring it where they are."""
    first = drawn()
    moved = dataclasses.replace(first, xray=np.roll(first.xray, 6, axis=0), points=first.points + np.array([6.0, 0.0]))
    side = drawn("LLAT")
    side = dataclasses.replace(side, surface=np.roll(side.surface, -25, axis=2))
    recipe = slim("xray_pretrained")
    atlas = system_of(recipe).task(recipe, [first, moved, side]).build().atlas
    surfaces = torch.stack([torch.as_tensor(p.surface) for p in (first, first.mirrored(), side)])
    assert atlas.view(surfaces).tolist() == [0, 0, 1]
    told = torch.full((3, len(NAMES), 2), torch.nan)
    patients = [one for p in (first, moved) for one in (p, p.mirrored())]
    means = {index: np.mean([p.points[index] for p in patients], axis=0) for index in (0, LEFT)}
    told[1, LEFT] = torch.as_tensor(means[LEFT] + [5.0, -4.0])
    with torch.no_grad():
        blind, dragged, _ = atlas(surfaces, heat_maps(told, (128, 128)))
    for picture, places in ((blind, means), (dragged, {LEFT: told[1, LEFT].numpy()})):
        for place in places.values():
            near = np.array(place)
            values = picture[0].numpy() - np.median(picture[0, 30:100, 35:95].numpy())
            np.testing.assert_allclose(centre(0.45 + values - 0.3 * values.max(), near), near, atol=0.6)
    # Another landmark that is told to stay keeps its surroundings.
    told[1, 0] = torch.as_tensor(means[0])
    with torch.no_grad():
        dragged = atlas(surfaces, heat_maps(told, (128, 128)))[1]
    row, column = np.round(means[0]).astype(int)
    around = np.s_[0, row - 3 : row + 4, column - 3 : column + 4]
    assert float((dragged - blind)[around].abs().max()) < 0.12 * float(blind.max())
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(atlas)(surfaces, heat_maps(told, (128, 128)))[1], dragged)


def test_scripted_networks_answer_alike_and_are_never_below_zero():
    for network, other in ((MarkerNetwork(3, [4, 4, 4], 2, 2), 1), (ImageNetwork(3, [4, 4, 4], 2, 1, 2, (32, 24)), 3)):
        network.eval()
        inputs = torch.rand(2, 2, 32, 24), torch.rand(2, other, 32, 24)
        found = network(*inputs)
        assert found.shape == (2, 4 - other, 32, 24) and float(found.min()) >= 0
        torch.testing.assert_close(torch.jit.script(network)(*inputs), found)
    assert Critic([4, 8])(torch.rand(2, 2, 32, 32), torch.rand(2, 1, 32, 32)).shape == (2, 1, 8, 8)


def test_patients_come_from_cts_and_their_labels_and_are_kept(tmp_path):
    folder = tmp_path / "data" / "head_neck" / "train"
    folder.mkdir(parents=True)
    for name, scan in (("one", {}), ("slab", {"below": 20.0, "above": 100.0})):
        ct, labels = paper_head(**scan)
        write_volume(ct, folder / f"{name}.nii.gz")
        write_segmentation(labels, folder / f"{name}.labels.nii.gz")
    sources = load_recipe("markers").data
    found = load_patients(sources, tmp_path / "data", tmp_path / "cache")
    assert [(p.name, p.view, p.lateral) for p in found] == [("one", "AP", False), ("one", "LLAT", True)]  # the slab shows no chin
    assert sum(p.weight for p in found) == pytest.approx(2)
    assert np.isfinite([found[0].points[NAMES.index("larynx")], found[1].points[LEFT]]).all()
    for stored in (tmp_path / "cache").iterdir():
        stored.write_bytes(b"damaged")
    again = load_patients(sources, tmp_path / "data", tmp_path / "cache")
    for a, b in zip(found, again, strict=True):
        for part in ("surface", "xray", "points"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    with pytest.raises(InputError, match="lacks the folder"):
        load_patients(sources, tmp_path / "cache", tmp_path / "cache")


def test_what_a_recipe_asks_and_nobody_can_do_is_one_sentence():
    table = tomllib.loads(bundled_recipes()["xray_wgan_gp"].read_text(encoding="utf-8"))
    for change, words in (
        ({"stage": "marker"}, "a critic looks at X-rays"),
        ({"loss": {**table["loss"], "absolute": 0.0, "structural": 0.0}}, "nothing asks for the right X-ray"),
        ({"augmentation": {**table["augmentation"], "drag_width": [9.0, 4.0]}}, "drag_width"),
        ({"frame": {**table["frame"], "region": "torso"}}, "head_neck is not the region torso"),
        ({"stage": "both"}, "stage: 'both' is not one of"),
    ):
        with pytest.raises(InputError, match=words):
            recipe_of({**table, **change}, "mine.toml")
