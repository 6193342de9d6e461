"""The evaluation of organ shapes: figures, cases and their fields, baselines without the case's own patient, rows and means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ball_system import BallSystem
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.shapes.baselines import MEANS, bundled_means, mean_shape, save_means
from XRayTo3DLib.evaluation.shapes.cases import read_scan, scheme_of
from XRayTo3DLib.evaluation.shapes.evaluate import evaluate_shapes
from XRayTo3DLib.evaluation.shapes.figures import FIGURES, ShapeAnswer, shape_figures
from XRayTo3DLib.evaluation.shapes.landmarks import surface_landmarks
from XRayTo3DLib.evaluation.shapes.table import in_lines, summarise, write_results
from XRayTo3DLib.evaluation.shapes.xrays import SETTINGS, ShapeXrays
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume

#: Ids of a scheme of our own.
SCHEME = {"liver": 3, "spleen": [4, 5], "spine": 7, "unknown thing": 9}
GRID = Grid((26, 22, 40), (14.0, 14.0, 14.0), (-175.0, -147.0, 0.0))


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    z, y, x = np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij")
    points = np.stack([x, y, z], -1) * 14.0 + np.array(GRID.origin)
    return (np.square((points - centre) / radii).sum(axis=-1)) < 1


def write_patient(
    folder: Path, name: str, liver: float, spleen: float = 40.0, at: tuple[float, float, float] = (-60, 0, 150)
) -> None:
    """A body with a liver of one radius and a spleen of another, both dense enough to be seen, and a spine through all of it."""
    z = np.arange(GRID.size[2])[:, None, None]
    body = ellipsoid((0, 0, 280), (150, 120, 1000))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[ellipsoid((0, 70, 280), (20, 20, 2000))] = 7
    labels[ellipsoid(at, (liver,) * 3)] = 3
    halves = ellipsoid((70, 30, 470), (spleen,) * 3)
    labels[halves] = np.where(np.broadcast_to(z, GRID.shape)[halves] * 14 > 470, 4, 5)
    ct = np.where(body, 0, -1000).astype(np.int16)
    ct[labels > 0] = 700
    write_volume(Volume(ct, GRID), folder / f"{name}.nii.gz")
    write_volume(Volume(labels, GRID), folder / f"{name}.labels.nii.gz")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four CTs of three patients; the livers of ``a1`` and ``a2``, of one patient, are the same."""
    folder = tmp_path_factory.mktemp("patients")
    for name, liver in (("a1", 60.0), ("a2", 60.0), ("b", 75.0), ("c", 45.0)):
        write_patient(folder, name, liver, 15.0 if name == "c" else 40.0)
    (folder / "labels.json").write_text(json.dumps(SCHEME))
    (folder / "patients.csv").write_text("file,patient\na1.nii.gz,A\na2.nii.gz,A\nb.nii.gz,B\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYTO3D_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def results(patients: Path) -> dict:
    systems = [BallSystem(radius=50.0, interval=(600.0, 1000.0)), "mean", "mean_body", "mean_scaled", "nearest"]
    return evaluate_shapes(patients, ["liver", "spleen"], None, systems, patients, ["one_view", "one_view_mask", "mask_only"])


def test_figures_of_a_cube_moved_by_a_voxel():
    grid = Grid((20, 20, 20), (2.0, 3.0, 4.0))
    truth = np.zeros(grid.shape, bool)
    truth[5:15, 5:15, 5:15] = True
    found = shape_figures(truth, grid, ShapeAnswer("x", np.roll(truth, 1, axis=0), 30.0, (23.9, 24.1), 0.5))
    assert found["dice"] == pytest.approx(0.9) and found["iou"] == pytest.approx(9 / 11)
    assert found["hausdorff_mm"] == pytest.approx(4) and found["hd95_mm"] == pytest.approx(4)
    assert found["landmark_mm"] == pytest.approx(4, abs=1.5) and 0 < found["surface_distance_mm"] < 4
    assert found["volume_ml_truth"] == pytest.approx(24) and found["volume_error"] == pytest.approx(0.25)
    assert found["covered"] is True and found["undefined"] == {}
    less = shape_figures(truth, grid, ShapeAnswer("x", truth & False, 18.0, (10.0, 20.0)))
    assert less["dice"] == less["iou"] == 0 and less["volume_signed"] == pytest.approx(-0.25) and less["covered"] is False
    assert {f for f in FIGURES if less[f] is None} == set(less["undefined"])
    assert shape_figures(truth, grid, ShapeAnswer("x", truth, 24.0))["covered"] is None


def test_landmarks_of_a_jaw_are_where_its_ends_are():
    grid = Grid((60, 50, 50), (2.0, 2.0, 2.0), (-59.0, -49.0, -49.0))
    jaw = np.zeros(grid.shape, bool)
    jaw[4:10, 4:8, 6:54] = True  # the chin, in front and below
    for left in (slice(4, 8), slice(52, 56)):
        jaw[4:10, 4:44, left] = True  # the bodies, running back to the angles
        jaw[4:44, 40:44, left] = True  # the rami, running up to the condyles
    marks = surface_landmarks(jaw, grid, "mandible")
    assert set(marks) == {"menton", "condyle_right", "condyle_left", "gonion_right", "gonion_left"}
    assert marks["menton"] == pytest.approx((0, -41, -41), abs=3)
    assert marks["condyle_left"] == pytest.approx((48, 37, 37), abs=4) and marks["condyle_right"][0] < -45
    assert marks["gonion_left"] == pytest.approx((48, 37, -41), abs=4)
    assert set(surface_landmarks(jaw, grid, "liver")) == {"left", "right", "anterior", "posterior", "superior", "inferior"}
    assert surface_landmarks(jaw & False, grid) == {}


def test_the_field_holds_the_organ_and_what_is_cut_is_left_out(patients, tmp_path):
    scan = read_scan(patients / "a1.nii.gz", scheme_of(patients, None))
    spleen, liver = scan.case("spleen"), scan.case("liver")
    # The scan's top is at 546 mm; the spleen lies in the 384 mm below, the liver reaches down to 90 mm: 20 mm are kept below it.
    assert spleen.ct.grid.origin[2] == pytest.approx(-(546 - 192)) and liver.ct.grid.origin[2] == pytest.approx(
        -(91 - 20 + 192), abs=8
    )
    assert np.abs(np.stack(liver.box)).max() < 192
    centre = np.mean(liver.box, axis=0) - np.array(liver.ct.grid.origin) + np.array(GRID.origin)
    assert centre == pytest.approx((-60, 0, 150), abs=8)
    assert liver.volume_ml == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.1)
    long = scan.case("spine")
    assert long.truth.any() and long.box[0][2] > -200 and long.box[1][2] == pytest.approx(192, abs=15)
    assert scan.case("heart") == "not labelled"
    write_patient(tmp_path, "cut", 60.0, at=(-60, 0, 20))
    write_patient(tmp_path, "sliver", 60.0, at=(-63, -7, 59.9))  # one voxel on the lowest face
    write_patient(tmp_path, "top", 60.0, at=(-63, -7, 486.1))  # one voxel on the highest face, the field's own
    for name in ("sliver", "top"):
        case = read_scan(tmp_path / f"{name}.nii.gz", {"liver": (3,)}).case("liver")
        assert case.volume_ml == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.12)
    assert read_scan(tmp_path / "cut.nii.gz", {"liver": (3,)}).case("liver") == "cut by the scan"


