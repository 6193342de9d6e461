"""What the tests share: the repository on the path, the phantom, and the real data where it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
for _folder in (ROOT, ROOT / "XRayTo3D"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from XRayTo3DLib.images.volume import Volume  # noqa: E402
from XRayTo3DLib.io.volumes import read_volume  # noqa: E402
from XRayTo3DLib.simulation.phantom import Phantom, thorax_phantom  # noqa: E402


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, absent here")
    return folder


@pytest.fixture(scope="session")
def real_ct(shared: Path) -> Volume:
    """The public chest CT (2 mm, HU)."""
    return read_volume(shared / "data" / "torso" / "lidc_0001_chest.nii.gz")


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return thorax_phantom()


@pytest.fixture(scope="session")
def phantom_volume(phantom: Phantom) -> Volume:
    """The thorax phantom on its own grid, in HU."""
    return phantom.volume()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def turn(rng: np.random.Generator) -> np.ndarray:
    """A right-handed rotation that is aligned with nothing."""
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))
