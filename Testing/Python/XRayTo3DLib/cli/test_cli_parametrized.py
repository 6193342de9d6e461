"""``xrayto3d parametrized`` and ``evaluate --parametrized``: files of every action, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from paper_head import paper_head
from paper_models import PLACES, save_paper_models
from PIL import Image

from XRayTo3DLib import (
    Radiograph,
    Volume,
    extract_surface,
    read_labelmap,
    read_radiograph,
    write_radiograph,
    write_surface,
    write_volume,
)
from XRayTo3DLib.io.point_lists import read_markups
from XRayTo3DLib.parametrized.answer import body_of, parametrized_xray, read_source
from XRayTo3DLib.parametrized.networks import load_networks


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ct.nii.gz and its labels, and the same body as body.stl."""
    folder = tmp_path_factory.mktemp("head")
    ct, labels = paper_head()
    write_volume(ct, folder / "ct.nii.gz")
    write_volume(Volume(labels.array, labels.grid), folder / "ct.labels.nii.gz")
    write_surface(extract_surface(ct.array > -900, ct.grid), folder / "body.stl")
    return folder


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    (tmp_path / "models").mkdir()
    save_paper_models(tmp_path / "models")
    monkeypatch.setenv("XRAYTO3D_MODELS", str(tmp_path / "models"))


def call(tmp_path: Path) -> tuple[object, ...]:
    named = [str(tmp_path / "models" / f"paper_{task}.pt") for task in ("landmarks", "xray")]
    return ("--marker-model", named[0], "--image-model", named[1], "--out", tmp_path / "out")


def test_a_surface_gives_an_x_ray_whose_moved_marker_is_where_it_was_put(run, head, tmp_path):
    found = run("parametrized", head / "body.stl", "--marker", "chin=8,-10", "--lock", "larynx", *call(tmp_path))
    assert found.code == 0, found.error
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "markers.csv", "markers.mrk.json", "moving.gif", "parametrized.json", "xray.nrrd", "xray.png",
    ]  # fmt: skip
    told = json.loads((out / "parametrized.json").read_text())
    row, column = told["markers"]["chin"]["row_column"]
    assert abs(row - PLACES["chin"][0] - 2.5) < 0.1 and abs(column - PLACES["chin"][1] - 2) < 0.1
    assert told["markers"]["chin"]["held"] and told["markers"]["larynx"]["locked"] and told["converged"]
    assert "nose_tip" in told["absent"] and told["view"] == "AP"
    xray = read_radiograph(out / "xray.nrrd")
    assert xray.line_integrals.shape == (128, 128) and any("no measurement" in note for note in xray.notes)
    points = read_markups(out / "markers.mrk.json")
    assert set(points) == {"chin", "larynx"} and np.allclose(xray.projection.project(points["chin"][None])[0, ::-1], [row, column])
    with (out / "markers.csv").open() as file:
        rows = {line["name"]: line for line in csv.DictReader(file)}
    assert abs(float(rows["chin"]["z_mm"]) - points["chin"][2]) < 1e-3 and rows["larynx"]["locked"] == "1"
    with Image.open(out / "moving.gif") as picture:
        assert picture.n_frames > 8
    assert "2 markers; X-ray and markers came to rest" in found.out
    # The same from the CT and in the console: the surface is that of the CT to a fraction of a pixel.
    pair = load_networks(*(str(tmp_path / "models" / f"paper_{task}.pt") for task in ("landmarks", "xray")))
    place = {"chin": told["frame_landmarks_lps_mm"]["chin"]}
    loop = parametrized_xray(read_source(head / "ct.nii.gz"), landmarks=place, networks=pair)
    assert loop.state.converged and set(loop.state.positions()) == {"chin", "larynx"}
    of_surface = parametrized_xray(read_source(head / "body.stl"), networks=pair)
    assert np.abs(loop.state.surface.array - of_surface.state.surface.array).mean() < 0.03


def test_a_segmentation_is_a_body_too(head):
    ct, _ = paper_head()
    from XRayTo3DLib import Labelmap, segment_ct

    found = segment_ct(ct)
    several = body_of(Labelmap((found.array > 0).astype(np.uint8) * 3, found.grid, {2: "bone", 3: "body"}))
    assert np.count_nonzero(several.mask) == np.count_nonzero(body_of(found).mask) > 10000


