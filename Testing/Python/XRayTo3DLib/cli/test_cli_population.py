"""``xrayto3d population``: from a folder of little bodies to labelled samples, in one run and in several."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from little_bodies import GRID, LIVER, LUNG_LEFT, LUNG_RIGHT, little_body, write_body

from XRayTo3DLib.cohort import population as steps
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.io.segmentations import read_labelmap, write_segmentation
from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.simulation.population.registration import RegistrationSettings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four bodies, of which one is labelled and one is none; registered in few steps."""
    quick = partial(RegistrationSettings, spacing=16.0, steps=(20,), affine_steps=10, points=1500)
    monkeypatch.setattr(steps, "RegistrationSettings", lambda **own: RegistrationSettings(**own) if own else quick())
    place = tmp_path / "cts"
    place.mkdir()
    write_body(place, "model", little_body())
    write_body(place, "narrow", little_body(0.94), labelled=False)
    write_body(place, "wide", little_body(1.06), labelled=False)
    ct, labels = little_body()
    ct.array[:] = -1000
    ct.array[20, 20, 20] = 500
    write_body(place, "nobody", (ct, labels), labelled=False)
    return place


def test_a_folder_becomes_samples_once_and_the_same_again(run, folder, tmp_path):
    out = tmp_path / "bodies"
    told = run("population", "--from", folder, "--count", 2, "--out", out, "--modes", 2, "--drr", "AP", "--seed", 5, "--spacing", 6)
    assert told.code == 0, told.error
    assert "2 of 2 samples" in told.out and "note: nobody is not used: No body was found" in told.out
    record = json.loads((out / "population.json").read_text())
    assert record["atlas"] == "model" and record["subjects"] == ["narrow", "wide"]
    assert record["registrations"]["narrow"]["dice"]["body"] > 0.95 and not record["registrations"]["nobody"]["used"]
    assert len(record["quality"]["generalisation"]) == len(record["quality"]["compactness"]) == 2
    page = (out / "population.html").read_text()
    assert "narrow" in page and "specificity" in page and (out / "registrations.png").stat().st_size > 1000
    for number in range(2):
        name = f"sample_{number:05d}"
        ct, labels = read_volume(out / f"{name}.nii.gz"), read_labelmap(out / f"{name}.labels.nii.gz")
        assert ct.grid.same_as(labels.grid) and ct.grid.spacing == (6.0, 6.0, 6.0)
        assert set(np.unique(labels.array)) >= {LIVER, LUNG_LEFT, LUNG_RIGHT}
        drawn = json.loads((out / f"{name}.json").read_text())
        assert drawn["seed"] == 5 and drawn["texture"] in ("narrow", "wide") and drawn["folded_cells"] == 0
        liver = np.argwhere(labels.array == LIVER)[:, 2]
        left = drawn["landmarks_lps_mm"]["liver_top"][0] - ct.grid.origin[0]
        assert liver.min() * 6 - 6 < left < liver.max() * 6 + 6
        assert (out / f"{name}.body.ply").read_bytes()[:3] == b"ply"
        assert read_radiograph(out / f"{name}.AP.nrrd").calibrated
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and "registrations" not in path.parts}
    again = run(
        "population", "--from", folder, "--count", 3, "--out", out, "--modes", 2, "--drr", "AP", "--seed", 5, "--spacing", 6
    )
    assert again.code == 0 and "3 of 3 samples" in again.out, again.error
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was done is kept"
    more = run(
        "population", "--from", out / "population.npz", "--count", 1, "--out", tmp_path / "more", "--seed", 5, "--spacing", 6
    )
    assert more.code == 0, more.error
    same = [read_volume(place / "sample_00000.nii.gz").array for place in (out, tmp_path / "more")]
    np.testing.assert_array_equal(*same)
    # With one of its two subjects left out there is no population.
    fewer = run(
        "population", "--from", folder, "--count", 1, "--out", tmp_path / "few", "--registrations", out, "--leave-out", "wide"
    )
    assert fewer.code == 2 and "at least 2 subjects, and 1 can be used" in fewer.error


def test_segments_named_as_organs_need_no_ids(tmp_path):
    _, labels = little_body()
    segments = Labelmap(
        np.where(labels == LIVER, 3, 0).astype(np.uint8) + (labels == LUNG_LEFT), GRID, {1: "lung_left", 3: "liver"}
    )
    write_segmentation(segments, tmp_path / "one.seg.nrrd")
    found = steps.read_ids(tmp_path / "one.seg.nrrd", {"liver": (LIVER,), "lung_left": (LUNG_LEFT, 11)})
    np.testing.assert_array_equal(found.array, np.where(np.isin(labels, (LIVER, LUNG_LEFT)), labels, 0))


def test_what_cannot_be_is_said_before_the_work(run, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("no population")
    rows = (
        (["--workers", 2, "--scheduler", "tcp://nowhere:1"], "exclude each other"),
        (["--arms", 1.5], "share from 0 to 1"),
        (["--drr", "SIDEWAYS"], "SIDEWAYS"),
        (["--atlas", "narrow"], "no labelled CT called 'narrow'"),
        (["--leave-out", "nobody2"], "there is no such CT"),
        (["--labels", "head"], "label scheme head cannot be read"),
        (["--from", tmp_path / "empty"], "empty"),
        (["--from", tmp_path / "text.npz"], "is no population"),
    )
    (tmp_path / "twins").mkdir()
    for ending in ("nii.gz", "nrrd"):
        write_volume(little_body()[0], tmp_path / "twins" / f"one.{ending}")
    rows = (*rows, (["--from", tmp_path / "twins"], "several CTs called one"))
    for options, sentence in rows:
        arguments = ["population", "--from", folder, "--count", 1, "--out", tmp_path / "out", *options]
        told = run(*arguments)
        assert told.code == 2 and sentence in told.error, (options, told.error)
        assert not (tmp_path / "out").exists(), options
