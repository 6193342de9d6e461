"""What the library's tests share: a model that costs nothing, the projector's back ends, and pixels."""

from __future__ import annotations

import numpy as np
import pytest
from backprojector import CARD as BACKPROJECTOR_CARD
from backprojector import Backprojector
from barrel import CARD, Barrel
from beams import BACK_ENDS, use

from XRayTo3DLib.models.zoo import LoadedModel, load_model, save_model


@pytest.fixture(scope="session")
def barrel(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The model of ``barrel.py``, trusted and loaded."""
    folder = tmp_path_factory.mktemp("barrel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(folder / "home"))
        save_model(Barrel(), CARD, folder / "barrel.pt")
        return load_model(folder / "barrel.pt", ask=lambda m: True)


@pytest.fixture(scope="session")
def backprojector(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The model of ``backprojector.py``, which uses all that it is given, trusted and loaded."""
    folder = tmp_path_factory.mktemp("backprojector")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(folder / "home"))
        save_model(Backprojector(), BACKPROJECTOR_CARD, folder / "backprojector.pt")
        return load_model(folder / "backprojector.pt", ask=lambda m: True)


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with the projector's fast kernel, and without."""
    return use(request.param, monkeypatch)


@pytest.fixture
def pixels() -> np.ndarray:
    """12-bit values that differ everywhere, 6 rows x 8 columns."""
    return (np.arange(48, dtype=np.uint16).reshape(6, 8) * 80 + 100).astype(np.uint16)
