"""Files that ITK reads in silence although voxels are missing."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.volumes import read_volume


@pytest.fixture
def array(rng):
    return rng.integers(-1000, 1500, (6, 9, 10)).astype(np.int16)


def write(array, path, **options) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), **options)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".img", ".img.gz", ".gipl.gz"])
def test_a_file_that_ends_early_is_refused(tmp_path, array, ending, dtype):
    path = tmp_path / f"ct{ending}"
    if ending == ".gipl.gz":
        dtype = np.int16
    write(array.astype(dtype), path)
    np.testing.assert_array_equal(read_volume(path).array, array)
    whole = path.read_bytes()
    for kept in (len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=rf"ct{ending} ends before its last voxel.*again\.$"):
            read_volume(path)


def test_a_compressed_file_of_a_file_that_ends_early_is_refused(tmp_path, array):
    write(array, tmp_path / "ct.nii")
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress((tmp_path / "ct.nii").read_bytes()[:-100]))
    with pytest.raises(InputError, match="ends before its last voxel"):
        read_volume(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("odd", ["members", "named", "padded"])
def test_an_unusual_but_whole_gzip_file_is_read(tmp_path, array, odd):
    write(array, tmp_path / "ct.nii")
    data = (tmp_path / "ct.nii").read_bytes()
    path = tmp_path / "odd.nii.gz"
    if odd == "members":
        path.write_bytes(b"".join(gzip.compress(data[at : at + 500]) for at in range(0, len(data), 500)))
    elif odd == "named":
        with path.open("wb") as raw, gzip.GzipFile("a long name.nii", "wb", fileobj=raw) as stream:
            stream.write(data)
    else:
        path.write_bytes(gzip.compress(data + bytes(3000)))
    np.testing.assert_array_equal(read_volume(path).array, array)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".img"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_nifti_with_a_voxel_that_is_no_number_is_refused(tmp_path, array, ending, dtype, value):
    path = tmp_path / f"ct{ending}"
    values = array.astype(dtype)
    values[5, 8, 9] = value
    write(values, path)
    with pytest.raises(InputError, match=rf"ct{ending} holds NaN or infinite voxels"):
        read_volume(path)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_nifti_in_the_other_byte_order_is_checked_too(tmp_path, array, value):
    values = array.astype(np.float32)
    values[0, 0, 0] = value
    write(values, tmp_path / "ct.nii")
    data = np.frombuffer((tmp_path / "ct.nii").read_bytes(), np.uint8).copy()
    for start, stop, size in ((0, 4, 4), (40, 56, 2), (68, 76, 2), (76, 120, 4), (252, 256, 2), (256, 328, 4), (352, None, 4)):
        data[start:stop] = data[start:stop].reshape(-1, size)[:, ::-1].ravel()
    (tmp_path / "swapped.nii").write_bytes(data.tobytes())
    if np.isnan(value):
        with pytest.raises(InputError, match="NaN"):
            read_volume(tmp_path / "swapped.nii")
    else:
        np.testing.assert_array_equal(read_volume(tmp_path / "swapped.nii").array, values)
