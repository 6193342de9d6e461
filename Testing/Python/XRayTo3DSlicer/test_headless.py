"""The scene without the application, and .mrb files that are whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import zipfile

import pytest
import slicer
import vtk
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.nodes import volume_nodes

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


def test_what_a_killed_save_left_is_swept_by_the_next(scene, tmp_path):
    script = (
        "import os, sys\nfrom XRayTo3DSlicer import headless\nheadless.start()\n"
        "headless.shutil.move = lambda *names: os.kill(os.getpid(), 9)\nheadless.save_scene(sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, tmp_path / "case.mrb"], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    headless.save_scene(tmp_path / "case.mrb")
    assert left.is_dir()  # it may be at work still
    os.utime(left, (0, 0))
    headless.save_scene(tmp_path / "case.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["case.mrb"]


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


def test_load_says_which_file_in_the_bundle_cannot_be_read_and_keeps_the_scene(scene, state, tmp_path, ct):
    node = volume_nodes.volume_to_node(ct, "CT")
    headless.save_scene(tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle, zipfile.ZipFile(tmp_path / "bad.mrb", "w") as bad:
        for name in bundle.namelist():
            bad.writestr(name, b"no image" if name.endswith(".nrrd") else bundle.read(name))
    before = state()
    with pytest.raises(InputError, match=r"bad\.mrb could not be loaded completely"):
        headless.load_scene(tmp_path / "bad.mrb")
    assert state() == before and node.GetImageData().GetScalarRange()[1] == ct.array.max()


def test_load_and_save_take_relative_paths(scene, tmp_path, ct, monkeypatch):
    monkeypatch.chdir(tmp_path)
    volume_nodes.volume_to_node(ct, "CT")
    headless.save_scene("case.mrb")
    scene.Clear(False)
    headless.load_scene("case.mrb")
    back = volume_nodes.volume_from_node(scene.GetFirstNodeByName("CT"))
    assert (back.array == ct.array).all() and [path.name for path in tmp_path.iterdir()] == ["case.mrb"]


@pytest.mark.parametrize("name", ["absolute", "../up.txt", "case/../../up.txt", "..\\up.txt", "C:\\up.txt", "link", "fifo"])
def test_a_bundle_that_leads_out_of_its_folder_is_refused(scene, state, tmp_path, ct, name):
    volume_nodes.volume_to_node(ct, "CT")
    headless.save_scene(tmp_path / "case.mrb")
    outside = tmp_path / "outside"
    outside.mkdir()
    with zipfile.ZipFile(tmp_path / "case.mrb", "a") as bundle:
        if name in ("link", "fifo"):
            member = zipfile.ZipInfo("case/Data/way")
            member.create_system = 3
            member.external_attr = ((stat.S_IFLNK if name == "link" else stat.S_IFIFO) | 0o777) << 16
            bundle.writestr(member, str(outside))
            bundle.writestr("case/Data/way/out.txt", "written")
        else:
            bundle.writestr(str(outside / "out.txt") if name == "absolute" else name, "written")
    before = state()
    with pytest.raises(InputError, match="leads out of its folder"):
        headless.load_scene(tmp_path / "case.mrb")
    assert state() == before and list(outside.iterdir()) == []


_STOPPED = """
import os, signal, sys, threading, time
delay = float(sys.argv[1])
threading.Thread(target=lambda: (time.sleep(delay), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
try:
    from XRayTo3DSlicer import headless
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", "slicer" in sys.modules)
"""


def test_ctrl_c_while_the_scene_library_is_imported_ends_cleanly():
    """Several moments of the import at once, each in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", _STOPPED, str(delay)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        for delay in (0.4, 0.8, 1.4)
    ]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert (run.returncode, out.split()[0], err) == (0, "stopped", "")


def test_ctrl_c_while_a_scene_is_written_stops_the_run(scene, tmp_path, ct):
    """What Python raises inside a call-back of VTK is printed and lost, so that the run would go on."""
    volume_nodes.volume_to_node(ct, "CT")
    before = signal.getsignal(signal.SIGINT)
    tag = scene.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            headless.save_scene(tmp_path / "case.mrb")
    finally:
        scene.RemoveObserver(tag)
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGINT) is before
