"""Every bad input of the issue: exit code 2, one sentence that says what to do, and nothing written."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from barrel import CARD, Barrel

from XRayTo3DLib import modelzoo
from XRayTo3DLib.modelzoo import save_model
from XRayTo3DLib.radiographs import Radiograph, write_radiograph
from XRayTo3DLib.views import view_projection


def refused(found, out: Path, words: str) -> None:
    """The command said one sentence with these words, and wrote nothing."""
    assert found.code == 2
    assert words in found.sentence, found.sentence
    assert found.sentence.startswith("xrayto3d: ") and found.sentence.endswith(".")
    assert "Traceback" not in found.error and found.out == ""
    assert not out.exists()


def write(array: np.ndarray, path: Path, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
    return path


def _bad_ct(kind: str, folder: Path, good: Path) -> Path:
    """A file that is no CT in HU, of the kind named."""
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(good))).astype(np.float32)
    path = folder / "bad.nrrd"
    if kind == "missing":
        return path
    if kind == "text":
        path.write_text("not an image")
        return path
    if kind == "empty file":
        path.write_bytes(b"")
        return path
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        return path
    if kind == "4D":
        image = sitk.JoinSeries([sitk.GetImageFromArray(ct), sitk.GetImageFromArray(ct)])
        sitk.WriteImage(image, str(path))
        return path
    if kind == "NaN":
        ct[3, 4, 5] = np.nan
    arrays = {
        "2D": lambda: ct[10],
        "one slice": lambda: ct[10:11],
        "NaN": lambda: ct,
        "constant": lambda: np.zeros_like(ct),
        "8 bit": lambda: np.clip((ct + 1000) / 8, 0, 255).astype(np.uint8),
        "unscaled": lambda: (ct + 1024).astype(np.uint16),
        "colour": lambda: np.stack([ct, ct, ct], axis=-1),
    }
    return write(arrays[kind](), path, vector=kind == "colour")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("text", "is not an image"),
        ("empty file", "is not an image"),
        ("truncated", "is not an image"),
        ("2D", "2 dimensions"),
        ("4D", "4 dimensions"),
        ("one slice", "at least 2 voxels"),
        ("NaN", "NaN"),
        ("constant", "constant"),
        ("8 bit", "8-bit"),
        ("unscaled", "not HU"),
        ("colour", "colour"),
    ],
)
def test_no_ct(run, ct_file, tmp_path, kind, words):
    out = tmp_path / "out"
    refused(run("drr", _bad_ct(kind, tmp_path, ct_file), "--view", "AP", "--out", out), out, words)


def test_truth_is_checked_before_the_work(run, xrays, model, ct_file, tmp_path):
    bad, out = _bad_ct("8 bit", tmp_path, ct_file), tmp_path / "out"
    found = run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model, "--truth", bad, "--out", out)
    refused(found, out, "8-bit")
    assert "%" not in found.error  # no bar was ever shown


def test_ct_of_the_demo_is_checked(run, ct_file, model, tmp_path):
    out = tmp_path / "out"
    refused(run("demo", "--ct", _bad_ct("constant", tmp_path, ct_file), "--model", model, "--out", out), out, "constant")


def test_ct_beside_the_beam(run, ct_file, tmp_path):
    out = tmp_path / "out"
    found = run("drr", ct_file, "--view", "AP", "--size", "32", "--isocentre", "5000", "0", "0", "--out", out)
    refused(found, out, "misses the volume")


def test_truth_elsewhere(run, xrays, model, small_ct, tmp_path):
    image = sitk.GetImageFromArray(small_ct.array)
    image.SetOrigin((9000, 0, 0))
    sitk.WriteImage(image, str(tmp_path / "far.nrrd"))
    out = tmp_path / "out"
    found = run(
        *("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model, "--truth", tmp_path / "far.nrrd", "--out", out),
        *("--grid-size", 16, "--grid-spacing", 22),
    )
    refused(found, out, "does not overlap")


_GOOD = view_projection("AP", (0, 0, 0), (32, 32), 12.0, 1500.0).matrix


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((3, 4)), "singular"),
        (np.vstack([_GOOD[:2], _GOOD[0] + _GOOD[1]]), "singular"),
        (np.diag([-1, 1, 1]) @ _GOOD, "mirrored"),
        (_GOOD[:2], "does not hold a 3x4 matrix"),
    ],
    ids=["zero", "dependent rows", "mirrored", "2x4"],
)
def test_matrices_that_are_no_projection(run, ct_file, tmp_path, matrix, words):
    np.savetxt(tmp_path / "m.txt", matrix)
    out = tmp_path / "out"
    refused(run("drr", ct_file, "--matrix", tmp_path / "m.txt", "--size", "32", "--out", out), out, words)


def test_matrix_without_detector(run, ct_file, tmp_path):
    np.savetxt(tmp_path / "m.txt", _GOOD)
    out = tmp_path / "out"
    refused(run("drr", ct_file, "--matrix", tmp_path / "m.txt", "--out", out), out, "--size")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--view", "AP", "--view", "ap"], "twice"),
        (["--view", "UPSIDE"], "not known"),
        ([], "No view"),
        (["--view", "AP", "--parallel", "--sdd", "1500"], "no meaning"),
        (["--view", "AP", "--sid", "2000"], "source-to-isocentre"),
        (["--view", "AP", "--pixel", "0.01"], "--pixel"),
    ],
)
def test_options_that_contradict(run, ct_file, tmp_path, arguments, words):
    out = tmp_path / "out"
    refused(run("drr", ct_file, *arguments, "--out", out), out, words)


@pytest.mark.parametrize(("name", "words"), [("two.nrrd", "several views"), ("one.txt", ".nrrd or .mha")])
def test_outputs_that_cannot_hold_it(run, ct_file, tmp_path, name, words):
    out = tmp_path / name
    views = ["--view", "AP", "--view", "LAT"] if name == "two.nrrd" else ["--view", "AP"]
    refused(run("drr", ct_file, *views, "--out", out), out, words)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (["AP={x}/AP.nrrd", "ap={x}/LAT.nrrd"], "given twice"),
        (["AP={x}/AP.nrrd", "PA={x}/AP.png"], "same view"),
        (["AP={x}/AP.png", "LAT={x}/AP.png"], "same picture"),
        (["AP={x}/LAT.nrrd", "LAT={x}/AP.nrrd"], "points 90 degrees elsewhere"),
        (["AP="], "names no file"),
        (["AP={x}/none.png"], "does not exist"),
    ],
)
def test_views_that_cannot_be(run, xrays, model, tmp_path, views, words):
    out = tmp_path / "out"
    arguments = [part for view in views for part in ("--view", view.format(x=xrays))]
    spacing = ["--spacing", "8"] if any("png" in view for view in views) else []
    refused(run("reconstruct", *arguments, *spacing, "--model", model, "--out", out), out, words)


def test_exchanged_pictures(run, xrays, model, tmp_path):
    """Without a stored geometry only the model can tell: it knows that people are wider than deep."""
    folder = tmp_path / "exchanged"
    folder.mkdir()
    for name, other in (("AP", "LAT"), ("LAT", "AP")):
        image = sitk.ReadImage(str(xrays / f"{name}.nrrd"))
        plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[0])
        sitk.WriteImage(plain, str(folder / f"{other}.mha"))
    arguments = [
        *("reconstruct", "--view", f"AP={folder / 'AP.mha'}", "--view", f"LAT={folder / 'LAT.mha'}", "--spacing", 8),
        *("--sdd", 1500, "--model", model, "--grid-size", 16, "--grid-spacing", 22, "--out", tmp_path / "out"),
    ]
    refused(run(*arguments), tmp_path / "out", "look exchanged")
    assert run(*arguments, "--no-view-check").code == 0


def _bad_xray(kind: str, path: Path) -> Path:
    grey = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    if kind == "multi-frame":
        return write(np.stack([grey, grey + 1]), path.with_suffix(".nrrd"))
    if kind == "colour":
        rainbow = np.stack([grey, grey[::-1].T, 63 - grey], axis=-1).astype(np.uint8)
        return write(rainbow, path.with_suffix(".png"), vector=True)
    if kind == "NaN":
        grey[3, 3] = np.nan
        return write(grey, path.with_suffix(".mha"))
    if kind == "constant":
        return write(np.zeros((64, 64), np.uint8), path.with_suffix(".png"))
    path.with_suffix(".png").write_text("no picture")
    return path.with_suffix(".png")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("multi-frame", "2 frames"), ("colour", "colour"), ("NaN", "NaN"), ("constant", "constant"), ("text", "not an image")],
)
def test_no_xray(run, model, tmp_path, kind, words):
    path, out = _bad_xray(kind, tmp_path / "x"), tmp_path / "out"
    refused(run("reconstruct", "--view", f"AP={path}", "--spacing", "6", "--model", model, "--out", out), out, words)


def test_unknown_spacing(run, xrays, model, tmp_path):
    out = tmp_path / "out"
    found = run("reconstruct", "--view", f"AP={xrays / 'AP.png'}", "--model", model, "--out", out)
    refused(found, out, "spacing")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--spacing", "LAT=0.2"], "there is no view 'LAT'"),
        (["--spacing", "wide"], "not a number"),
        (["--sdd", "AP=-3"], "not a number above 0"),
        (["--kind", "negative"], "negative"),
        (["--parallel", "--sdd", "1500"], "no meaning"),
        (["--no-fusion", "--refine", "2"], "--refine"),
    ],
)
def test_settings_of_views(run, xrays, model, tmp_path, option, words):
    out = tmp_path / "out"
    refused(run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model, "--out", out, *option), out, words)


@pytest.fixture
def bad_model(request, model, stranger, home, tmp_path, monkeypatch):
    """A model file of the kind named by the test's parameter."""
    kind = request.param
    path = tmp_path / "model.pt"
    if kind == "truncated":
        path.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    elif kind == "not trusted":
        return stranger
    elif kind == "no card":
        import torch

        torch.jit.save(torch.jit.script(torch.nn.Identity()), str(path))
    elif kind == "other task":
        save_model(Barrel(), {**CARD, "task": "landmarks"}, path)
    elif kind in ("altered", "altered bundled"):
        folder = tmp_path / "Models"
        folder.mkdir()
        path = folder / "model.pt"
        other = Barrel()
        other.value.data += 0.1
        save_model(other, CARD, path)  # the same card, other weights
        if kind == "altered bundled":
            released = hashlib.sha256(model.read_bytes()).hexdigest()
            (folder / "SHA256SUMS").write_text(f"{released}  model.pt\n")
            monkeypatch.setattr(modelzoo, "resources_folder", lambda: tmp_path)
    return path


