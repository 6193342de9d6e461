"""``xrayto3d reconstruct``: views, X-rays, models and truths that cannot be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bad_input import bad_ct, refused, write
from barrel import CARD, Barrel

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.models import trust
from XRayTo3DLib.models.zoo import save_model


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


def test_the_same_picture_mirrored_is_the_same_picture(run, xrays, model, tmp_path):
    """A copy that was turned over does not become a second view."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(xrays / "AP.nrrd")))[0]
    for name, values in (("a", image), ("b", image[:, ::-1])):
        projection = view_projection("AP" if name == "a" else "LAT", (0, 0, 0), image.shape, 8.0)
        write_radiograph(Radiograph(np.ascontiguousarray(values), projection, name), tmp_path / f"{name}.nrrd")
    out = tmp_path / "out"
    views = ["--view", f"AP={tmp_path / 'a.nrrd'}", "--view", f"LAT={tmp_path / 'b.nrrd'}"]
    refused(run("reconstruct", *views, "--model", model, "--out", out), out, "same picture")


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
    [("multi-frame", "2 frames"), ("colour", "colour"), ("NaN", "NaN"), ("constant", "constant"), ("text", "damaged or cut off")],
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
        (["--beam", "AP=fan"], "no beam"),
        (["--beam", "AP=scanned", "--parallel"], "contradict"),
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
            monkeypatch.setattr(trust, "resources_folder", lambda: tmp_path)
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


def test_truth_is_checked_before_the_work(run, xrays, model, ct_file, tmp_path):
    bad, out = bad_ct("8 bit", tmp_path, ct_file), tmp_path / "out"
    found = run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model, "--truth", bad, "--out", out)
    refused(found, out, "8-bit")
    assert "%" not in found.error  # no bar was ever shown


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
