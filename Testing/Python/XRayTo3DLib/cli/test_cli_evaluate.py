"""``xrayto3d evaluate``: the command around the protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest

from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume, write_volume


@pytest.fixture(scope="module")
def folders(ct_file, tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    for folder, name in (("cases", "one"), ("cases", "two"), ("training", "three")):
        write_volume(read_volume(ct_file), root / folder / f"{name}.nii.gz")
    return root


def test_writes_json_and_markdown(run, folders, model, tmp_path):
    found = run(
        *("evaluate", "--model", model, "--data", folders / "cases", "--training", folders / "training"),
        *("--setting", "one_view", "--limit", 1, "--out", tmp_path / "out"),
    )
    assert found.code == 0, found.error
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["evaluation.json", "evaluation.md"]
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {row["case"] for row in results["cases"]} == {"one"}
    assert set(results["summary"]) == {"one_view"}
    assert set(results["summary"]["one_view"]) == {
        *(f"{name}{how}" for name in ("barrel", "mean", "nearest", "oracle") for how in ("", "_fused")),
        "ceiling",
    }
    # The training CT is the same phantom: every baseline is the truth, but for the clipped range.
    assert results["summary"]["one_view"]["oracle"]["hu_mae_body"] < 0.01
    assert "one_view" in found.out and str(tmp_path / "out" / "evaluation.md") in found.out
    assert "barrel" in (tmp_path / "out" / "evaluation.md").read_text()


def test_methods_are_named_one_by_one(run, folders, tmp_path):
    found = run(
        *("evaluate", "--method", "mean", "--data", folders / "cases" / "one.nii.gz", "--setting", "one_view"),
        *("--out", tmp_path / "out"),
    )
    assert found.code == 0, found.error
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert set(results["summary"]["one_view"]) == {"mean", "mean_fused", "ceiling"} and results["models"] == []
    assert "known    mean_fused PSNR" in found.out


def test_shapes_are_measured_and_options_that_do_not_go_together_are_refused(run, ct_file, tmp_path):
    ct = read_volume(ct_file)
    write_volume(ct, tmp_path / "cts" / "one.nii.gz")
    inside = np.zeros(ct.array.shape, np.uint8)
    inside[tuple(slice(n // 3, n // 2) for n in inside.shape)] = 5
    write_volume(Volume(inside, ct.grid), tmp_path / "cts" / "one.labels.nii.gz")
    shapes = ("evaluate", "--shapes", "--data", tmp_path / "cts", "--out", tmp_path / "out")
    found = run(*shapes, "--labels", "totalsegmentator", "--organ", "liver", "--method", "ceiling", "--setting", "one_view")
    assert found.code == 0, found.error
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["shapes.json", "shapes.md"]
    summary = json.loads((tmp_path / "out" / "shapes.json").read_text())["summary"]
    assert summary["one_view"]["liver"]["ceiling"]["cases"] == 1 and "liver" in found.out
    for extra, words in (
        ((*shapes, "--beta", 1), "--beta does not go with --shapes"),
        ((*shapes[:1], *shapes[2:], "--organ", "liver"), "--organ goes with --shapes alone"),
        (shapes, "--labels head_neck"),
    ):
        refused = run(*extra)
        assert refused.code == 2 and words in refused.error
