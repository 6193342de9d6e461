import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, Volume, check_ct, to_attenuation, to_hu
from XRayTo3DLib.io.volumes import read_volume, write_volume


@pytest.fixture
def ct(rng, turn) -> Volume:
    array = np.full((6, 8, 10), -1000, dtype=np.int16)
    array[1:5, 2:6, 2:8] = rng.integers(-100, 900, (4, 4, 6))
    return Volume(array, Grid((10, 8, 6), (1.5, 2.0, 3.0), (-20.0, 30.0, 7.5), turn))


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
def test_a_volume_and_its_oblique_grid_survive_a_file(ct, tmp_path, ending):
    write_volume(ct, tmp_path / f"ct{ending}")
    read = read_volume(tmp_path / f"ct{ending}")
    assert np.array_equal(read.array, ct.array)
    assert read.grid.same_as(ct.grid)


def refused(tmp_path, array, words: str, name: str = "bad.nrrd", is_vector: bool = False) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=is_vector), str(tmp_path / name))
    with pytest.raises(InputError, match=words) as found:
        read_volume(tmp_path / name)
    assert name in str(found.value)  # where


def test_what_is_not_an_image_is_refused(tmp_path):
    (tmp_path / "notes.nrrd").write_text("not an image")
    (tmp_path / "empty.nii").write_bytes(b"")
    for name, words in (
        ("notes.nrrd", "does not begin as a NRRD file"),
        ("empty.nii", "header of .* damaged or not that of a NIfTI"),
    ):
        with pytest.raises(InputError, match=words) as found:
            read_volume(tmp_path / name)
        assert name in str(found.value)
    with pytest.raises(InputError, match=r"gone\.nrrd does not exist"):
        read_volume(tmp_path / "gone.nrrd")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no DICOM series"):
        read_volume(tmp_path / "folder")


def test_a_truncated_file_is_refused(ct, tmp_path):
    path = tmp_path / "cut.nrrd"
    write_volume(ct, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cut\.nrrd"):
        read_volume(path)


def test_the_wrong_number_of_dimensions_is_refused(tmp_path, rng):
    refused(tmp_path, rng.normal(0, 500, (8, 8)).astype(np.float32), "2 dimensions")
    refused(tmp_path, rng.normal(0, 500, (2, 4, 4, 4)).astype(np.float32), "4 dimensions")
    refused(tmp_path, rng.normal(0, 500, (1, 8, 8)).astype(np.float32), "at least 2 voxels")
    refused(tmp_path, rng.normal(0, 500, (4, 4, 4, 3)).astype(np.float32), "colour or vector", is_vector=True)


def test_values_that_are_no_ct_are_refused(tmp_path, rng):
    good = rng.normal(0, 500, (4, 5, 6)).astype(np.float32)
    bad = good.copy()
    bad[1, 2, 3] = np.nan
    refused(tmp_path, bad, "NaN")
    bad[1, 2, 3] = np.inf
    refused(tmp_path, bad, "infinite")
    refused(tmp_path, np.full((4, 5, 6), -1000, dtype=np.int16), "constant")
    refused(tmp_path, rng.integers(0, 256, (4, 5, 6)).astype(np.uint8), "8-bit picture")
    refused(tmp_path, rng.integers(0, 4096, (4, 5, 6)).astype(np.uint16), "rescale")
    refused(tmp_path, rng.normal(0, 0.001, (4, 5, 6)).astype(np.float32) - 900, "not HU")


def test_an_empty_array_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        Grid((0, 4, 4), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"spacing \(2\.8125, 0\.0, 1\.0\) must"):
        Grid((4, 4, 4), tuple(np.array([2.8125, 0, 1])))
    with pytest.raises(InputError, match="its grid"):
        Volume(np.zeros((0, 4, 4)), Grid((4, 4, 4), (1.0, 1.0, 1.0)))


def test_metal_and_wide_tables_of_values_pass(rng):
    array = rng.normal(0, 300, (4, 4, 4))
    array[0, 0, 0], array[0, 0, 1] = 30000, -2048
    check_ct(Volume(array, Grid((4, 4, 4), (1.0, 1.0, 1.0))))


def test_the_real_ct_passes(real_ct):
    check_ct(real_ct)
    assert real_ct.grid.spacing == pytest.approx((2, 2, 2))


def test_a_unit_must_be_known():
    with pytest.raises(InputError, match="unit"):
        Volume(np.zeros((2, 2, 2)), Grid((2, 2, 2), (1.0, 1.0, 1.0)), "mGy")


def test_attenuation_and_back():
    hu = np.array([-1000.0, 0, 1000, -1500]).reshape(1, 1, 4)
    mu = to_attenuation(Volume(hu, Grid((4, 1, 1), (1.0, 1.0, 1.0))))
    assert mu.unit == "1/mm" and mu.array.ravel() == pytest.approx([0, MU_WATER, 2 * MU_WATER, 0])
    assert to_hu(mu).array.ravel() == pytest.approx([-1000, 0, 1000, -1000], abs=1e-3)
    assert to_attenuation(mu) is mu


def test_resampling_puts_a_linear_ramp_where_it_belongs(turn):
    grid = Grid((20, 20, 20), (2.0, 2.5, 3.0), (5, 6, 7), turn)
    index = np.indices(grid.shape)[::-1].reshape(3, -1)
    points = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    ramp = Volume((points[0] - 2 * points[1] + 3 * points[2]).reshape(grid.shape), grid)
    inner = Grid.centred(grid.centre, 6, 2.0)
    moved = resample(ramp, inner)
    at = inner.affine[:3, :3] @ np.indices(inner.shape)[::-1].reshape(3, -1) + inner.affine[:3, 3:]
    assert moved.array.ravel() == pytest.approx(at[0] - 2 * at[1] + 3 * at[2], abs=1e-2)
    assert resample(ramp, Grid.centred(grid.centre + 1000, 3, 1.0)).array.max() == -1000


def test_smooth_resampling_averages_what_the_coarse_grid_cannot_hold(rng):
    noise = Volume(rng.normal(0, 100, (40, 40, 40)), Grid((40, 40, 40), (1.0, 1.0, 1.0)))
    coarse = Grid.centred(noise.grid.centre, 6, 4.0)
    assert resample(noise, coarse, smooth=True).array.std() < 0.3 * resample(noise, coarse).array.std()


def test_labels_by_name_and_number():
    grid = Grid((3, 1, 1), (1.0, 1.0, 1.0))
    labels = Labelmap(np.array([[[0, 1, 2]]], dtype=np.uint8), grid, {1: "body", 2: "lungs"})
    assert labels.mask("lungs").ravel().tolist() == [False, False, True]
    assert np.array_equal(labels.mask(1), labels.mask("body"))
    with pytest.raises(InputError, match="it has body, lungs"):
        labels.mask("liver")
