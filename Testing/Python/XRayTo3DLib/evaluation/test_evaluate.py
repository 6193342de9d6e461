"""The evaluation: its rows, its means, its methods, and no training CT among the cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from barrel import CARD, Barrel

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.cases import ct_files, read_case
from XRayTo3DLib.evaluation.comparison import structures
from XRayTo3DLib.evaluation.evaluate import evaluate
from XRayTo3DLib.evaluation.figures import FIGURES, ceiling_figures, figures_between
from XRayTo3DLib.evaluation.protocol import PROTOCOLS, SETTINGS, Protocol, in_words, projections
from XRayTo3DLib.evaluation.systems import baselines, halved, read_training
from XRayTo3DLib.evaluation.table import write_results
from XRayTo3DLib.evaluation.xrays import radiographs_of
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.models.zoo import LoadedModel, load_model, save_model
from XRayTo3DLib.simulation.phantom import thorax_phantom

#: The standard grid's extent in an eighth of its voxels, which are among those that the model of these tests takes.
SMALL = Protocol("small", 32, 8.0)
METHODS = ("barrel", "mean", "nearest", "oracle")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The small protocol beside the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, SMALL.name, SMALL)
        patch.setitem(PROTOCOLS, "finer", Protocol("finer", 64, 4.0))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two cases and three training CTs: phantoms of different width; one case has labels, and one is stored as RAS."""
    root = tmp_path_factory.mktemp("cts")
    for folder, widths in (("cases", (1.0, 1.1)), ("training", (0.9, 1.05, 1.2))):
        for width in widths:
            made = thorax_phantom().volume(Grid.centred((0, 0, 0), (48, 40, 48), 8.0), supersample=1)
            grid = Grid.centred((0, 0, 0), made.grid.size, (6.0 * width, 6.0, 6.0))
            write_volume(Volume(np.rint(made.array).astype(np.int16), grid), root / folder / f"1.2.p{width * 100:.0f}.nii.gz")
    labels = Volume((made.array > 0).astype(np.uint8), Grid.centred((0, 0, 0), made.grid.size, 6.0))
    write_volume(labels, root / "cases" / "1.2.p100.labels.nii.gz")
    ras = sitk.DICOMOrient(sitk.ReadImage(str(root / "training" / "1.2.p120.nii.gz")), "RAS")
    sitk.WriteImage(ras, str(root / "training" / "1.2.p120.nii.gz"))
    return root / "cases", root / "training"


@pytest.fixture(scope="module")
def results(folders, barrel):
    return evaluate(barrel, folders[0], folders[1], settings=["two_views"], protocol="small")


def rows_of(results: dict, **wanted: str) -> list[dict]:
    return [row for row in results["cases"] if all(row[key] == value for key, value in wanted.items())]


def test_every_case_setting_and_method_has_a_row_alone_and_fused(results):
    names = {f"{name}{how}" for name in METHODS for how in ("", "_fused")} | {"ceiling"}
    assert len(results["cases"]) == 2 * len(names) and {r["method"] for r in results["cases"]} == names
    assert {r["case"] for r in results["cases"]} == {"1.2.p100", "1.2.p110"} and not results["refused"]
    for row in results["cases"]:
        assert all(row[f] is None or np.isfinite(row[f]) for f in FIGURES)
        assert {f for f in FIGURES if row[f] is None} == set(row["undefined"]), row
        assert row["psnr_x2ct"] - row["psnr"] == pytest.approx(20 * np.log10(4095 / 2500))
        assert row["body_dice"] > 0.3 and row["geometry"] == "known"
    assert all(r["hu_mae_labels"].keys() == {1} for r in rows_of(results, case="1.2.p100") if r["method"] != "ceiling")
    assert not any("hu_mae_labels" in r for r in rows_of(results, case="1.2.p110"))


