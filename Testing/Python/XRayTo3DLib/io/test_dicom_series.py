"""Series that ITK reads in silence although slices are missing, double or elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.volumes import read_image, read_volume

TURN = (1.0, 0.0, 0.0, 0.0, 0.6, 0.8)
NORMAL = np.cross(TURN[:3], TURN[3:])


def slices(folder, positions, series="1.2.3", turn=TURN, shear=0.0) -> None:
    """One CT slice a position in mm along the normal, each in a file of its own; ``shear`` mm to the side a mm along it."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, position in enumerate(positions):
        there = position * (NORMAL + shear * np.array(turn[3:]))
        pixels = np.full((1, 5, 4), -1000, np.int16)
        pixels[0, 1:4, 1:3] = 10 * number
        image = sitk.GetImageFromArray(pixels)
        image.SetOrigin(there.tolist())
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{series}.1.{number}",
            "0008|0060": "CT",
            "0020|000d": "1.2",
            "0020|000e": series,
            "0020|0032": "\\".join(f"{value:.6f}" for value in there),
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


def test_slices_of_a_tilted_gantry_are_refused(tmp_path):
    slices(tmp_path / "straight", [0, 2, 4, 6], shear=0.002)
    assert read_volume(tmp_path / "straight").grid.size == (4, 5, 4)
    for tilt in (0.5, -15.0):
        slices(tmp_path / f"{tilt}", [0, 2, 4, 6, 8, 10, 12, 14, 16], shear=np.tan(np.radians(tilt)))
        with pytest.raises(InputError, match="tilted gantry"):
            read_volume(tmp_path / f"{tilt}")


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


def test_members_that_are_damaged_or_unlike_the_others_are_named(tmp_path):
    """GDCM leaves out what it cannot read, and ITK reads every slice as the first."""

    def edited(**values: object) -> Callable[[Path], None]:
        def edit(member: Path) -> None:
            dataset = pydicom.dcmread(member)
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
            dataset.save_as(member)

        return edit

    def replaced(old: bytes, new: bytes) -> Callable[[Path], object]:
        return lambda member: member.write_bytes(member.read_bytes().replace(old, new))

    changes: dict[str, tuple[Callable[[Path], object], str]] = {
        "cut": (lambda m: m.write_bytes(m.read_bytes()[:-10]), "is cut off or damaged"),
        "cut header": (lambda m: m.write_bytes(m.read_bytes()[:200]), "is cut off or damaged"),
        "spacing": (edited(PixelSpacing=[2, 2]), "is not like the first of its series"),
        "size": (edited(Rows=4, PixelData=b"\0\0" * 16), "is not like the first of its series"),
        "declared": (edited(Rows=60000, Columns=60000), "holds fewer pixels"),
        "syntax": (replaced(b"1.2.840.10008.1.2\0", b"1.2.840.10008.9.9\0"), "names no transfer syntax"),
        "place": (edited(ImagePositionPatient=["nan", 0, 4]), "does not say where its slice lies"),
    }
    if hasattr(os, "mkfifo"):
        changes["pipe"] = (lambda m: (m.unlink(), os.mkfifo(m)), "is no file but a pipe")
    for name, (change, words) in changes.items():
        slices(tmp_path / name, [0, 2, 4, 6])
        change(tmp_path / name / "1.2.3-02.dcm")
        with pytest.raises(InputError, match=rf"1\.2\.3-02\.dcm {words}"):
            read_volume(tmp_path / name)


def test_slices_of_several_types_keep_their_values(tmp_path):
    slices(tmp_path / "ct", [0, 2, 4])
    last = pydicom.dcmread(tmp_path / "ct" / "1.2.3-02.dcm")
    last.RescaleSlope, last.RescaleIntercept = 0.5, 0.25
    last.save_as(tmp_path / "ct" / "1.2.3-02.dcm")
    assert read_volume(tmp_path / "ct").array[:, 2, 2].tolist() == [0, 10, 10.25]
