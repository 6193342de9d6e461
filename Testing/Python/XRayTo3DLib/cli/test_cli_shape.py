"""``xrayto3d shape``: organs as files, with drawn outlines or without, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from backprojector import CARD
from organ_model import organ_model
from PIL import Image
from pydicom import dcmread

from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.markups import read_curves
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.io.surfaces import read_surface
from XRayTo3DLib.models.zoo import describe_model, trust_model
from XRayTo3DLib.reconstruction.methods.lifted_views import LiftedViews


@pytest.fixture
def folder(tmp_path, monkeypatch, backprojector):
    """Two X-rays of a soft ball, ap.nrrd and lat.nrrd, and a drawn outline of 80 x 56 mm in the isocentre; the models are found."""
    trust_model(describe_model(backprojector.file.path))
    organ_model(tmp_path, CARD)
    monkeypatch.setenv("XRAYTO3D_MODELS", f"{tmp_path}:{backprojector.file.path.parent}")
    for word in ("AP", "LAT"):
        projection = ViewSpec.parse(word, size=(128, 128), spacing=2.0, isocentre=(0, 0, 0), source_to_detector=None).projection()
        r, c = np.meshgrid(np.arange(128.0) - 63.5, np.arange(128.0) - 63.5, indexing="ij")
        picture = 4 * np.sqrt(np.clip(1 - (r**2 + c**2) / 55**2, 0, 1)).astype(np.float32)
        write_radiograph(Radiograph(picture, projection, word), tmp_path / f"{word.lower()}.nrrd")
    drawn = np.zeros((128, 128), np.uint8)
    drawn[44:84, 50:78] = 255
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    return tmp_path


def test_an_organ_is_written_whole(run, folder):
    found = run(
        "shape", folder / "ap.nrrd", "--organ", "parotid_left", "--mask", folder / "drawn.png",
        "--format", "ply", "--format", "vtp", "--format", "dcm", "--out", folder / "out",
    )  # fmt: skip
    assert found.code == 0, found.error
    out = folder / "out"
    names = {"parotid_left.nii.gz", "parotid_left.seg.nrrd", "parotid_left.ply", "parotid_left.vtp", "shape.json"}
    assert {p.name for p in out.iterdir()} == names | {"parotid_left_AP.png", "parotid_left_AP.mrk.json", "parotid_left.dcm"}
    (told,) = json.loads((out / "shape.json").read_text())["shapes"]
    labels = read_labelmap(out / "parotid_left.seg.nrrd")
    assert list(labels.names.values()) == ["parotid_left"]
    voxels = np.count_nonzero(sitk.GetArrayFromImage(sitk.ReadImage(str(out / "parotid_left.nii.gz"))))
    assert told["volume_ml"] == pytest.approx(voxels * labels.grid.voxel_volume / 1000, rel=1e-3)
    # The outline is a column through the whole grid of 192 mm.
    assert told["volume_ml"] == pytest.approx(80 * 56 * 192 / 1000, rel=0.08)
    assert told["interval_90_ml"] == pytest.approx([told["volume_ml"] / 2, told["volume_ml"] * 2], rel=1e-3)
    curve = np.array(told["outlines"][0]["pixels"][0])
    assert np.ptp(curve, axis=0) == pytest.approx([40, 28], abs=3) and curve.mean(axis=0) == pytest.approx([63.5, 63.5], abs=1)
    assert np.ptp(np.array(told["outlines"][0]["lps_mm"][0]), axis=0)[[0, 2]] == pytest.approx([56, 80], abs=6)
    (points,) = read_curves(out / "parotid_left_AP.mrk.json").values()
    assert np.ptp(points, axis=0)[[0, 2]] == pytest.approx([56, 80], abs=6)
    assert dcmread(out / "parotid_left.dcm").SegmentSequence[0].SegmentLabel == "parotid_left"
    assert told["cut_by_the_grid"] and any("depth comes from the model alone" in note for note in told["notes"])
    assert f"{told['volume_ml']:.1f} mL" in found.out and "90 %" in found.out
    assert np.ptp(np.array(read_surface(out / "parotid_left.ply").GetBounds()).reshape(3, 2), axis=1)[0] == pytest.approx(56, abs=6)
    assert Image.open(out / "parotid_left_AP.png").size == (1024, 1024)


def test_several_organs_from_two_views_share_one_reconstruction(run, folder, monkeypatch):
    calls = []
    once = LiftedViews.run
    monkeypatch.setattr(LiftedViews, "run", lambda *args: calls.append(args) or once(*args))
    found = run(
        "shape", f"AP={folder / 'ap.nrrd'}", f"LAT={folder / 'lat.nrrd'}", "--organ", "parotid_left", "--organ", "parotid_right",
        "--mask", f"LAT={folder / 'drawn.png'}", "--out", folder / "out",
    )  # fmt: skip
    assert found.code == 0, found.error
    assert len(calls) == 1
    left, right = json.loads((folder / "out" / "shape.json").read_text())["shapes"]
    assert (left["organ"], right["organ"]) == ("parotid_left", "parotid_right")
    curve = np.array(left["outlines"][1]["pixels"][0])
    assert np.ptp(curve, axis=0) == pytest.approx([40, 28], abs=3)
    assert left["interval_90_ml"] == pytest.approx([0.8 * left["volume_ml"], 1.2 * left["volume_ml"]], rel=1e-3)


def test_what_cannot_be_is_one_sentence_and_nothing_is_written(run, folder):
    ap, lat = folder / "ap.nrrd", folder / "lat.nrrd"
    (folder / "black.png").write_bytes(b"")
    Image.new("L", (128, 128)).save(folder / "black.png")
    Image.new("L", (30, 20), 255).save(folder / "small.png")
    for arguments, words in (
        ([ap, "--organ", "gills"], "no organ 'gills'"),
        (["--organ", "liver"], "No X-ray is named"),
        ([ap, "--organ", "liver"], "no model that finds the organ liver"),
        ([ap, lat, "--organ", "parotid_left", "--mask", folder / "drawn.png"], "there are 2 X-rays: write VIEW="),
        ([ap, "--organ", "parotid_left", "--mask", f"PA={folder / 'drawn.png'}"], "there is no view 'PA'"),
        ([ap, "--organ", "parotid_left", "--mask", folder / "black.png"], "is empty"),
        ([ap, "--organ", "parotid_left", "--mask", folder / "small.png"], "20 x 30 pixels"),
        ([ap, "--organ", "parotid_left", "--format", "doc"], "'doc' is no format of an organ"),
        ([ap, "--organ", "parotid_left", "--model", "backprojector"], "not an organ's shape"),
    ):
        found = run("shape", *arguments, "--out", folder / "out")
        assert found.code == 2 and words in found.sentence, (arguments, found.error)
        assert not (folder / "out").exists()
