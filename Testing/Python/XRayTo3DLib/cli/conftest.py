"""What the tests of the command line share: a small CT, its X-rays, a model that costs nothing, and a way to run commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from barrel import CARD, Barrel

from XRayTo3DLib.cli import main
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.models.zoo import describe_model, save_model, trust_model
from XRayTo3DLib.report import pictures, rendering
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.phantom import thorax_phantom


@dataclass(frozen=True)
class Run:
    """What a command gave."""

    code: int
    out: str
    error: str

    @property
    def sentence(self) -> str:
        """The last line of stderr, after bars that were cleared."""
        return self.error.replace("\r", "\n").strip().splitlines()[-1].strip()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's folders."""
    monkeypatch.setenv("XRAYTO3D_HOME", str(home))
    monkeypatch.delenv("XRAYTO3D_MODELS", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _small_pictures() -> Iterator[None]:
    """Reports are drawn whole, but small: most tests are not about their looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_DPI", 30)
        patch.setattr(pictures, "render", partial(rendering.render, side=48))
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs one command in this process."""

    def call(*arguments: object) -> Run:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model file that nobody has trusted yet."""
    path = tmp_path_factory.mktemp("models") / "stranger.pt"
    save_model(Barrel(), {**CARD, "name": "stranger"}, path)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """A trusted model file."""
    path = tmp_path_factory.mktemp("models") / "barrel.pt"
    save_model(Barrel(), CARD, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(home))
        trust_model(describe_model(path))
    return path


@pytest.fixture(scope="session")
def small_ct() -> Volume:
    """The thorax phantom on coarse voxels, HU int16."""
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (38, 28, 34), 10.0), supersample=1)
    return Volume(np.rint(volume.array).astype(np.int16), volume.grid)


@pytest.fixture(scope="session")
def ct_file(small_ct: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ct") / "ct.nrrd"
    write_volume(small_ct, path)
    return path


@pytest.fixture(scope="session")
def xrays(small_ct: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with AP.nrrd and LAT.nrrd, and the same as AP.png and LAT.png without geometry."""
    folder = tmp_path_factory.mktemp("xrays")
    views = [view_projection(view, (0, 0, 0), (64, 72), 8.0, 1500.0) for view in ("AP", "LAT")]
    for radiograph in render_drr(small_ct, views, ["AP", "LAT"]):
        for ending in ("nrrd", "png"):
            write_radiograph(radiograph, folder / f"{radiograph.name}.{ending}")
    return folder
