"""Files that ITK reads in silence although voxels or slices are missing."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images import read_image, read_volume

TURN = (1.0, 0.0, 0.0, 0.0, 0.6, 0.8)
NORMAL = np.cross(TURN[:3], TURN[3:])


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


def slices(folder, positions, series="1.2.3", turn=TURN) -> None:
    """One CT slice a position in mm along the normal, each in a file of its own."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, position in enumerate(positions):
        pixels = np.full((1, 5, 4), -1000, np.int16)
        pixels[0, 1:4, 1:3] = 10 * number
        image = sitk.GetImageFromArray(pixels)
        image.SetOrigin((position * NORMAL).tolist())
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{series}.1.{number}",
            "0008|0060": "CT",
            "0020|000d": "1.2",
            "0020|000e": series,
            "0020|0032": "\\".join(f"{value:.6f}" for value in position * NORMAL),
            "0020|0037": "\\".join(map(str, turn)),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        image.SetDirection(np.column_stack([turn[:3], turn[3:], np.cross(turn[:3], turn[3:])]).ravel().tolist())
        writer.SetFileName(str(folder / f"{series}-{number:02}.dcm"))
        writer.Execute(image)


def test_a_whole_series_is_read_in_order(tmp_path):
    slices(tmp_path / "ct", [2.51, 0.0, 7.49, 5.0, 10.0])
    volume = read_volume(tmp_path / "ct")
    assert volume.array[:, 2, 2].tolist() == [10, 0, 30, 20, 40]
    assert volume.grid.spacing[2] == pytest.approx(2.5)


@pytest.mark.parametrize(
    "positions, words",
    [
        ([0, 2, 4, 8, 10, 12], r"1\.2\.3-02\.dcm and 1\.2\.3-03\.dcm in .*ct are 4 mm apart but others 2 mm.*missing"),
        ([0, 2, 4.1, 6, 8], "uneven"),
        ([0, 2, 4, 4, 6, 8], r"1\.2\.3-02\.dcm and 1\.2\.3-03\.dcm in .*ct are slices at the same place"),
        ([0, 2, 4, 0, 2, 4], "same place"),
    ],
)
def test_a_series_with_missing_or_double_slices_is_refused_in_one_sentence(tmp_path, capfd, positions, words):
    slices(tmp_path / "ct", positions)
    capfd.readouterr()
    with pytest.raises(InputError, match=words):
        read_volume(tmp_path / "ct")
    assert capfd.readouterr() == ("", "")


def test_slices_that_are_not_parallel_are_refused(tmp_path):
    slices(tmp_path / "ct", [0, 2, 4])
    slices(tmp_path / "other", [6], turn=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    (tmp_path / "other" / "1.2.3-00.dcm").rename(tmp_path / "ct" / "scout.dcm")
    with pytest.raises(InputError, match="not parallel"):
        read_volume(tmp_path / "ct")


def test_two_series_are_refused_but_a_single_file_beside_one_is_not(tmp_path):
    slices(tmp_path / "ct", [0, 2, 4])
    slices(tmp_path / "ct", [1], series="1.2.1")
    assert read_image(tmp_path / "ct").GetSize() == (4, 5, 3)
    slices(tmp_path / "ct", [0, 2, 4], series="1.2.2")
    with pytest.raises(InputError, match="ct holds 2 DICOM series"):
        read_image(tmp_path / "ct")


def test_an_empty_folder_is_refused_in_one_sentence(tmp_path, capfd):
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    with pytest.raises(InputError, match="no DICOM series"):
        read_image(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
