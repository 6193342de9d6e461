"""The evaluation of parametrized X-rays, with networks of formulas on the paper head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from paper_head import paper_head
from paper_networks import PaperNetworks

from XRayTo3DLib import InputError, Volume, write_volume
from XRayTo3DLib.evaluation.parametrized.augmentation import augmentation_table, target_point
from XRayTo3DLib.evaluation.parametrized.cases import Case
from XRayTo3DLib.evaluation.parametrized.evaluate import evaluate_parametrized
from XRayTo3DLib.evaluation.parametrized.table import in_lines, to_markdown, write_results
from XRayTo3DLib.evaluation.similarity import ms_ssim, roc_auc
from XRayTo3DLib.parametrized.body import body_of_ct
from XRayTo3DLib.parametrized.examples import example_of_body
from XRayTo3DLib.parametrized.landmarks import measure_body
from XRayTo3DLib.parametrized.regions import find_region

HEAD = find_region("head_neck")


def test_ms_ssim_is_that_of_the_reference_implementation() -> None:
    """pytorch-msssim 1.0 gives 0.902176 and 0.794530 for these."""
    row, column = np.meshgrid(np.arange(192), np.arange(192), indexing="ij")
    picture = 0.5 + 0.3 * np.sin(row / 7) * np.cos(column / 11) + 0.2 * ((row // 16 + column // 16) % 2)
    assert ms_ssim(picture, picture + 0.1 * np.sin(row / 2.3 + column / 3.1)) == pytest.approx(0.902176, abs=2e-5)
    assert ms_ssim(picture, np.roll(picture, 3, axis=0)) == pytest.approx(0.794530, abs=2e-5)
    assert ms_ssim(picture, picture) == pytest.approx(1)
    small = picture[:96, :96]
    assert ms_ssim(small, small) == pytest.approx(1) and 0 < ms_ssim(small, np.roll(small, 3, axis=0)) < 0.95
    with pytest.raises(InputError, match="give two of one size"):
        ms_ssim(picture, small)


def test_the_area_under_a_roc_curve_counts_pairs() -> None:
    assert roc_auc(np.array([1, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert roc_auc(np.array([3, 1, 2, 2]), np.array([False, False, True, True])) == 0.5
    assert roc_auc(np.array([1, 2, 2, 0]), np.array([False, True, False, True])) == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert np.isnan(roc_auc(np.ones(3), np.ones(3, dtype=bool)))


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    for name, shift in (("one", (0, 0, 0)), ("two", (8, 0, 12))):
        ct, labels = paper_head(shift)
        write_volume(ct, folder / f"{name}.nii.gz")
        write_volume(Volume(labels.array, labels.grid), folder / f"{name}.labels.nii.gz")
    ct, _ = paper_head(above=200.0, below=120.0)
    write_volume(ct, folder / "slab.nii.gz")
    return folder


def test_every_figure_is_that_of_what_was_measured(heads: Path, tmp_path: Path) -> None:
    # The markers of these networks are the head's own, but for the larynx, which they put two pixels too low.
    anchors = {"chin": (60.0, 63.5), "larynx": (76.0, 63.5), "brainstem": (45.5, 63.5), "lung_top_left": (90.5, 79.0)}
    networks = PaperNetworks(HEAD, anchors, follows=0.0)
    results = evaluate_parametrized([heads / "one.nii.gz", heads / "slab.nii.gz"], training=heads, networks=networks)
    assert [one["case"] for one in results["left_out"]] == ["slab"]
    assert set(results["summary"]) == {"ours", "mean", "nearest"}
    nearest, ours = results["summary"]["nearest"], results["summary"]["ours"]
    assert nearest["cases"] == 1 and nearest["mae"] < 1e-6 and nearest["ms_ssim"] > 0.9999 and nearest["marker_mm"] < 1e-6
    assert nearest["rounds"] is None and ours["converged"] == 1 and 1 <= ours["rounds"] <= 6
    assert 6 <= ours["markers"]["larynx"] <= 10 and ours["markers"]["brainstem"] < 4 and ours["markers"]["nose_tip"] is None
    assert ours["mae_body"] > ours["mae"] > 0.01 and 0 < ours["ms_ssim"] < 1
    rows = [row for row in results["cases"] if row["method"] == "ours"]
    assert ours["mae"] == pytest.approx(np.mean([row["mae"] for row in rows]))
    # A dragged blob moves with its marker and leaves the rest alone; a marker but the chin is found half way back at its anchor.
    off = {row["marker"]: row["found_mm_off"] for row in results["drags"]}
    way = {row["marker"]: row["image_mm"] for row in results["drags"]}
    assert 5 < way["chin"] < 11 and 5 < way["lung_top_left"] < 11, way  # a blob before a still body
    assert off["chin"] < 0.3 and abs(off["lung_top_left"] - 5) < 0.3 and results["drag_found_mm_off"] == sum(off.values()) / 2
    assert results["drag_mm_off"] < 1e-6 and results["drag_far_change"] < 0.01 and results["drag_return_mae"] < 1e-3
    assert {row["marker"] for row in results["drags"]} == {"chin", "lung_top_left"}
    assert set(results["completion"]["summary"]) == {"upper half", "lower half", "middle third", "left half of the picture"}
    for part in results["completion"]["summary"].values():
        assert part["mae_after"] < part["mae_before"]
    anomaly = results["anomaly"]["summary"]
    assert set(anomaly) == {"healthy", "metal rod", "removed lung", "removed parotid"}
    assert anomaly["metal rod"]["auc"] > 0.7 and anomaly["healthy"]["auc"] is None
    assert anomaly["metal rod"]["area_cm2"] > anomaly["healthy"]["area_cm2"] - 1
    _check_files(results, tmp_path)


def _check_files(results: dict, folder: Path) -> None:
    written = write_results(results, HEAD, folder)
    assert sorted(path.name for path in written) == ["parametrized.json", "parametrized.md", "parametrized_1.png"]
    stored = json.loads((folder / "parametrized.json").read_text())
    assert stored["summary"]["ours"]["markers"]["larynx"] == results["summary"]["ours"]["markers"]["larynx"]
    assert "states" not in stored and "NaN" not in (folder / "parametrized.json").read_text()
    page = (folder / "parametrized.md").read_text()
    assert page == to_markdown(results, ["parametrized_1.png"]) and "![case](parametrized_1.png)" in page
    assert "left out: slab" in page and any(line.startswith("nearest") for line in in_lines(results))


def test_what_cannot_be_measured_is_refused(heads: Path) -> None:
    networks = PaperNetworks(HEAD, {"chin": (60.0, 63.5)})
    for arguments, said in (
        ({"region": "foot"}, "no region 'foot'"),
        ({"view": "LAO30"}, "no range for the view LAO30"),
        ({"data": heads / "slab.nii.gz"}, r"No CT of .* can be measured"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate_parametrized(**({"data": heads, "networks": networks} | arguments))


def test_a_detector_learns_from_either_set_and_is_measured_on_real_x_rays() -> None:
    """Four heads that stand apart: after an epoch or two the detector is better than it began, whichever set it learns from."""
    region, networks = HEAD, PaperNetworks(HEAD, {"chin": (60.0, 63.5), "larynx": (75.0, 63.5)}, follows=0.0)
    cases = []
    for number in range(3):
        ct, labels = paper_head((0, 0, 4 * number))
        body = body_of_ct(ct, labels)
        points = measure_body(body, region) | {"chin": np.array([0.0, -92.0, 6.0 * number])}
        cases.append(Case(f"head {number}", example_of_body(ct, body, region, "AP", points), ct, body))
    assert np.allclose(target_point(cases[0], "mandible"), [58.5, 63.5], atol=4) and target_point(cases[0], "heart") is None
    table = augmentation_table(networks, region, cases, cases, epochs=2, variants=4)
    assert table["training_cases"] == table["cases"] == 3 and table["target"] == "mandible"
    rows = {(row["augmentation"], row["epochs"]): row for row in table["rows"]}
    assert set(rows) == {(name, epoch) for name in ("parametrized", "translated") for epoch in (1, 2)}
    assert rows["translated", 2]["images"] == 12 >= rows["parametrized", 2]["images"] > 6
    assert all(rows[name, 2]["mse"] < rows[name, 1]["mse"] for name in ("parametrized", "translated"))
    assert augmentation_table(networks, region, cases[:2], cases) is None