def test_a_partial_x_ray_is_completed_and_what_is_gone_is_found(run, head, tmp_path):
    body = head / "ct.nii.gz"
    assert run("parametrized", body, *call(tmp_path)).code == 0
    whole = read_radiograph(tmp_path / "out" / "xray.nrrd")
    brighter = whole.line_integrals + np.float32(0.5) * (whole.line_integrals > 0)
    window = (slice(0, 70), slice(0, 128))
    write_radiograph(Radiograph(brighter[window], whole.projection.cropped(window), "AP"), tmp_path / "partial.nrrd")
    found = run("parametrized", "complete", body, "--xray", tmp_path / "partial.nrrd", *call(tmp_path))
    assert found.code == 0, found.error
    done = read_radiograph(tmp_path / "out" / "completed.nrrd").line_integrals
    np.testing.assert_allclose(done[:69], brighter[:69], atol=1e-5)
    inside = whole.line_integrals[72] > 0.3
    assert 0.2 < (done - whole.line_integrals)[72][inside].mean() < 0.5 > (done - whole.line_integrals)[110].mean() + 0.2

    ill = whole.line_integrals.copy()
    ill[68:80, 60:64] -= 1  # away from the spots, which are the networks' own
    write_radiograph(Radiograph(ill, whole.projection, "AP"), tmp_path / "ill.nrrd")
    found = run("parametrized", body, "anomaly", "--xray", tmp_path / "ill.nrrd", *call(tmp_path))
    assert found.code == 0, found.error
    labels = read_labelmap(tmp_path / "out" / "anomaly.seg.nrrd")
    assert set(labels.names.values()) == {"anomaly"} and labels.array[0, 68:80, 60:64].all()
    place = labels.grid.affine @ [61.5, 72.5, 0, 1]
    assert np.allclose(place[:3], whole.projection.pixel_positions(np.array([[72.5, 61.5]]))[0], atol=1e-3)
    told = json.loads((tmp_path / "out" / "parametrized.json").read_text())
    assert told["findings"][0]["area_mm2"] >= 12 * 4 * 16 and 0.1 < told["score"] < 1 and "cm^2; score" in found.out


def test_training_images_come_with_their_annotations(run, head, tmp_path):
    row, column = PLACES["chin"]
    assert run("parametrized", head / "ct.nii.gz", *call(tmp_path)).code == 0
    mole = read_markups(tmp_path / "out" / "markers.mrk.json")["chin"]
    words = ("--count", 3, "--seed", 5, "--spread", 6, "--annotation", "mole=" + ",".join(str(v) for v in mole))
    found = run("parametrized", "augment", head / "ct.nii.gz", *words, *call(tmp_path))
    assert found.code == 0, found.error
    with (tmp_path / "out" / "annotations.csv").open() as file:
        lines = list(csv.DictReader(file))
    places = {
        kind: {x["image"]: (float(x["row"]), float(x["column"])) for x in lines if x["name"] == kind} for kind in ("chin", "mole")
    }
    assert set(places["chin"]) == {"image_0001", "image_0002", "image_0003"}
    assert max(abs(places["chin"][image][0] - row) + abs(places["chin"][image][1] - column) for image in places["chin"]) > 0.5
    for image, (r, c) in places["mole"].items():
        assert abs(r - places["chin"][image][0]) < 1 and abs(c - places["chin"][image][1]) < 1
        assert read_radiograph(tmp_path / "out" / f"{image}.nrrd").line_integrals.max() > 0


def test_it_is_measured(run, head, tmp_path):
    markers = tmp_path / "models" / "paper_landmarks.pt"
    words = ("--markers", markers, "--method", tmp_path / "models" / "paper_xray.pt", "--out", tmp_path / "out")
    found = run("evaluate", "--parametrized", "--region", "head_neck", "--data", head / "ct.nii.gz", *words)
    assert found.code == 0, found.error
    results = json.loads((tmp_path / "out" / "parametrized.json").read_text())
    assert set(results["summary"]) == {"ours", "paper_xray"} and results["networks"]["ours"] == ["paper_landmarks", "paper_xray"]
    assert results["summary"]["ours"]["converged"] == 1 and results["drag_mm_off"] < 1
    assert "## Completion" in (tmp_path / "out" / "parametrized.md").read_text() and "drags:" in found.out


def test_what_does_not_go_together_is_refused(run, head, tmp_path):
    body, rest = head / "ct.nii.gz", call(tmp_path)
    for words, said in (
        (("complete", body), "complete needs the real X-ray"),
        ((body, "--threshold", 0.1), "--threshold goes with anomaly alone"),
        ((body, body), "is not understood"),
        ((body, "--marker", "tail=1,2"), "no landmark 'tail'"),
        ((body, "--marker", "chin=1"), "1 numbers where 2 are needed"),
        ((body, "--marker", "chin=1,x"), "'x' is not a number"),
        ((body, "--marker", "chin"), "not of the form NAME=DX,DZ"),
        ((body, "--marker", "nose_tip=1,1"), "nose_tip is not in this X-ray"),
        ((body, "--lock", "chin", "--marker", "chin=1,1"), "chin is locked"),
        ((body, "--region", "foot"), "no region 'foot'"),
        ((body, "--region", "torso"), "not those of"),
        ((body, "--view", "LAO30"), "view LAO30 is none"),
        ((head / "none.stl",), "does not exist"),
    ):
        found = run("parametrized", *words, *rest)
        assert found.code == 2 and said in found.error, (words, found.error)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    for words, said in (
        (("--parametrized", "--beta", 1), "--beta does not go with --parametrized"),
        (("--region", "torso"), "--region goes with --parametrized alone"),
        (("--parametrized", "--shapes"), "measure different things"),
    ):
        found = run("evaluate", *words, "--data", head, "--out", tmp_path / "out")
        assert found.code == 2 and said in found.error, found.error