def test_the_summary_is_the_mean_of_the_cases(results):
    rows = [r["psnr"] for r in rows_of(results, setting="two_views", method="barrel_fused")]
    assert results["summary"]["two_views"]["barrel_fused"]["psnr"] == pytest.approx(np.mean(rows))
    assert results["summary"]["two_views"]["barrel_fused"]["cases"] == 2


def test_fusion_re_projects_and_the_oracle_is_the_best_baseline(results):
    for methods in results["summary"].values():
        for name in METHODS:
            assert methods[f"{name}_fused"]["reprojection"] < 1e-3 < methods[name]["reprojection"]
        assert methods["barrel_fused"]["psnr"] > methods["barrel"]["psnr"]
        assert methods["oracle"]["psnr"] >= methods["nearest"]["psnr"] - 1e-9


def test_the_ceiling_is_what_the_grid_costs(folders, results):
    """Measured on the CT's own voxels: the same for every X-ray, higher on a finer grid, and without an error of the X-rays."""
    path = folders[0] / "1.2.p100.nii.gz"
    coarse, standard = (ceiling_figures(read_case(path, PROTOCOLS[name])) for name in ("small", "standard"))
    (row,) = rows_of(results, case="1.2.p100", method="ceiling")
    assert row["psnr"] == coarse["psnr"] < standard["psnr"] - 2 and row["bone_dice"] < standard["bone_dice"]
    assert 0.95 < coarse["body_dice"] < standard["body_dice"] <= 1
    assert row["reprojection"] < 1e-6 and row["seconds"] is None


def test_baselines_are_what_they_say(folders):
    names, trained = read_training(ct_files(folders[1]), SMALL)
    assert names == ["1.2.p105", "1.2.p120", "1.2.p90"]
    case = read_case(folders[0] / "1.2.p100.nii.gz", SMALL)
    given = radiographs_of(case, "two_views")
    mean, nearest, oracle = (s.answers(case, "two_views", given, BETA)[0].volume.array for s in baselines(METHODS[1:], trained))
    by_hand = np.mean([metrics.hu_range(read_case(p, SMALL).truth.array) for p in ct_files(folders[1])], axis=0)
    np.testing.assert_allclose(mean, by_hand - 1024, atol=0.01)
    closest = np.clip(read_case(folders[1] / "1.2.p105.nii.gz", SMALL).truth.array, -1024, 1476)
    np.testing.assert_allclose(nearest, closest, atol=1e-3)
    np.testing.assert_allclose(oracle, closest, atol=1e-3)
    with pytest.raises(InputError, match=r"nearest is chosen among training CTs.*--training"):
        baselines(["nearest"], [])


def test_the_phantom_scores_the_same_in_every_order_of_axes(folders, barrel, tmp_path):
    """Through files, X-rays, model, fusion and figures: RAS and feet first to the last digit."""
    image = sitk.ReadImage(str(folders[0] / "1.2.p100.nii.gz"))
    image.SetOrigin((-100.123456789, 33.3333333, -777.7777777))
    orders = ("LPS", "RAS", "LPI")
    for order in orders:
        sitk.WriteImage(sitk.DICOMOrient(image, order), str(tmp_path / f"{order}.nii.gz"))
    found = evaluate([barrel], tmp_path, settings=["two_views"], protocol="small")
    for method in ("barrel", "barrel_fused", "ceiling"):
        lps, *others = ({f: rows_of(found, case=o, method=method)[0][f] for f in FIGURES if f != "seconds"} for o in orders)
        assert others == [lps, lps], method
        assert 5 < lps["psnr"] < 60 and lps["body_dice"] > 0.3


def test_a_training_ct_that_is_a_case_is_left_out_of_the_baselines(folders, barrel):
    everything = [folders[1], folders[0] / "1.2.p100.nii.gz"]
    found = evaluate(["mean"], folders[0] / "1.2.p100.nii.gz", everything, settings=["one_view"], protocol="small")
    assert found["baselines"] == ["1.2.p105", "1.2.p120", "1.2.p90"] and found["models"] == []
    assert set(found["summary"]["one_view"]) == {"mean", "mean_fused", "ceiling"}
    with pytest.raises(InputError, match="also a test case"):
        evaluate(barrel, folders[0], folders[0], settings=["one_view"])


