"""What can be a CT in HU, also without air in the field of view, and what cannot."""

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume, check_ct

SHAPE = (16, 20, 24)


def volume(array: np.ndarray) -> Volume:
    return Volume(array, Grid(SHAPE[::-1], (1.0, 1.0, 1.0)))


@pytest.fixture
def body(rng) -> np.ndarray:
    """HU of tissue with noise: fat, muscle and some bone, no air."""
    tissue = rng.choice([-100.0, 40, 60, 250, 900], SHAPE, p=[0.2, 0.3, 0.3, 0.15, 0.05])
    return np.clip(tissue + rng.normal(0, 12, SHAPE), -150, 1500)


def test_a_ct_cropped_inside_the_body_is_a_ct(body, rng):
    members = {
        "soft tissue": rng.normal(60, 25, SHAPE),
        "between 10 and 300": rng.integers(10, 301, SHAPE),
        "from 1 on": np.clip(rng.normal(110, 30, SHAPE), 1, 400),
        "fat to bone": body,
        "a liver at 100 HU under a window": np.clip(rng.normal(100, 15, SHAPE), 40, 160),
        "a phantom without noise": np.where(rng.random(SHAPE) < 0.8, 40, 300),
        "a phantom with fat": rng.choice([-100, 40, 60, 800], SHAPE, p=[0.4, 0.3, 0.25, 0.05]),
        "up to 255": np.clip(body, -120, 255),
        "mostly fat": np.clip(np.where(rng.random(SHAPE) < 0.6, rng.normal(-115, 12, SHAPE), body + 300), -165, 1460),
        "a vertebra": np.clip(rng.normal(350, 150, SHAPE), -40, 1400),
    }
    for name, array in members.items():
        for dtype in (np.int16, np.int32, np.float32, np.float64):
            try:
                check_ct(volume(array.astype(dtype)))
            except InputError as error:
                pytest.fail(f"{name} as {np.dtype(dtype)}: {error}")


def test_pictures_and_stored_values_are_no_ct(body, rng):
    scene = np.where(rng.random(SHAPE) < 0.4, -1000 + rng.normal(0, 8, SHAPE), body)  # with air around
    members = {
        ("8-bit", "bytes"): rng.integers(10, 201, SHAPE).astype(np.uint8),
        ("8-bit", "signed bytes"): rng.integers(0, 120, SHAPE).astype(np.int8),
        ("8-bit", "a mask"): rng.random(SHAPE) < 0.5,
        ("8-bit", "bytes in wider numbers"): rng.integers(0, 256, SHAPE).astype(np.int16),
        ("8-bit", "bytes as floats, dark"): rng.integers(0, 180, SHAPE).astype(np.float32),
        ("8-bit", "bright"): rng.integers(3, 256, SHAPE).astype(np.int16),
        ("8-bit", "a bright background"): np.where(scene < -500, 232, np.abs(scene) % 230 + 5).astype(np.float32),
        ("rescale", "stored values"): np.clip(scene + 1024, 0, 4095).astype(np.int16),
        ("rescale", "stored values, the air not cut off"): (np.abs(scene + 1000) + 30).astype(np.int16),
        ("rescale", "stored values inside the body"): (body + 1024).astype(np.int16),
        ("rescale", "all of twelve bits"): rng.integers(0, 4096, SHAPE).astype(np.int16),
        ("rescale", "unsigned tissue"): rng.integers(10, 301, SHAPE).astype(np.uint16),
        ("rescale", "air cut off at -200"): np.clip(scene, -200, 3000).astype(np.int16),
        ("rescale", "air set to 0"): np.where(scene < -500, 0, np.clip(scene, 0, 2000)).astype(np.float32),
        ("rescale", "MR"): np.where(scene < -500, np.abs(rng.normal(0, 8, SHAPE)), 300 + body).astype(np.float32),
    }
    for (words, name), array in members.items():
        try:
            check_ct(volume(array))
        except InputError as error:
            assert words in str(error), f"{name}: {error}"
        else:
            pytest.fail(f"{name} was taken for a CT")
