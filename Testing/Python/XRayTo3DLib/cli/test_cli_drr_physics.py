"""``xrayto3d drr``: what each option of physics does to the numbers, on a block of water."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from vtkmodules.vtkFiltersSources import vtkCubeSource, vtkSphereSource
from vtkmodules.vtkIOGeometry import vtkSTLWriter

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.io.surfaces import write_surface
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.simulation.drr import QUALITIES

#: A block of water of 160 x 80 x 160 mm around the origin, in air.
GRID = Grid.centred((0, 0, 0), (40, 24, 40), 5.0)
WIDE, DEEP, HIGH = 160.0, 80.0, 160.0


@pytest.fixture(scope="module")
def water(tmp_path_factory) -> Path:
    array = np.full(GRID.shape, -1000, np.int16)
    array[4:36, 4:20, 4:36] = 0
    path = tmp_path_factory.mktemp("water") / "water.nrrd"
    write_volume(Volume(array, GRID), path)
    return path


@pytest.fixture
def shot(run, water, tmp_path):
    """Renders the block, parallel from the front on pixels of 5 mm that meet its voxels, with more options."""

    def render(*options):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.nrrd"
        setting = ["--parallel", "--size", "40", "--pixel", "5", "--look", "none", "--out", out]
        view = [] if "--view" in options else ["--view", "AP"]
        found = run("drr", water, *view, *setting, *options)
        assert found.code == 0, found.error
        radiograph = read_radiograph(out)
        notes = [line for line in found.out.splitlines() if line.startswith("note: ")]
        assert notes == [f"note: {note}" for note in radiograph.notes]
        return radiograph

    return render


def write_labels(array: np.ndarray, path: Path, grid: Grid = GRID) -> Path:
    sitk.WriteImage(to_sitk(array, grid), str(path))
    return path


def write_polydata(source, path: Path) -> Path:
    source.Update()
    write_surface(Surface(source.GetOutput(), "it", 0.0, True), path)
    return path


def ball(centre, radius) -> vtkSphereSource:
    source = vtkSphereSource()
    source.SetCenter(*centre)
    source.SetRadius(radius)
    source.SetThetaResolution(64)
    source.SetPhiResolution(64)
    return source


def test_without_options_it_is_the_line_integral(shot):
    radiograph = shot()
    assert radiograph.line_integrals.max() == pytest.approx(MU_WATER * DEEP, rel=1e-4)
    assert radiograph.notes == ()


def test_photons_are_poisson(shot):
    photons = 2000.0
    expected = photons * np.exp(-shot().line_integrals)
    noisy = shot("--photons", "2000")
    counted = photons * np.exp(-noisy.line_integrals.astype(np.float64))
    np.testing.assert_allclose(counted, np.rint(counted), atol=0.01)  # whole photons
    standard = (counted - expected) / np.sqrt(expected)
    assert abs(standard.mean()) < 0.1 and standard.var() == pytest.approx(1, abs=0.15)
    assert "2000 photons" in noisy.notes[0]


def test_electronic_noise_adds_its_variance(shot):
    expected = 10000 * np.exp(-shot().line_integrals)
    counted = 10000 * np.exp(-shot("--photons", "1e4", "--electronic-noise", "150").line_integrals.astype(np.float64))
    rest = counted - expected
    dark = expected < 3000  # behind the water: 2100 photons
    assert rest[dark].var() == pytest.approx(expected[dark].mean() + 150**2, rel=0.15)


def test_the_seed_makes_the_noise(shot):
    first, again, other = (shot("--photons", "500", "--seed", seed).line_integrals for seed in ("1", "1", "2"))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_blur_is_a_gaussian_of_the_signal(shot):
    sharp, blurred = shot().line_integrals, shot("--blur", "20").line_integrals
    sigma = 20 / np.sqrt(8 * np.log(2)) / 5
    expected = -np.log(ndimage.gaussian_filter(np.exp(-sharp.astype(np.float64)), sigma, mode="nearest"))
    np.testing.assert_allclose(blurred, expected, atol=1e-4)
    assert blurred[20, 4] < 0.8 * sharp[20, 4]  # at the edge of the block


def test_a_tube_hardens_its_beam(shot):
    thick = {kilovolts: shot("--kilovolts", kilovolts) for kilovolts in ("60", "120")}
    behind = {kilovolts: radiograph.line_integrals[20, 20] for kilovolts, radiograph in thick.items()}
    assert behind["60"] > 1.1 * behind["120"] > 1.1 * MU_WATER * DEEP  # soft beams are stopped more than 70 keV
    assert "120 kV" in thick["120"].notes[0] and "effective energy" in thick["120"].notes[0]
    side = shot("--kilovolts", "60", "--view", "LAT")
    assert side.line_integrals.max() / behind["60"] < 0.97 * WIDE / DEEP  # what is left behind more water is harder


def test_the_preview_is_close(shot):
    full, preview = (shot("--quality", quality).line_integrals for quality in QUALITIES)
    np.testing.assert_allclose(preview, full, atol=0.03)


@pytest.mark.parametrize("ending", [".stl", ".ply", ".obj", ".vtp"])
def test_a_surface_casts_its_shadow_where_it_stands(shot, tmp_path, ending):
    file = write_polydata(ball((30, 5, -20), 20), tmp_path / f"ball{ending}")
    fine = ["--pixel", "2", "--size", "100"]
    with_ball = shot(*fine, "--insert", f"{file}=0.2")
    shadow = with_ball.line_integrals - shot(*fine).line_integrals
    rows, columns = np.mgrid[:100, :100]
    middle = (shadow * columns).sum() / shadow.sum(), (shadow * rows).sum() / shadow.sum()
    np.testing.assert_allclose(middle, with_ball.projection.project(np.array([[30.0, 5.0, -20.0]]))[0], atol=0.05)
    volume = 4 / 3 * np.pi * 20**3
    assert shadow.sum() * 2 * 2 == pytest.approx((0.2 - MU_WATER) * volume, rel=0.01)  # in place of water
    assert with_ball.notes[0].startswith(file.name) and "0.2 1/mm" in with_ball.notes[0]


def test_a_surface_in_ras_says_so_and_is_turned(shot, tmp_path):
    box = vtkCubeSource()
    box.SetBounds(20, 60, -10, 10, 0, 40)
    box.Update()
    writer = vtkSTLWriter()
    writer.SetHeader("3D Slicer output. SPACE=RAS")
    writer.SetFileTypeToBinary()
    writer.SetFileName(str(tmp_path / "box.stl"))
    writer.SetInputData(box.GetOutput())
    writer.Write()
    found = shot("--insert", f"{tmp_path / 'box.stl'}=0.1")
    shadow = found.line_integrals - shot().line_integrals
    rows, columns = np.nonzero(shadow > 0.5 * shadow.max())
    middle = found.projection.project(np.array([[-40.0, 0.0, 20.0]]))[0]
    np.testing.assert_allclose((columns.mean(), rows.mean()), middle, atol=0.6)


@pytest.mark.parametrize(("suffix", "deep"), [("", 40.0), (":2", 10.0), (":label 1", 30.0)])
def test_a_label_image_is_an_insert(shot, tmp_path, suffix, deep):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[16:24, 6:12, 16:24] = 1
    labels[16:24, 12:14, 16:24] = 2
    file = write_labels(labels, tmp_path / "labels.nii.gz")
    shadow = shot("--insert", f"{file}{suffix}=0.1").line_integrals - shot().line_integrals
    assert shadow.max() == pytest.approx((0.1 - MU_WATER) * deep, rel=0.02)


def test_metal_and_contrast_agent_by_name(shot, tmp_path):
    plate = vtkCubeSource()
    plate.SetBounds(-20, 20, -5, 5, -20, 20)
    file = write_polydata(plate, tmp_path / "plate.stl")
    plain = shot().line_integrals[20, 20]
    steel, titanium, iodine = (
        shot("--insert", f"{file}={name}").line_integrals[20, 20] for name in ("steel", "titanium", "iodine 15")
    )
    assert steel - plain > 1.5 * (titanium - plain) > 0
    assert iodine > plain  # it adds to the water
    both = shot("--insert", f"{file}=0.1", "--insert", f"{write_polydata(ball((60, 0, 60), 10), tmp_path / 'b.stl')}=0.1")
    added = both.line_integrals - shot().line_integrals
    assert added[20, 20] > 0.5 and added.max() > 0.5 and len(both.notes) == 2
    assert np.count_nonzero(added > 0.5) > np.count_nonzero((shot("--insert", f"{file}=0.1").line_integrals - plain) > 0.5)


# The CT moved by a transform


@pytest.mark.parametrize("form", ["matrix", "itk"])
def test_a_transform_moves_the_ct_and_its_inserts(shot, tmp_path, form):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[16:24, 6:12, 16:24] = 1
    file = write_labels(labels, tmp_path / "labels.nrrd")
    if form == "matrix":
        move = np.eye(4)
        move[:3, 3] = 20, 0, 10  # to the left and up
        np.savetxt(tmp_path / "move.txt", move)
        transform = tmp_path / "move.txt"
    else:  # what Slicer stores takes points back
        transform = tmp_path / "move.tfm"
        sitk.WriteTransform(sitk.TranslationTransform(3, (-20.0, 0.0, -10.0)), str(transform))
    setting = ["--isocentre", "0", "0", "0", "--insert", f"{file}=0.1"]
    still = shot(*setting)
    moved = shot(*setting, "--transform", transform)
    here, there = still.projection.project(np.array([[0.0, 0.0, 0.0], [20.0, 0.0, 10.0]]))
    columns, rows = np.rint(there - here).astype(int)
    assert (abs(columns), abs(rows)) == (4, 2)
    expected = np.roll(still.line_integrals, (rows, columns), axis=(0, 1))
    np.testing.assert_allclose(moved.line_integrals, expected, atol=1e-3)


def test_views_aim_at_the_moved_ct(shot, tmp_path):
    move = np.eye(4)
    move[:3, 3] = 500, 0, 100
    np.savetxt(tmp_path / "move.txt", move)
    moved = shot("--transform", tmp_path / "move.txt")
    np.testing.assert_allclose(moved.line_integrals, shot().line_integrals, atol=1e-4)
    np.testing.assert_allclose(moved.projection.project(np.array([[500.0, 0.0, 100.0]])), [[19.5, 19.5]], atol=1e-6)