@pytest.mark.parametrize(
    ("bad_model", "words"),
    [
        ("missing", "does not exist"),
        ("truncated", "not a whole TorchScript file"),
        ("no card", "no card"),
        ("other task", "landmarks"),
        ("not trusted", "xrayto3d models trust"),
        # A file that was trusted and then altered is another file.
        ("altered", "xrayto3d models trust"),
        ("altered bundled", "SHA"),
    ],
    indirect=["bad_model"],
)
def test_no_model(run, xrays, bad_model, tmp_path, words):
    out = tmp_path / "out"
    refused(run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", bad_model, "--out", out), out, words)


def test_unknown_model_name(run, xrays, tmp_path):
    out = tmp_path / "out"
    found = run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", "crystal-ball", "--out", out)
    refused(found, out, "crystal-ball")


def _commands(xrays: Path, ct_file: Path, model: Path) -> dict[str, list[object]]:
    return {
        "drr": ["drr", ct_file, "--view", "AP", "--size", "24", "--pixel", "16"],
        "reconstruct": [
            *("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model),
            *("--grid-size", 16, "--grid-spacing", 22),
        ],
        "evaluate": ["evaluate", "--data", ct_file.parent, "--model", model, "--setting", "one_view"],
    }


@pytest.mark.parametrize("command", ["drr", "reconstruct", "evaluate"])
def test_folder_below_a_file(run, xrays, ct_file, model, tmp_path, command):
    (tmp_path / "file").write_text("I am a file")
    found = run(*_commands(xrays, ct_file, model)[command], "--out", tmp_path / "file" / "out")
    assert found.code == 2 and "Nothing can be written" in found.sentence
    assert (tmp_path / "file").read_text() == "I am a file"


def test_read_only_folder_is_found_before_the_work(run, xrays, ct_file, model, tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal of the system is played."""
    out = tmp_path / "locked"
    out.mkdir()

    def locked(self, *arguments, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", locked)
    found = run(*_commands(xrays, ct_file, model)["reconstruct"], "--out", out)
    assert found.code == 2 and "Permission denied" in found.sentence and "--out" in found.sentence
    assert "%" not in found.error and list(out.iterdir()) == []


@pytest.mark.parametrize("command", ["drr", "reconstruct"])
def test_full_disk_leaves_nothing(run, xrays, ct_file, model, tmp_path, monkeypatch, command):
    out = tmp_path / "deep" / "out"
    whole = sitk.WriteImage

    def half(image, name, *arguments, **settings):
        whole(image, name, *arguments, **settings)
        Path(name).write_bytes(Path(name).read_bytes()[:100])
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", half)
    found = run(*_commands(xrays, ct_file, model)[command], "--out", out)
    refused(found, out, "No space left on device")
    assert str(out) in found.sentence and ".part" not in found.sentence
    assert not (tmp_path / "deep").exists()


def test_earlier_results_stay_when_the_work_fails(run, xrays, ct_file, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = [*_commands(xrays, ct_file, model)["reconstruct"], "--out", out]
    assert run(*arguments).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("XRayTo3DLib.cli.outputs.write_json", full)
    assert run(*arguments).code == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_ctrl_c_leaves_nothing(run, xrays, ct_file, model, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("XRayTo3DLib.cli.work.segment_ct", interrupted)
    found = run(*_commands(xrays, ct_file, model)["reconstruct"], "--out", tmp_path / "out")
    assert found.code == 130 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "{t}/none"], "does not exist"),
        (["--data", "{t}"], "There is no CT"),
        (["--data", "{c}", "--setting", "three_views"], "three_views"),
        (["--data", "{c}", "--training", "{c}"], "also a test case"),
    ],
)
def test_evaluations_that_cannot_be(run, ct_file, model, tmp_path, arguments, words):
    out = tmp_path / "out"
    filled = [a.format(t=tmp_path, c=ct_file.parent) for a in arguments]
    refused(run("evaluate", "--model", model, *filled, "--out", out), out, words)


def test_evaluation_refuses_a_file_that_is_no_ct(run, ct_file, model, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(ct_file, data / "a.nrrd")
    (data / "b.nrrd").write_text("no image")
    found = run("evaluate", "--model", model, "--data", data, "--setting", "one_view", "--out", out)
    refused(found, out, "b.nrrd is not an image")


def test_the_same_picture_mirrored_is_the_same_picture(run, xrays, model, tmp_path):
    """A copy that was turned over does not become a second view."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(xrays / "AP.nrrd")))[0]
    for name, values in (("a", image), ("b", image[:, ::-1])):
        projection = view_projection("AP" if name == "a" else "LAT", (0, 0, 0), image.shape, 8.0)
        write_radiograph(Radiograph(np.ascontiguousarray(values), projection, name), tmp_path / f"{name}.nrrd")
    out = tmp_path / "out"
    views = ["--view", f"AP={tmp_path / 'a.nrrd'}", "--view", f"LAT={tmp_path / 'b.nrrd'}"]
    refused(run("reconstruct", *views, "--model", model, "--out", out), out, "same picture")
