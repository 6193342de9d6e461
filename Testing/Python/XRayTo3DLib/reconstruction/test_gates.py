"""What looks wrong with pictures of unknown scale is said, each kind in its own words."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import Appearance, Look, known_looks
from XRayTo3DLib.reconstruction.calibration.gates import faults, patients_differ, too_narrow
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

UPRIGHT, TURNED, LATERAL = Look("chest", "frontal", True), Look("chest", "frontal", False), Look("chest", "lateral", True)


def test_each_fault_has_its_sentence():
    for chances, likeness, view, word in (
        ({UPRIGHT: 1.0}, 0.7, "frontal", ""),
        ({UPRIGHT: 1.0}, 0.1, "frontal", "does not look like an X-ray"),
        ({UPRIGHT: 0.02, TURNED: 0.98}, 0.7, "frontal", "upside down"),
        ({UPRIGHT: 0.5, TURNED: 0.5}, 0.7, "frontal", ""),
        ({UPRIGHT: 0.01, LATERAL: 0.99}, 0.7, "frontal", "looks like a lateral view"),
        ({UPRIGHT: 1.0}, 0.7, "lateral", "looks like a frontal view"),
    ):
        told = faults(Appearance(chances, likeness), view)
        assert word in told[0] if word else told == [], (chances, likeness, view, told)


def test_views_of_two_patients_disagree_on_their_slices():
    profile = np.log([1.0, 1.2, 1.5, 1.6, 1.4, 1.0, 0.8, 0.7])
    same = np.stack([profile, profile + 0.5], axis=1)
    other = np.stack([profile, profile[::-1]], axis=1)
    for logs, words in ((same, ""), (other, "one patient"), (np.zeros((0, 2)), "")):
        centred = (logs - logs.mean(axis=1, keepdims=True)).ravel()
        assert words in patients_differ(centred, 2) and bool(words) == bool(patients_differ(centred, 2))


def test_the_bundled_kinds_know_themselves():
    looks = known_looks()
    assert {look.region for look in looks.looks} == {"head", "chest", "abdomen"} and len(looks.looks) == 12
    for look, mean in zip(looks.looks, looks.means, strict=True):
        found = looks.compare(mean)
        assert max(found.chances, key=found.chances.__getitem__) == look and found.likeness > 0.99


def test_a_chest_narrower_than_an_adults_is_said_with_its_width():
    body = np.ones((50, 60), dtype=bool)
    for spacing, region, view, words in (
        (4.0, "chest", "AP", "192 mm wide"),  # 60 pixels of 4 mm, magnified 1.25 times
        (6.0, "chest", "AP", ""),
        (4.0, "head", "AP", ""),
        (4.0, "chest", "LAT", ""),
    ):
        picture = Radiograph(np.ones((50, 60), np.float32), view_projection(view, (0, 0, 0), (50, 60), spacing, 1500.0, 1200.0))
        told = too_narrow(picture, Shadow(body, ~body, None), region, np.zeros(3))
        assert words in told and bool(words) == bool(told), (spacing, region, view, told)
