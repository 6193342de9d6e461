"""``xrayto3d reconstruct``."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from XRayTo3DLib.cli.command import build_parser
from XRayTo3DLib.cli.reconstruct import _grid
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.io.volumes import read_image, read_volume
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.reconstruction.grids import covering_spacing
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

GRID = ["--grid-size", 16, "--grid-spacing", 22]


@pytest.fixture(scope="module")
def result(xrays, model, ct_file, home, tmp_path_factory):
    """The files of one whole run, made once."""
    from XRayTo3DLib.cli import main

    out = tmp_path_factory.mktemp("result") / "out"
    views = ["--view", f"AP={xrays / 'AP.nrrd'}", "--view", f"LAT={xrays / 'LAT.nrrd'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(home))
        arguments = ["reconstruct", *views, "--model", model, *GRID, "--refine", 11, "--truth", ct_file, "--out", out]
        assert main([str(a) for a in arguments]) == 0
    return out


def test_writes_every_file(result):
    names = {path.name for path in result.iterdir()}
    expected = {"reconstruction.nrrd", "uncertainty.nrrd", "segmentation.seg.nrrd", "metrics.json", "report.html", "body.stl"}
    assert expected <= names
    assert not [name for name in names if name.startswith(".")]


def test_volume_reprojects_to_the_xrays(result, xrays):
    """What was written, not what the run says of itself."""
    volume = to_attenuation(read_volume(result / "reconstruction.nrrd"))
    assert volume.grid.size == (32, 32, 32)
    np.testing.assert_allclose(volume.grid.spacing, 11)
    for name in ("AP", "LAT"):
        radiograph = read_radiograph(xrays / f"{name}.nrrd")
        again = reproject(volume, [radiograph])[0]
        assert np.abs(again - radiograph.line_integrals).mean() < 0.02 * radiograph.line_integrals.mean()


def test_metrics_say_what_they_are(result):
    metrics = json.loads((result / "metrics.json").read_text())
    views = metrics["reconstruction"]["views"]
    assert [view["name"] for view in views] == ["AP", "LAT"]
    assert all(view["reprojection_error"] < 0.2 * view["reprojection_error_before_fusion"] for view in views)
    figures = metrics["comparison_with_ct"]["reconstruction"]
    assert 10 < figures["psnr"] < 40
    assert figures["psnr_x2ct"] - figures["psnr"] == pytest.approx(20 * np.log10(4095 / 2500), abs=1e-6)
    assert 0.5 < figures["structures"]["body"]["dice"] < 1
    assert "peak 2500" in metrics["range"] and "whole reconstruction grid" in metrics["range"]
    assert metrics["model"]["name"] == "barrel" and re.fullmatch("[0-9a-f]{64}", metrics["model"]["sha256"])


def test_uncertainty_is_in_hu(result):
    deviation = sitk.GetArrayFromImage(read_image(result / "uncertainty.nrrd"))
    # The model's is 0.14 of water where it sees matter, and 0 outside.
    assert deviation.max() == pytest.approx(140, rel=0.01) and deviation.min() == 0


def test_report_is_self_contained(result):
    page = (result / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 5
    for words in ("not for diagnosis", "do not determine a volume", "no evidence that the depth", "PSNR", "CT (truth)"):
        assert words in page


def test_picture_without_scale_is_fitted_and_says_so(run, xrays, model, tmp_path):
    views = ["--view", f"AP={xrays / 'AP.png'}", "--view", f"LAT={xrays / 'LAT.nrrd'}"]
    spacing = ["--spacing", "AP=8", "--sdd", "AP=1500"]
    found = run("reconstruct", *views, *spacing, "--model", model, *GRID, "--refine", 16, "--out", tmp_path / "out")
    assert found.code == 0, found.error
    assert "note: AP: offset and gain and curve of this picture are unknown; fitted as a frontal view of the" in found.out
    views = json.loads((tmp_path / "out" / "metrics.json").read_text())["reconstruction"]["views"]
    assert [view["calibrated"] for view in views] == [False, True]


def test_a_mask_of_the_users_own_leaves_pixels_out(run, xrays, model, tmp_path):
    size = read_radiograph(xrays / "AP.nrrd").projection.size
    marked = np.arange(size[0])[:, None] < np.full(size, size[0] // 4)
    Image.fromarray(marked).save(tmp_path / "mask.png")
    Image.fromarray(marked[1:]).save(tmp_path / "short.png")
    views = ["--view", f"AP={xrays / 'AP.nrrd'}", "--view", f"LAT={xrays / 'LAT.nrrd'}", "--model", model, *GRID, "--no-fusion"]
    found = run("reconstruct", *views, "--mask", f"AP={tmp_path / 'mask.png'}", "--out", tmp_path / "out")
    assert found.code == 0, found.error
    measured = [view["valid"] for view in json.loads((tmp_path / "out" / "metrics.json").read_text())["reconstruction"]["views"]]
    assert measured == pytest.approx([0.75, 1.0], abs=0.05)
    wrong = run("reconstruct", *views, "--mask", f"AP={tmp_path / 'short.png'}", "--out", tmp_path / "none")
    assert wrong.code == 2 and "The mask of" in wrong.sentence and not (tmp_path / "none").exists()


def test_one_view_without_fusion_is_the_model_itself(run, xrays, model, tmp_path):
    found = run(
        *("reconstruct", "--view", xrays / "AP.nrrd", "--model", model, "--grid-size", 16, "--grid-spacing", 22),
        *("--grid-centre", 0, 0, 0, "--no-fusion", "--out", tmp_path / "out"),
    )
    assert found.code == 0, found.error
    assert "depth comes from the model alone" in found.out
    values = np.unique(sitk.GetArrayFromImage(read_image(tmp_path / "out" / "reconstruction.nrrd")))
    np.testing.assert_allclose(values, [-1000, -300], atol=0.5)


def test_results_replace_those_of_an_earlier_run(run, xrays, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("old")
    (out / "mine.txt").write_text("kept")
    arguments = ["--model", model, "--grid-size", 16, "--grid-spacing", 22]
    assert run("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", *arguments, "--out", out).code == 0
    assert "barrel" in (out / "metrics.json").read_text() and (out / "mine.txt").read_text() == "kept"


def test_nothing_in_the_result_is_a_note_not_an_error(run, xrays, model, tmp_path):
    """A grid beside the model's trunk: the volume is written, and the absence of structures is said."""
    found = run(
        *("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model, "--grid-size", 16, "--grid-spacing", 4),
        *("--grid-centre", 0, 200, 0, "--no-fusion", "--out", tmp_path / "out"),
    )
    assert found.code == 0, found.error
    assert "No structures in the reconstruction" in found.out
    assert not (tmp_path / "out" / "segmentation.seg.nrrd").exists()


def test_the_default_grid_is_that_of_python(model):
    """A body wider than 64 voxels of 4 mm, away from the middle of the world."""
    water = Volume(np.pad(np.zeros((6, 6, 16), np.int16), 1, constant_values=-1000), Grid.centred((30, -20, 10), (18, 8, 8), 20.0))
    views = [view_projection(view, (30, -20, 10), (48, 72), 10.0, 1500.0) for view in ("AP", "LAT")]
    radiographs = render_drr(water, views, ["AP", "LAT"])

    def grid(*options: str) -> Grid:
        arguments = build_parser().parse_args(["reconstruct", "--view", "AP=a.nrrd", "--out", "out", *options])
        return _grid(radiographs, arguments, loaded.file.card)

    loaded = load_model(str(model), "volume")
    expected = reconstruct(radiographs, loaded, fuse_views=False, check_views=False).volume.grid
    spacing = covering_spacing(radiographs)
    assert spacing > 4.5
    np.testing.assert_allclose(grid().affine, expected.affine, atol=1e-9)
    assert grid().size == expected.size
    changed = grid("--grid-size", "32")
    assert changed.size == (32, 32, 32) and changed.spacing == pytest.approx((spacing,) * 3)
    np.testing.assert_allclose(changed.centre, expected.centre, atol=1e-9)
    changed = grid("--grid-spacing", "3")
    assert changed.size == expected.size and changed.spacing == (3, 3, 3)
    np.testing.assert_allclose(changed.centre, expected.centre, atol=1e-9)
    changed = grid("--grid-centre", "0", "0", "5")
    assert changed.size == expected.size and changed.spacing == pytest.approx((spacing,) * 3)
    np.testing.assert_allclose(changed.centre, (0, 0, 5), atol=1e-9)


@pytest.mark.parametrize("kind", ["view", "truth"])
def test_an_input_is_never_overwritten(run, tmp_path, kind):
    file = tmp_path / "reconstruction.nrrd"
    file.write_text("precious")
    inputs = ["--view", f"AP={file}"] if kind == "view" else ["--view", "AP=none.nrrd", "--truth", file]
    found = run("reconstruct", *inputs, "--out", tmp_path)
    assert found.code == 2 and "would be overwritten" in found.sentence
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_marker_gives_the_pixels_their_size(run, xrays, model, tmp_path):
    """A disc of 40 mm on the detector, 20 pixels wide: 2 mm a pixel, said with the magnification and in the report."""
    rows, columns = np.mgrid[:96, :96]
    disc = np.hypot(rows - 20, columns - 70) < 10
    body = np.hypot((rows - 48) / 40, (columns - 40) / 25) < 1
    Image.fromarray(np.where(disc, 250, 60 + 60 * body).astype(np.uint8)).save(tmp_path / "a.png")
    marked = ["--view", f"AP={tmp_path / 'a.png'}", "--marker", "40", "--region", "chest"]
    found = run("reconstruct", *marked, "--model", model, *GRID, "--out", tmp_path / "out")
    assert found.code == 0, found.error
    assert re.search(r"Scale from the marker of 40 mm .*so (1\.9|2\.0)\d* mm a pixel at the detector", found.out)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What was assumed of each X-ray" in page and "magnified 1.25 times" in page
    both = run("reconstruct", *marked, "--spacing", "2", "--model", model, "--out", tmp_path / "other")
    assert both.code != 0 and "either gives its mm" in both.error and not (tmp_path / "other").exists()
