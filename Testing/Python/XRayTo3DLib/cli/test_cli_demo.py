"""``xrayto3d demo``: the whole way, small, on the phantom."""

from __future__ import annotations

import inspect
import json
import re
import zipfile

import numpy as np
import pytest

from XRayTo3DLib.cli import demo, main
from XRayTo3DLib.evaluation import formats
from XRayTo3DLib.evaluation.formats import Carried
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.io.volumes import read_volume


@pytest.fixture(scope="module")
def result(model, home, tmp_path_factory):
    """The files and the printed summary of one run."""
    pytest.importorskip("slicer", reason="needs slicer-core")
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(home))
        patch.setattr(demo, "PIXEL", 8.0)
        printed: list[str] = []
        # In this module alone: what is compiled meanwhile must find the real one.
        patch.setattr(demo, "print", lambda *text, **_: printed.extend(text), raising=False)
        # What formats carry has a test of its own; here it is asked for as the command asks for it.
        rows = [Carried("NRRD", (), (), float("inf"), 21.5), Carried("DX", ("isocentre",), (), 61.25, 21.5)]
        rows.append(Carried("CR", (), (), float("nan"), float("nan"), "It <cannot> be."))
        bound = inspect.signature(formats.compare_formats).bind
        patch.setattr(formats, "compare_formats", lambda *args, **settings: bound(*args, **settings) and rows)
        arguments = ["demo", "--offline", "--model", str(model), "--grid-size", "16", "--refine", "12", "--formats"]
        assert main([*arguments, "--out", str(out)]) == 0, printed
    return out, "\n".join(printed)


def test_writes_every_file_that_its_help_names(result):
    names = {path.name for path in result[0].iterdir()}
    single = "report.html scene.mrb metrics.json AP.nrrd AP.png LAT.nrrd LAT.png ct.nrrd mean.nrrd"
    double = "reconstruction_{0}.nrrd uncertainty_{0}.nrrd segmentation_{0}.seg.nrrd body_{0}.stl"
    assert {*single.split(), *double.format("AP").split(), *double.format("AP_LAT").split()} <= names
    assert not [name for name in names if name.startswith(".")]


def test_summary_has_paths_figures_and_time(result):
    out, text = result
    for words in (str(out / "report.html"), str(out / "scene.mrb"), "PSNR", "from AP and lateral", "took", "not for diagnosis"):
        assert words in text
    assert "not a real CT" in text and "--offline" in text


def test_figures_stand_beside_those_of_the_mean(result):
    metrics = json.loads((result[0] / "metrics.json").read_text())
    compared = metrics["comparison_with_ct"]
    assert set(compared) == {"AP", "AP_LAT", "mean"}
    assert all(8 < compared[key]["psnr"] < 45 for key in compared)
    for case in ("AP", "AP_LAT"):
        for view in metrics["reconstructions"][case]["views"]:
            assert view["reprojection_error"] < view["reprojection_error_before_fusion"]
        assert all(surface["closed"] for surface in metrics["reconstructions"][case]["surfaces"])
    assert metrics["seconds"] > 0


def test_written_volume_reprojects_to_the_written_xrays(result):
    volume = to_attenuation(read_volume(result[0] / "reconstruction_AP_LAT.nrrd"))
    for name in ("AP", "LAT"):
        radiograph = read_radiograph(result[0] / f"{name}.nrrd")
        assert radiograph.projection.source_to_detector == pytest.approx(1800)
        error = np.abs(reproject(volume, [radiograph])[0] - radiograph.line_integrals).mean()
        assert error < 0.05 * radiograph.line_integrals.mean()


def test_report_is_self_contained_and_honest(result):
    page = (result[0] / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 7 and "Organs outlined on the X-rays" in page and "lungs" in page
    assert "do not determine a volume" in page and "whole reconstruction grid" in page
    for words in ("not for diagnosis", "not a real CT", "mean volume", "peak 2500"):
        assert words in page


def test_report_has_one_table_of_the_formats(result):
    page = (result[0] / "report.html").read_text()
    assert "X-rays in other formats" in page and "61.2" in page and "It &lt;cannot&gt; be." in page
    told = json.loads((result[0] / "metrics.json").read_text())["formats"]
    assert [row["format"] for row in told] == ["NRRD", "DX", "CR"] and told[0]["psnr_same"] is None


def test_scene_is_whole_and_loads(result):
    with zipfile.ZipFile(result[0] / "scene.mrb") as bundle:
        assert bundle.testzip() is None
    from XRayTo3DSlicer import headless
    from XRayTo3DSlicer.nodes import radiograph_nodes, volume_nodes

    headless.start()
    headless.load_scene(result[0] / "scene.mrb")
    import slicer

    ct = slicer.mrmlScene.GetFirstNodeByName("CT")
    assert volume_nodes.volume_from_node(ct).grid.size == (184, 128, 156)
    radiograph = radiograph_nodes.radiograph_from_node(slicer.mrmlScene.GetFirstNodeByName("X-ray LAT"))
    written = read_radiograph(result[0] / "LAT.nrrd")
    np.testing.assert_allclose(radiograph.line_integrals, written.line_integrals, atol=1e-5)
    assert slicer.mrmlScene.GetFirstNodeByName("Reconstruction AP + LAT") is not None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
    slicer.mrmlScene.Clear(0)


def test_grid_covers_the_matter_and_starts_at_the_top():
    array = np.full((40, 50, 60), -1000, np.int16)
    array[4:36, 10:40, 5:55] = 0
    # Upside down and mirrored: only the direction matrix knows.
    ct = Volume(array, Grid((60, 50, 40), (5.0, 6.0, 8.0), (100.0, 50.0, -20.0), np.diag([-1.0, 1.0, -1.0])))
    grid = demo.covering_grid(ct, 64)
    matter = np.array([[x, y, z, 1.0] for x in (4.5, 54.5) for y in (9.5, 39.5) for z in (3.5, 35.5)]) @ ct.grid.affine.T
    low, high = grid.corners.min(axis=0), grid.corners.max(axis=0)
    assert (matter[:, :3].min(axis=0) >= low - 1e-6).all() and (matter[:, :3].max(axis=0) <= high + 1e-6).all()
    assert high[2] == pytest.approx(matter[:, 2].max())
    assert 3.6 <= grid.spacing[0] <= 6.4


@pytest.mark.parametrize(("missing", "words"), [("slicer", "slicer-core"), ("matplotlib", "matplotlib"), ("jinja2", "jinja2")])
def test_a_missing_package_is_said_before_the_work(run, tmp_path, monkeypatch, missing, words):
    from importlib import util

    real = util.find_spec
    fake = lambda name, *rest: None if name == missing else real(name, *rest)  # noqa: E731
    monkeypatch.setattr(util, "find_spec", fake)
    monkeypatch.setattr("XRayTo3DLib.cli.demo_scene.find_spec", fake)
    found = run("demo", "--offline", "--out", tmp_path / "out")
    assert found.code == 2 and words in found.sentence and "pip install" in found.sentence
    assert not (tmp_path / "out").exists()


def test_the_ct_is_never_overwritten(run, tmp_path):
    file = tmp_path / "ct.nrrd"
    file.write_text("precious")
    found = run("demo", "--ct", file, "--out", tmp_path)
    assert found.code == 2 and "would be overwritten" in found.sentence
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]
