"""The scene without the application, and .mrb files that are whole or not at all."""

import zipfile

import pytest
import slicer
from XRayTo3DSlicer import headless, volume_nodes

from XRayTo3DLib.errors import InputError


def test_start_keeps_the_scene(scene):
    assert headless.start() is scene is slicer.mrmlScene


def test_module_logics_share_the_scene(scene):
    for name in ("volumes", "segmentations", "markups", "models", "transforms", "subjecthierarchy"):
        assert getattr(slicer.modules, name).logic().GetMRMLScene() is scene
    assert slicer.modules.terminologies.logic().IsA("vtkSlicerTerminologiesModuleLogic")


def test_grey_is_there_after_the_scene_was_emptied(scene):
    assert scene.GetNodeByID("vtkMRMLColorTableNodeGrey") is not None


def test_bundle_has_its_own_name_inside(scene, tmp_path):
    headless.save_scene(tmp_path / "case 1.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["case 1.mrb"]
    with zipfile.ZipFile(tmp_path / "case 1.mrb") as bundle:
        names = bundle.namelist()
    assert any(name.endswith(".mrml") for name in names)
    assert not any(".part" in name for name in names)


def test_save_needs_the_ending(scene, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.mrb"):
        headless.save_scene(tmp_path / "scene.zip")
    assert list(tmp_path.iterdir()) == []


def test_save_into_a_folder_that_is_a_file(scene, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="could not be written"):
        headless.save_scene(tmp_path / "taken" / "scene.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_failed_save_keeps_the_old_file(scene, tmp_path, monkeypatch):
    target = tmp_path / "scene.mrb"
    target.write_bytes(b"the old one")
    monkeypatch.setattr(headless.shutil, "move", _full_disk)
    with pytest.raises(InputError, match="No space left"):
        headless.save_scene(target)
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrb"]


def _full_disk(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("damage", ["missing", "not a bundle", "truncated", "no scene inside", "damaged inside"])
def test_load_refuses_and_keeps_the_scene(scene, state, tmp_path, ct, damage):
    source = tmp_path / "scene.mrb"
    volume_nodes.volume_to_node(ct, "CT")
    headless.save_scene(source)
    whole = source.read_bytes()
    if damage == "missing":
        source.unlink()
    elif damage == "not a bundle":
        source.write_text("text")
    elif damage == "truncated":
        source.write_bytes(whole[: len(whole) // 2])
    elif damage == "damaged inside":
        middle = len(whole) // 3
        source.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    else:
        with zipfile.ZipFile(source, "w") as bundle:
            bundle.writestr("scene/readme.txt", "nothing")
    before = state()
    with pytest.raises(InputError, match=r"scene\.mrb"):
        headless.load_scene(source)
    assert state() == before


def test_load_says_which_file_in_the_bundle_cannot_be_read(scene, tmp_path, ct):
    volume_nodes.volume_to_node(ct, "CT")
    headless.save_scene(tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle, zipfile.ZipFile(tmp_path / "bad.mrb", "w") as bad:
        for name in bundle.namelist():
            bad.writestr(name, b"no image" if name.endswith(".nrrd") else bundle.read(name))
    with pytest.raises(InputError, match=r"bad\.mrb could not be loaded completely"):
        headless.load_scene(tmp_path / "bad.mrb")
