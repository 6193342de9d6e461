"""Series that ITK reads in silence although slices are missing, double or elsewhere."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

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


def test_slices_of_a_tilted_gantry_are_straightened(tmp_path):
    slices(tmp_path / "straight", [0, 2, 4, 6], shear=0.002)
    found = read_volume(tmp_path / "straight")
    assert found.grid.size == (4, 5, 4) and found.grid.direction.T @ found.grid.direction == pytest.approx(np.eye(3), abs=1e-12)
    assert "off right angles by 0.11 degrees" in found.notes[0] and found.array[3, 2, 2] == 30
    for tilt in (0.6, -15.0, 28.0):
        shear = np.tan(np.radians(tilt))
        slices(tmp_path / f"{tilt}", [0, 2, 4, 6, 8, 10, 12, 14, 16], shear=shear)
        found = read_volume(tmp_path / f"{tilt}")
        assert "resampled" in found.notes[0] and found.grid.direction[:, 2] == pytest.approx(NORMAL)
        for number in range(9):  # the middle of the block of each slice, where the slice was
            there = 2 * number * (NORMAL + shear * np.array(TURN[3:])) + 1.5 * np.array(TURN[:3]) + 2 * np.array(TURN[3:])
            y, z = (found.grid.to_index @ [*there, 1])[1:3]
            lower, part = int(np.floor(y)), y - np.floor(y)
            column = found.array[round(z), lower : lower + 2, 1]
            assert z == pytest.approx(round(z), abs=1e-4) and column @ [1 - part, part] == pytest.approx(10 * number, abs=0.1)
    slices(tmp_path / "steep", [0, 2, 4, 6], shear=1.0)
    with pytest.raises(InputError, match="off by 45 degrees"):
        read_volume(tmp_path / "steep")


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
        "spacing": (edited(PixelSpacing=[2, 2]), "is not like the others of its series"),
        "size": (edited(Rows=4, PixelData=b"\0\0" * 16), "is not like the others of its series"),
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


def edit(member: Path, **values: object) -> None:
    dataset = pydicom.dcmread(member)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(member)


def test_a_damaged_slice_anywhere_is_named(tmp_path, capfd):
    """At the ends too, where the rest is still an even stack; bystanders are no slices."""

    def empty(member: Path) -> None:
        member.write_bytes(b"")

    def overwritten(member: Path) -> None:
        member.write_bytes(b"\0" * 200 + member.read_bytes()[200:])

    def without_pixels(member: Path) -> None:
        dataset = pydicom.dcmread(member)
        del dataset.PixelData
        dataset.save_as(member)

    def header_alone(member: Path) -> None:
        dataset = pydicom.dcmread(member)
        for element in list(dataset):
            if element.tag.group >= 0x28:
                del dataset[element.tag]
        dataset.save_as(member)

    def undecodable(member: Path) -> None:
        dataset = pydicom.dcmread(member)
        dataset.PixelData = encapsulate([b"\0" * 64])
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(member, implicit_vr=False, little_endian=True)

    def short(member: Path) -> None:
        edit(member, PixelData=pydicom.dcmread(member).PixelData[:-4])

    for ending in ("dcm", "", "0"):
        for number in (0, 2, 5):
            for damage, words in (
                (empty, "is empty"),
                (overwritten, "damaged"),
                (without_pixels, "no pixels"),
                (header_alone, "no pixels"),
                (undecodable, "cannot be decoded"),
                (short, "fewer pixels"),
            ):
                folder = tmp_path / f"{ending}{number}{damage.__name__}"
                slices(folder, [0, 2, 4, 6, 8, 10])
                for member in list(folder.iterdir()):
                    member.rename(member.with_suffix(f".{ending}") if ending else folder / f"IM{member.stem[-2:]}")
                culprit = sorted(folder.iterdir())[number]
                damage(culprit)
                (folder / "README.txt").write_text("no slice")
                with pytest.raises(InputError, match=words) as refused:
                    read_volume(folder)
                assert str(culprit) in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_slice_is_left_out_or_refused_by_its_own_name(tmp_path):
    """A localizer and a copy are left out and named; a slice of another kind is refused, wherever its name sorts."""
    for name in ("1.2.3-00.dcm", "a_scout.dcm", "z_scout.dcm"):
        folder = tmp_path / f"with {name}"
        slices(folder, [0, 2, 4, 6])
        slices(tmp_path / "scout", [9], turn=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
        scout = (tmp_path / "scout" / "1.2.3-00.dcm").rename(folder / name.replace("00", "xx"))
        with pytest.raises(InputError, match=f"{scout.name} differs"):
            read_volume(folder)
        edit(scout, Rows=4, PixelData=b"\0\0" * 16)
        with pytest.raises(InputError, match=f"{scout.name} is not like the others"):
            read_volume(folder)
        edit(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        found = read_volume(folder)
        assert found.grid.size == (4, 5, 4) and f"{scout.name}, beside" in found.notes[0]
    folder = tmp_path / "copies"
    slices(folder, [0, 2, 4, 6])
    (folder / "Mustermann 2.dcm").write_bytes((folder / "1.2.3-02.dcm").read_bytes())
    for member in folder.iterdir():
        edit(member, PatientName="Mustermann^Max")
    assert "patient 2.dcm" in read_volume(folder).notes[0]
    (folder / "Mustermann 2.dcm").unlink()
    (folder / "copy.dcm").write_bytes((folder / "1.2.3-02.dcm").read_bytes())
    found = read_volume(folder)
    assert found.array[:, 2, 2].tolist() == [0, 10, 20, 30] and "copy.dcm" in found.notes[0] and "1.2.3-02.dcm" in found.notes[0]
    slices(folder, [1], series="1.2.1")
    assert "1.2.1-00.dcm" in " ".join(read_volume(folder).notes)
    (folder / "1.2.1-00.dcm").unlink()
    edit(folder / "1.2.3-01.dcm", PixelData=b"\x18\xfc" * 20)
    (folder / "copy.dcm").unlink()
    assert "1.2.3-01.dcm is empty" in read_volume(folder).notes[0]
    edit(folder / "1.2.3-01.dcm", ImagePositionPatient=(2 * NORMAL + [1, 0, 0]).tolist())
    with pytest.raises(InputError, match=r"1\.2\.3-01\.dcm is 1 mm to the side"):
        read_volume(folder)


def test_padding_of_a_ct_is_air(tmp_path):
    padded = {
        "signed": ({"PixelPaddingValue": -32768}, -32768, True),
        "as if unsigned": ({"PixelPaddingValue": 63536}, -2000, True),
        "range": ({"PixelPaddingValue": -3000, "PixelPaddingRangeLimit": -2900}, -2950, True),
        "bright": ({"PixelPaddingValue": 32767}, 32767, True),
        "not said": ({}, -32768, True),
        "tissue": ({"PixelPaddingValue": 0}, 0, False),
    }
    for name, (tags, stored, filled) in padded.items():
        slices(tmp_path / name, [0, 2, 4, 6])
        for member in (tmp_path / name).iterdir():
            dataset = pydicom.dcmread(member)
            pixels = dataset.pixel_array.copy()
            pixels[0] = stored
            dataset.PixelData = pixels.astype("<i2").tobytes()
            for keyword, value in tags.items():
                dataset.add_new(keyword, "US" if value > 32767 else "SS", value)
            dataset.save_as(member)
        found = read_volume(tmp_path / name)
        assert (found.array[:, 0] == (-1000 if filled else stored)).all() and found.array[3, 2, 2] == 30, name
        assert any("padding" in note for note in found.notes), name


def test_nifti_images_with_a_sheared_matrix(tmp_path):
    """Slight shears become the nearest rigid grid, larger ones are resampled, and no scanner's are refused for what they are."""
    array = np.full((12, 11, 10), -1000, np.int16)
    array[3:9, 3:8, 3:7] = 40
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2, 3, 4))
    for ending in (".nii", ".nii.gz"):
        for degrees, words in ((0.1, "nearest"), (12, "resampled"), (50, "off by 50 degrees")):
            path = tmp_path / f"{degrees}{ending}"
            sitk.WriteImage(image, str(path))
            content = bytearray(gzip.decompress(path.read_bytes()) if ending == ".nii.gz" else path.read_bytes())
            shear = 4 * np.array([np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))])
            matrix = np.array([[-2, 0, shear[0], 5], [0, -3, shear[1], 6], [0, 0, shear[2], 7]])  # RAS
            struct.pack_into("<2h", content, 252, 0, 1)
            struct.pack_into("<12f", content, 280, *matrix.ravel())
            path.write_bytes(gzip.compress(content) if ending == ".nii.gz" else content)
            if degrees > 45:
                with pytest.raises(InputError, match=words):
                    read_volume(path)
                continue
            found = read_volume(path)
            assert any(words in note for note in found.notes)
            assert found.grid.direction.T @ found.grid.direction == pytest.approx(np.eye(3), abs=1e-9)
            middle = np.argwhere(found.array > -400).mean(axis=0)[::-1]
            expected = np.diag([-1, -1, 1]) @ (matrix @ [4.5, 5, 5.5, 1])
            assert (found.grid.affine @ [*middle, 1])[:3] == pytest.approx(expected, abs=0.3)
