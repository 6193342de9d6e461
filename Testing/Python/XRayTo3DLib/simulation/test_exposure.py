"""An exposure: one value, and what cannot be one."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.simulation.exposure import Exposure


def test_an_exposure_is_one_value():
    exposure = Exposure(kilovolts=80, photons=np.float32(1e4), blur=0.5, seed=np.int64(3))
    assert exposure == Exposure(80.0, 1e4, 0.0, 0.5, 3) and hash(exposure) == hash(Exposure(80.0, 1e4, 0.0, 0.5, 3))
    assert len({exposure, replace(exposure), replace(exposure, seed=4)}) == 2
    with pytest.raises(FrozenInstanceError):
        exposure.blur = 1.0
    assert exposure.beam.energies.max() < 80 and Exposure().beam is None
    assert Exposure().is_ideal_detector and not exposure.is_ideal_detector


def test_what_cannot_be_is_one_sentence():
    nan, inf = float("nan"), float("inf")
    for value in (0.5, -1, 0, nan, inf, 1e30, "many", "1e4", True, (1e4,), {}):
        with pytest.raises(InputError, match="photons"):
            Exposure(photons=value)
    for value in (-1.0, nan, inf, "some", None, [1.0]):
        with pytest.raises(InputError, match="electronic noise"):
            Exposure(photons=1e4, electronic_noise=value)
    with pytest.raises(InputError, match="give both"):
        Exposure(electronic_noise=5.0)
    for value in (-0.1, nan, 1e9, "wide", None, (1.0, 1.0)):
        with pytest.raises(InputError, match="blur"):
            Exposure(blur=value)
    for value in (-1, 1.5, "x", None, True, [1, 2]):
        with pytest.raises(InputError, match="seed"):
            Exposure(photons=1e4, seed=value)
    for value in (39, 151, 1000, 0, -80, nan, inf, "80", True, (80,)):
        with pytest.raises(InputError, match=r"kV|kilovolts"):
            Exposure(kilovolts=value)
