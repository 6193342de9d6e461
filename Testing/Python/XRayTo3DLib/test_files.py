import errno
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io import volumes as images
from XRayTo3DLib.io.volumes import write_volume


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_whole_in_a_new_folder(tmp_path):
    target = tmp_path / "new" / "deep" / "a.seg.nrrd"
    with writing(target) as temporary:
        assert temporary.name.endswith(".seg.nrrd") and temporary.parent == target.parent
        temporary.write_text("all of it")
        assert not target.exists()
    assert target.read_text() == "all of it"
    assert names(target.parent) == ["a.seg.nrrd"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("before")

    def fill_the_disk(path: Path) -> None:
        path.write_text("hal")
        raise OSError(errno.ENOSPC, "No space left on device")

    words = r"a\.txt could not be written \(No space left on device\)"
    with pytest.raises(InputError, match=words), writing(target) as temporary:
        fill_the_disk(temporary)
    assert target.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_place_that_is_no_folder_is_said_and_left_alone(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="could not be written"), writing(tmp_path / "file" / "a.txt") as temporary:
        temporary.write_text("never")
    assert names(tmp_path) == ["file"]


def test_a_folder_in_the_place_of_the_file_is_left_alone(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(InputError, match="could not be written"), writing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").is_dir()


def test_other_errors_pass_but_leave_nothing(tmp_path):
    def interrupt(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "a.txt") as temporary:
        interrupt(temporary)
    assert names(tmp_path) == []


def test_a_volume_in_an_unknown_format_is_refused(tmp_path):
    volume = Volume(np.zeros((3, 3, 3), dtype=np.float32), Grid((3, 3, 3), (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="known format"):
        write_volume(volume, tmp_path / "a.xyz")
    assert names(tmp_path) == []


def test_a_writer_that_dies_half_way_leaves_nothing(tmp_path, monkeypatch):
    def die(image, name, **settings):
        Path(name).write_bytes(b"half")
        raise RuntimeError("sitk::ERROR: disk full")

    monkeypatch.setattr(images.sitk, "WriteImage", die)
    volume = Volume(np.zeros((3, 3, 3), dtype=np.float32), Grid((3, 3, 3), (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="disk full"):
        write_volume(volume, tmp_path / "a.nrrd")
    assert names(tmp_path) == []
    assert sitk.WriteImage is die  # the same function object is patched that the library calls