def test_settings_give_the_x_rays_and_drawings_that_they_name(patients):
    case = read_scan(patients / "b.nii.gz", {"liver": (3,)}).case("liver")
    xrays = ShapeXrays(case)
    assert set(SETTINGS) == {"one_view", "one_view_mask", "mask_only", "two_views"}
    one, drawn, blank, two = (xrays.of(name) for name in SETTINGS)
    assert [r.name for r in two.radiographs] == ["AP", "LAT"] and one.masks == [None] and two.masks == [None, None]
    assert one.radiographs[0].line_integrals.max() > 5 and not blank.radiographs[0].line_integrals.any()
    # The shadow of a ball of 75 mm in the middle of a cone beam, enlarged by 1.25, on pixels of 2.5 mm.
    area = np.count_nonzero(drawn.masks[0]) * (2.5 / 1.25) ** 2
    assert area == pytest.approx(np.pi * 75**2, rel=0.15) and np.array_equal(blank.masks[0], drawn.masks[0])
    assert {ShapeXrays(case, beam).of("one_view").radiographs[0].projection.beam for beam in ("parallel", "scanned")} == {
        "parallel",
        "scanned",
    }


def test_baselines_never_see_the_patient_and_place_what_they_know(results):
    def row(case: str, method: str, setting: str = "one_view") -> dict:
        (found,) = (
            r for r in results["cases"] if (r["case"], r["method"], r["setting"], r["organ"]) == (case, method, setting, "liver")
        )
        return found

    # The nearest of a1 is not a2, of the same patient, whose X-ray is equal, but another of which the volume tells.
    by_name = {name: row(name, "ceiling")["volume_ml_truth"] for name in ("a1", "b", "c")}
    assert row("a1", "nearest")["volume_ml"] in (pytest.approx(by_name["b"]), pytest.approx(by_name["c"]))
    assert row("b", "nearest")["volume_ml"] == pytest.approx(by_name["a1"])
    for setting in ("one_view_mask", "mask_only"):
        assert row("c", "nearest", setting)["volume_ml"] == pytest.approx(by_name["a1"])
    # The mean of the others has their mean volume, and stretched to the box of a ball it is that ball.
    assert row("a1", "mean")["volume_ml"] == pytest.approx((by_name["b"] + by_name["c"]) / 2)
    assert row("b", "mean")["volume_ml"] < row("b", "mean")["volume_ml_truth"] and row("b", "mean")["dice"] > 0.5
    assert row("c", "mean_scaled")["dice"] > 0.85 and row("c", "mean_scaled")["volume_error"] < 0.2
    assert row("c", "mean_body")["dice"] < row("c", "mean_scaled")["dice"]
    assert all(row(case, "ceiling")["dice"] > 0.9 for case in by_name)


