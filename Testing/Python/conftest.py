"""What the tests share: the repository on the path, the phantom and the public chest CT."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker a processor: threads of each would wait for the other's
for _folder in (ROOT, ROOT / "XRayTo3D"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from XRayTo3DLib.geometry.grid import Grid  # noqa: E402
from XRayTo3DLib.images.orientation import oriented  # noqa: E402
from XRayTo3DLib.images.resampling import resample  # noqa: E402
from XRayTo3DLib.images.volume import Volume  # noqa: E402
from XRayTo3DLib.io.volumes import read_volume, write_volume  # noqa: E402
from XRayTo3DLib.simulation.phantom import Phantom, thorax_phantom  # noqa: E402
from XRayTo3DLib.simulation.sample import SHA256, sample_ct, sample_path  # noqa: E402

_HOME = os.environ.get("XRAYTO3D_HOME")


@pytest.fixture(scope="session")
def sample_file() -> Path:
    """The public chest CT as it comes, fetched once into the user's cache; skipped only where it cannot be fetched."""
    with pytest.MonkeyPatch.context() as patch:
        # A test may have moved the user's folders by now; the cache is the one that outlives the tests.
        patch.delenv("XRAYTO3D_HOME", raising=False)
        if _HOME:
            patch.setenv("XRAYTO3D_HOME", _HOME)
        sentence = sample_ct()[1]
        if not sample_path().is_file():
            pytest.skip(sentence)
        return sample_path()


@pytest.fixture(scope="session")
def real_ct(sample_file: Path, request: pytest.FixtureRequest) -> Volume:
    """The public chest CT on LPS voxels of 2 mm, HU (int16), from the same outer corner; resampled once a checkout."""
    stored = request.config.cache.mkdir("xrayto3d") / f"sample_{SHA256[:12]}_2mm.nrrd"  # type: ignore[union-attr]
    if not stored.is_file():
        volume = oriented(read_volume(sample_file))
        own = volume.grid
        spacing = np.array([2.0, 2.0, 2.0])
        size = np.floor(np.array(own.size) * own.spacing / spacing).astype(int)
        grid = Grid(tuple(size), tuple(spacing), tuple(np.array(own.origin) + (spacing - own.spacing) / 2))
        hounsfield = np.clip(resample(volume, grid, smooth=True).array, -1000, 3071)
        write_volume(Volume(np.rint(hounsfield).astype(np.int16), grid), stored)
    return read_volume(stored)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: workers that run a file each would wait for it at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("Testing/Python/test_style.py"))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
