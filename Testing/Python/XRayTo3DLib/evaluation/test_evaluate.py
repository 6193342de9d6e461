"""The evaluation protocol: its rows, its means, its baselines, and no training CT among the cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.evaluate import (
    FIGURES,
    METHODS,
    SETTINGS,
    Baselines,
    ct_files,
    evaluate,
    radiographs_of,
    read_case,
    setting_projections,
    to_markdown,
    write_results,
)
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.simulation.phantom import thorax_phantom


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two cases and three training CTs: phantoms of different width; one case has labels."""
    root = tmp_path_factory.mktemp("cts")
    for folder, widths in (("cases", (1.0, 1.1)), ("training", (0.9, 1.05, 1.2))):
        for width in widths:
            made = thorax_phantom().volume(Grid.centred((0, 0, 0), (48, 40, 48), 8.0), supersample=1)
            grid = Grid.centred((0, 0, 0), made.grid.size, (6.0 * width, 6.0, 6.0))
            write_volume(Volume(np.rint(made.array).astype(np.int16), grid), root / folder / f"p{width * 100:.0f}.nii.gz")
    labels = Volume((made.array > 0).astype(np.uint8), Grid.centred((0, 0, 0), made.grid.size, 6.0))
    write_volume(labels, root / "cases" / "p100.labels.nii.gz")
    return root / "cases", root / "training"


@pytest.fixture(scope="module")
def results(folders, barrel):
    return evaluate(barrel, folders[0], folders[1], settings=["one_view", "two_views"])


def test_every_case_setting_and_method_has_a_row_with_every_figure(results):
    assert len(results["cases"]) == 2 * 2 * len(METHODS)
    assert {r["case"] for r in results["cases"]} == {"p100", "p110"}
    for row in results["cases"]:
        assert all(np.isfinite(row[f]) for f in FIGURES)
        assert row["psnr_x2ct"] - row["psnr"] == pytest.approx(20 * np.log10(4095 / 2500))
    assert all(r["hu_mae_labels"].keys() == {1} for r in results["cases"] if r["case"] == "p100")
    assert not any("hu_mae_labels" in r for r in results["cases"] if r["case"] == "p110")


def test_the_summary_is_the_mean_of_the_cases_psnr(results):
    rows = [r["psnr"] for r in results["cases"] if (r["setting"], r["method"]) == ("two_views", "ours_fused")]
    assert results["summary"]["two_views"]["ours_fused"]["psnr"] == pytest.approx(np.mean(rows))
    assert results["summary"]["two_views"]["ours_fused"]["cases"] == 2


def test_fusion_re_projects_and_the_oracle_is_the_best_baseline(results):
    for methods in results["summary"].values():
        assert methods["ours_fused"]["reprojection"] < 1e-3 < methods["ours"]["reprojection"]
        assert methods["ours_fused"]["psnr"] > methods["ours"]["psnr"]
        assert methods["oracle"]["psnr"] >= methods["nearest"]["psnr"] - 1e-9


def test_baselines_are_what_they_say(folders):
    baselines = Baselines(ct_files(folders[1]))
    case = read_case(folders[0] / "p100.nii.gz")
    by_hand = np.mean([metrics.hu_range(read_case(p).truth.array) for p in ct_files(folders[1])], axis=0)
    np.testing.assert_allclose(baselines.answer("mean", case, "one_view").array, by_hand - 1024, atol=0.01)
    nearest = baselines.answer("nearest", case, "two_views").array
    assert np.abs(nearest - read_case(folders[1] / "p105.nii.gz").truth.array).max() < 25  # clipping at -1024 .. 1476


def test_a_training_ct_that_is_a_case_is_left_out_of_the_baselines(folders, barrel):
    everything = [folders[1], folders[0] / "p100.nii.gz"]
    found = evaluate(barrel, folders[0] / "p100.nii.gz", everything, settings=["one_view"])
    assert found["baselines"] == ["p105", "p120", "p90"]
    with pytest.raises(InputError, match="also a test case"):
        evaluate(barrel, folders[0], folders[0], settings=["one_view"])


def test_the_settings_are_the_protocols():
    grid = Grid.centred((1, 2, 3))
    assert set(SETTINGS) == {"one_view", "two_views", "two_views_10deg", "two_views_cone"}
    ap, lateral = setting_projections("two_views", grid)
    assert ap.angle_to(lateral) == pytest.approx(90) and not ap.is_cone
    np.testing.assert_allclose(ap.project(grid.affine[:3, 3][None])[0], [0, 63], atol=1e-9)
    assert setting_projections("two_views_10deg", grid)[1].angle_to(lateral) == pytest.approx(10)
    for cone in setting_projections("two_views_cone", grid):
        assert cone.is_cone
        shadow = cone.project(grid.corners)
        assert shadow.min() > -0.5 and shadow.max() < 79.5


def test_radiographs_of_a_case_measure_its_grid_alone(folders):
    case = read_case(folders[0] / "p110.nii.gz")
    picture = radiographs_of(case, "one_view")[0].line_integrals
    mu = np.maximum(0.0193 * (1 + case.truth.array / 1000), 0)
    np.testing.assert_allclose(picture, 4.0 * mu.sum(axis=1)[::-1], rtol=1e-4, atol=1e-4)


def test_results_are_written_as_json_and_markdown(results, tmp_path):
    paths = write_results(results, tmp_path / "out")
    assert json.loads(paths[0].read_text())["summary"] == results["summary"]
    table = paths[1].read_text()
    assert table == to_markdown(results)
    assert "| two_views | ours_fused |" in table and "| p110 | one_view | nearest |" in table


def test_an_unknown_setting_and_an_empty_folder_are_errors(barrel, folders, tmp_path):
    with pytest.raises(InputError, match="three_views"):
        evaluate(barrel, folders[0], settings=["three_views"])
    with pytest.raises(InputError, match="no CT"):
        evaluate(barrel, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        evaluate(barrel, tmp_path / "nowhere")