def test_rows_means_and_what_is_left_out(results, tmp_path):
    methods = {"ball", *MEANS, "nearest", "ceiling"}
    assert set(results["summary"]) == {"one_view", "one_view_mask", "mask_only"} and results["refused"] == []
    assert all(set(organs) == {"liver", "spleen"} for organs in results["summary"].values())
    assert all(set(organs["liver"]) == methods for organs in results["summary"].values())
    ball = results["summary"]["one_view"]["liver"]["ball"]
    assert ball["cases"] == 4 and ball["coverage_90"] == pytest.approx(0.5)  # of 0.4, 0.9, 0.9 and 1.8 litres two are in 0.6 to 1
    assert ball["seconds"] > 0 and ball["volume_rmse_ml"] > 0 and ball["volume_bias"] < 1
    # The ball stands in the field's middle, off the liver: its false parts outside the organ's own box count.
    rows = [r for r in results["cases"] if r["method"] == "ball" and r["organ"] == "liver"]
    assert all(r["hausdorff_mm"] > 20 and r["dice"] < 0.5 for r in rows)
    assert results["left_out"] == [{"case": "c", "organ": "spleen", "reason": "smaller than a quarter of the mean"}]
    assert results["summary"]["one_view"]["spleen"]["ceiling"]["cases"] == 3
    assert results["training"]["liver"] == ["a1", "a2", "b", "c"] and results["labels"] == {"liver": [3], "spleen": [4, 5]}
    written = write_results(results, tmp_path)
    assert [path.name for path in written] == ["shapes.json", "shapes.md"]
    stored = json.loads(written[0].read_text(), parse_constant=lambda word: pytest.fail(word))
    assert stored["summary"] == summarise(stored["cases"])
    text = written[1].read_text()
    assert "| one_view | liver | nearest | 4 |" in text and "spleen: 1 of the CTs left out (smaller than" in text
    assert any("coverage 50%" in line for line in in_lines(results))


def test_bundled_means_come_back_as_they_were_made(patients, tmp_path, monkeypatch):
    cases = [read_scan(patients / f"{name}.nii.gz", {"liver": (3,)}).case("liver") for name in ("a1", "b")]
    made = mean_shape(cases)
    (tmp_path / "Baselines").mkdir()
    save_means([made], tmp_path / "Baselines" / "shapes.npz")
    monkeypatch.setattr("XRayTo3DLib.evaluation.shapes.baselines.resources_folder", lambda: tmp_path)
    stored = bundled_means()["liver"]
    assert stored.subjects == ("a1", "b") and stored.volume_ml == pytest.approx(made.volume_ml, abs=1e-3)
    assert np.abs(stored.occupancy - made.occupancy).max() < 0.003 and stored.occupancy.max() == 1
    found = evaluate_shapes(patients, ["liver"], methods=["mean", "ours"], settings=["one_view"], limit=1)
    assert found["seen"] == {"the bundled mean of liver": ["a1"]}
    assert [r["method"] for r in found["cases"]] == ["mean", "ceiling"] and "no model" in found["refused"][0]["reason"]


@each(
    ("settings", "words"),
    [
        ({"settings": ["three_views"]}, "The setting 'three_views' is not known"),
        ({"beam": "fan"}, "The beam 'fan' is not known"),
        ({"organs": ["gills"]}, "no organ 'gills'"),
        ({"methods": ["nearest"]}, "chosen among training CTs"),
        ({"organs": ["heart"]}, "No organ could be measured"),
        ({"labels": "nowhere.json"}, "cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(patients, settings, words):
    with pytest.raises(InputError, match=words):
        evaluate_shapes(patients, **settings)


def test_labels_are_named_by_the_folder_or_by_the_user(patients, tmp_path):
    write_patient(tmp_path, "one", 60.0)
    with pytest.raises(InputError, match=r"holds no labels\.json: say how its labels are numbered, --labels head_neck"):
        evaluate_shapes(tmp_path)
    assert scheme_of(tmp_path, str(patients / "labels.json")) == {"liver": (3,), "spleen": (4, 5), "spine": (7,)}
    (tmp_path / "patients.csv").write_text("name\none\n")
    with pytest.raises(InputError, match="has no rows of file,patient"):
        evaluate_shapes(tmp_path, ["liver"], str(patients / "labels.json"), ["mean"])
