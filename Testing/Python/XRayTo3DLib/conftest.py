"""What the library's tests share: a model that costs nothing."""

from __future__ import annotations

import pytest
from barrel import CARD, Barrel

from XRayTo3DLib.modelzoo import LoadedModel, load_model, save_model


@pytest.fixture(scope="session")
def barrel(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The model of ``barrel.py``, trusted and loaded."""
    folder = tmp_path_factory.mktemp("barrel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(folder / "home"))
        save_model(Barrel(), CARD, folder / "barrel.pt")
        return load_model(folder / "barrel.pt", ask=lambda m: True)
