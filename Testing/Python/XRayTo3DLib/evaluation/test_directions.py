"""From a file to a figure: what is measured of a CT does not depend on the order and direction in which it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.evaluation.cases import read_case
from XRayTo3DLib.evaluation.comparison import compare_with_ct, mean_beside
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.orientation import oriented
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.training.means import mean_of

_TURN = np.radians(20)
OBLIQUE = np.array([[np.cos(_TURN), -np.sin(_TURN), 0], [np.sin(_TURN), np.cos(_TURN), 0], [0, 0, 1]])
DIRECTIONS = {"ras": np.diag([-1.0, -1.0, 1.0]), "feet first": np.diag([1.0, 1.0, -1.0]), "oblique": OBLIQUE}
Measure = Callable[[Path, Volume], np.ndarray]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, phantom) -> dict[str, Path]:
    """The phantom (left is left: its ribs and heart are not symmetric) sampled on voxels of 5 mm in every direction."""
    folder = tmp_path_factory.mktemp("directions")
    paths = {}
    for name, direction in {"lps": np.eye(3), **DIRECTIONS}.items():
        size = np.array([84, 70, 60])
        first = np.array([3.0, -7.0, 11.0]) - direction @ ((size - 1) / 2 * 5.0)
        made = phantom.volume(Grid(tuple(size), (5.0, 5.0, 5.0), tuple(first), direction), supersample=1)
        paths[name] = folder / f"{name.replace(' ', '_')}.nii.gz"
        write_volume(Volume(np.rint(made.array).astype(np.int16), made.grid), paths[name])
    return paths


def xray(path: Path, lps: Volume) -> np.ndarray:
    views = [view_projection(view, lps.grid.centre, (24, 24), 20.0) for view in ("AP", "LAT")]
    return np.stack([r.line_integrals for r in render_drr(read_volume(path), views)])


def comparison(path: Path, lps: Volume) -> np.ndarray:
    """Figures of one blurred answer on a grid of its own."""
    grid = Grid.centred(lps.grid.centre, 40, 8.0)
    answer = resample(lps, grid, smooth=True)
    shifted = Volume(np.roll(answer.array, 1, axis=2), grid)
    figures = compare_with_ct(read_volume(path), {"answer": shifted}).figures["answer"]
    body = figures["structures"]["body"]
    return np.array([figures["psnr"], 20 * figures["ssim"], figures["hu_mae_body"] / 5, 20 * body["dice"]])


def structures(path: Path, lps: Volume) -> np.ndarray:
    """Litres of body, lungs and bone, and where the lungs are (LPS, cm)."""
    labels = segment_ct(read_volume(path))
    index = np.argwhere(labels.mask("lungs"))[:, ::-1]
    places = index @ labels.grid.affine[:3, :3].T + labels.grid.affine[:3, 3]
    return np.array([*(labels.mask(name).sum() * 0.125 / 1000 * 5 for name in ("lungs", "bone")), *places.mean(axis=0) / 10])


def mean_placed(path: Path, lps: Volume) -> np.ndarray:
    """The bundled mean beside the CT, in units of 100 HU."""
    grid = Grid.centred(lps.grid.centre, 40, 8.0)
    truth = resample(oriented(read_volume(path)), grid, smooth=True)
    views = [view_projection("AP", lps.grid.centre, (24, 24), 20.0)]
    found = mean_beside(read_volume(path), truth, render_drr(lps, views))
    assert found is not None
    return found[1].array[::8, ::8, ::8] / 100


def case(path: Path, lps: Volume) -> np.ndarray:
    """Every ninth voxel of the protocol's truth, in units of 100 HU."""
    return read_case(path).truth.array[4::9, 4::9, 4::9] / 100


def training_mean(path: Path, lps: Volume) -> np.ndarray:
    return mean_of([path]).array[4::9, 4::9, 4::9] / 100.0


def test_every_path_from_a_file_to_a_figure_honours_the_direction(files):
    lps = read_volume(files["lps"])
    # The oblique scan is another sampling of the same phantom, whose edges are sharp: the share by which its figures may differ.
    # With its direction ignored they differ by 2.5 times as much or more (but for the mean, which the top of the scan places).
    paths: dict[Measure, float] = {
        xray: 0.04,
        comparison: 0.04,
        structures: 0.01,
        mean_placed: 0.01,
        case: 0.25,
        training_mean: 0.05,
    }
    for measure, share in paths.items():
        wanted = measure(files["lps"], lps)
        assert np.isfinite(wanted).all() and np.ptp(wanted) > 0.5, measure.__name__
        for name in DIRECTIONS:
            error = np.abs(measure(files[name], lps) - wanted)
            if name == "oblique":
                assert error.mean() < share * np.abs(wanted).mean(), (measure.__name__, name, error.mean())
            else:
                assert error.max() < 2e-3, (measure.__name__, name, error.max())