def trusted(changes: dict, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The barrel with another card, trusted while the test runs."""
    monkeypatch.setenv("XRAYTO3D_HOME", str(folder / "home"))
    save_model(Barrel(), {**CARD, **changes}, folder / "barrel.pt")
    return load_model(folder / "barrel.pt", ask=lambda m: True)


def test_any_list_of_methods_is_a_table(folders, barrel, tmp_path, monkeypatch):
    """Two models of one name are told apart; one that does not take a setting is said to, and the others go on."""
    pair = trusted({"inputs": {**CARD["inputs"], "views": {"minimum": 2, "maximum": 2}}}, tmp_path, monkeypatch)
    case = folders[0] / "1.2.p100.nii.gz"
    found = evaluate([barrel, pair, tmp_path / "barrel.pt"], case, settings=["one_view", "two_views"], protocol="small")
    first, second = (m["method"] for m in found["models"])
    assert {first, second} == {f"barrel_{m.file.sha256[:8]}" for m in (barrel, pair)}
    assert set(found["summary"]["two_views"]) == {first, f"{first}_fused", second, f"{second}_fused", "ceiling"}
    assert set(found["summary"]["one_view"]) == {first, f"{first}_fused", "ceiling"}
    (refused,) = found["refused"]
    assert refused["method"] == second and refused["setting"] == "one_view" and "takes 2 to 2 views" in refused["reason"]
    assert "did not answer one_view" in write_results(found, tmp_path)[1].read_text()
    with pytest.raises(InputError, match="takes 2 to 2 views"):
        evaluate([pair], case, settings=["one_view"], protocol="small")


def test_all_is_every_model_and_every_baseline(folders, tmp_path, monkeypatch):
    """A model that nobody trusted, and one that does not take the grid, are named with the reason; the others have rows."""
    monkeypatch.setenv("XRAYTO3D_MODELS", str(tmp_path))
    trusted({}, tmp_path, monkeypatch)
    save_model(Barrel(), {**CARD, "name": "stranger"}, tmp_path / "stranger.pt")
    found = evaluate(["all"], folders[0] / "1.2.p100.nii.gz", folders[1], settings=["two_views"], protocol="small")
    names = {f"{name}{how}" for name in METHODS for how in ("", "_fused")} | {"ceiling"}
    assert set(found["summary"]["two_views"]) == names
    reasons = {refused["method"]: refused["reason"] for refused in found["refused"]}
    assert set(reasons) == {"stranger", "biplanar"} and "trust" in reasons["stranger"] and "8 x 8 x 8 mm" in reasons["biplanar"]


def test_a_finer_protocol_than_a_model_takes(folders, tmp_path, monkeypatch):
    """The model answers on twice as large voxels in the same place, and its answer is interpolated and fused."""
    model = trusted(
        {"outputs": {**CARD["outputs"], "grid": {**CARD["outputs"]["grid"], "spacing_mm": [8.0, 16.0]}}}, tmp_path, monkeypatch
    )
    found = evaluate([model], folders[0] / "1.2.p100.nii.gz", settings=["two_views"], protocol="finer")
    (alone,), (fused,) = (rows_of(found, method=m) for m in ("barrel", "barrel_fused"))
    assert fused["psnr"] > alone["psnr"] and fused["reprojection"] < 5e-3 < alone["reprojection"]
    grid = Grid.centred((0, 0, 0), 128, 2.5)
    np.testing.assert_allclose(halved(grid).corners, grid.corners)
    assert halved(grid).size == (64, 64, 64)


def test_the_settings_are_the_protocols():
    grid = Grid.centred((1, 2, 3))
    assert list(SETTINGS)[:4] == ["one_view", "two_views", "two_views_10deg", "two_views_cone"]
    assert [s.name for s in SETTINGS.values() if not s.known] == [f"hard_two_views_{n}deg" for n in (2, 5, 10)]
    ap, lateral, turned = (projections((view,), SETTINGS["two_views"], grid)[0] for view in ("AP", "LAT", "LAT+10"))
    assert ap.angle_to(lateral) == pytest.approx(90) and not ap.is_cone
    assert turned.angle_to(lateral) == pytest.approx(10) and SETTINGS["two_views_10deg"].views[1] == "LAT+10"
    np.testing.assert_allclose(ap.project(grid.affine[:3, 3][None])[0], [0, 63], atol=1e-9)
    (cone,) = projections(("AP",), SETTINGS["two_views_cone"], grid)
    assert cone.size == (80, 80) and cone.spacing == (5.0, 5.0) and cone.source_to_detector == 1500


def test_radiographs_of_a_case_measure_its_grid_alone(folders):
    case = read_case(folders[0] / "1.2.p110.nii.gz")
    picture = radiographs_of(case, "one_view")[0].line_integrals
    mu = np.maximum(0.0193 * (1 + case.truth.array / 1000), 0)
    np.testing.assert_allclose(picture, 4.0 * mu.sum(axis=1)[::-1], rtol=1e-4, atol=1e-4)


def test_what_is_not_there_has_a_reason_and_no_number(folders):
    case = read_case(folders[0] / "1.2.p100.nii.gz")
    air = Volume(np.full_like(case.truth.array, -1000), case.truth.grid)
    found = figures_between(case.truth, case.structures, air)
    assert found["bone_dice"] == found["body_nsd"] == 0 and found["body_hd95_mm"] is None
    assert found["undefined"]["bone_hd95_mm"] == "no bone was found in the answer"
    boneless = Volume(np.minimum(case.truth.array, 60), case.truth.grid)
    found = figures_between(boneless, structures(boneless), case.truth)
    assert found["bone_dice"] is None and found["undefined"]["bone_dice"] == "the CT has no bone" and found["lungs_dice"] > 0.9
    equal = figures_between(case.truth, case.structures, case.truth)
    assert equal["psnr"] is None and equal["undefined"] == {"psnr": "equal to the truth", "psnr_x2ct": "equal to the truth"}
    assert equal["body_dice"] == equal["bone_nsd"] == 1 and equal["lungs_hd95_mm"] == 0


def test_unknown_words_and_empty_folders_are_errors(barrel, folders, tmp_path):
    for arguments, options, words in (
        ((barrel, folders[0]), {"settings": ["three_views"]}, "three_views"),
        ((barrel, folders[0]), {"protocol": "knee"}, "standard, chest128"),
        ((barrel, tmp_path), {}, "no CT"),
        ((barrel, tmp_path / "nowhere"), {}, "does not exist"),
        ((["mean", "no_such_model"], folders[0]), {}, "no_such_model"),
    ):
        with pytest.raises(InputError, match=words):
            evaluate(*arguments, **options)


def test_the_protocol_says_everything(results, tmp_path):
    assert "128^3 voxels of 2.5 mm" in in_words(PROTOCOLS["chest128"])
    text = in_words(PROTOCOLS["standard"])
    for words in (
        "64^3 voxels of 4 mm",
        "known or unknown",
        "peak 4095",
        "20000 photons",
        "0.4 mm",
        "100 kV",
        "6 mm, 1.5 voxels",
        "ceiling",
    ):
        assert words in text, words
    paths = write_results(results, tmp_path / "out")
    assert json.loads(paths[0].read_text())["summary"]["two_views"].keys() == results["summary"]["two_views"].keys()
    table = paths[1].read_text()
    assert "| two_views | known | barrel_fused |" in table and "| 1.2.p110 | two_views | known | nearest |" in table
