"""Regions, landmarks and surface images of a head whose landmarks are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from paper_head import TRUTH, paper_head
from tables import each

from XRayTo3DLib import Grid, InputError, Volume, extract_surface
from XRayTo3DLib.files import resources_folder
from XRayTo3DLib.parametrized.body import body_of_ct, body_of_mask, body_of_surface
from XRayTo3DLib.parametrized.examples import example_of
from XRayTo3DLib.parametrized.landmarks import measure, measure_body
from XRayTo3DLib.parametrized.regions import find_region, regions
from XRayTo3DLib.parametrized.surface_image import surface_image

HEAD = find_region("head_neck")


def test_regions_name_enough_landmarks_with_all_that_is_said_of_each() -> None:
    assert regions() == ["head_neck", "torso"]
    for name, least in (("head_neck", 12), ("torso", 17)):
        region = find_region(name)
        assert len(set(region.names)) == len(region.names) >= least
        assert all(len(one.definition) > 10 and len(one.colour) == 3 and one.group for one in region.landmarks)
        assert set(region.frame.landmarks) <= set(region.names) and region.views == ("AP", "LLAT")


@each(
    "change, said",
    [
        (lambda v: v["landmarks"][0].pop("definition"), "definition"),
        (lambda v: v["landmarks"][0]["measure"].update(kind="guess"), "measure"),
        (lambda v: v["landmarks"].append(v["landmarks"][0]), "chin twice"),
        (lambda v: v["frame"].update(landmarks=["chin", "tail"]), "no landmark tail"),
        (lambda v: v["frame"]["range"].pop("AP"), "views with place but without range"),
    ],
)
def test_a_region_that_is_not_valid_is_refused_and_says_where(change, said: str, tmp_path: Path) -> None:
    values = json.loads((resources_folder() / "Regions" / "head_neck.json").read_text())
    change(values)
    (tmp_path / "mine.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=said):
        find_region(tmp_path / "mine.json")


def test_landmarks_are_where_they_are_and_move_with_the_patient() -> None:
    for shift in ((0, 0, 0), (12, -20, 40)):
        ct, labels = paper_head(shift)
        found = measure(ct, labels, HEAD)
        for name, at in TRUTH.items():
            assert np.abs(found[name] - shift - at).max() <= 6, (name, found[name] - shift, at)
    # The skin's landmarks do not need labels, nor those of the lungs; the others are absent without.
    alone = measure(ct, None, HEAD)
    assert set(alone) == {"chin", "nape", "occiput", "neck_left", "neck_right", "lung_top_left", "lung_top_right"}
    assert all(np.array_equal(alone[name], found[name]) for name in alone)


@each(
    "ends, absent",
    [
        ({"above": 60.0}, {"occiput", "brainstem", "condyle_left", "condyle_right"}),  # the scan ends at the skull's base
        ({"below": -52.0}, {"neck_left", "neck_right", "larynx", "cord_at_larynx", "lung_top_left", "lung_top_right"}),
        ({}, set()),
    ],
)
def test_what_the_scan_cuts_is_absent(ends: dict[str, float], absent: set[str]) -> None:
    found = measure(*paper_head(**ends), HEAD)
    # The nose, the esophagus and a pointed condyle are nowhere in this head.
    assert set(TRUTH) - set(found) == absent & set(TRUTH)
    assert not absent & set(found) and "nose_tip" not in found and "esophagus_top" not in found
    assert list(found) == [name for name in HEAD.names if name in found]


def ellipsoid() -> tuple[np.ndarray, Grid]:
    grid = Grid.centred((10.0, -20.0, 30.0), (60, 60, 75), 4.0)
    z, y, x = np.meshgrid(*(grid.origin[a] + np.arange(grid.size[a]) * 4.0 for a in (2, 1, 0)), indexing="ij")
    return ((x - 10) / 80) ** 2 + ((y + 20) / 100) ** 2 + ((z - 30) / 130) ** 2 <= 1, grid


def test_depth_and_thickness_are_those_of_the_body_from_ct_mask_and_surface() -> None:
    mask, grid = ellipsoid()
    points = {"chin": np.array([10.0, -120.0, 30.0]), "nape": np.array([10.0, 80.0, 30.0])}
    ct = Volume(np.where(mask, 40.0, -1000.0).astype(np.float32), grid)
    turned = Grid(grid.size, grid.spacing, (-grid.origin[0], grid.origin[1], grid.origin[2]), np.diag([-1.0, 1, 1]))
    mirrored = Volume(ct.array, turned), {name: point * [-1, 1, 1] for name, point in points.items()}
    bodies = {
        "ct": (body_of_ct(ct), points),
        "mask": (body_of_mask(mask, grid), points),
        "surface": (body_of_surface(extract_surface(mask, grid).polydata, "body"), points),
        "stored from the left": (body_of_ct(mirrored[0]), mirrored[1]),
    }
    # Frontal: the ray through the middle meets the skin 100 mm before it; lateral: 80 mm; 12 pixels off it is shorter.
    for view, half, across in (("AP", 100.0, 80.0), ("LLAT", 80.0, 100.0)):
        for name, (body, at) in bodies.items():
            image = surface_image(body, HEAD, view, at)
            depth, thickness = image.array[:, 60] * 100
            for column, share in ((63, 2), (64, 2), (75, 46), (52, 46)):
                length = half * np.sqrt(1 - (share / across) ** 2)
                assert abs(depth[column] - (256 - length)) < 3 and abs(thickness[column] - 2 * length) < 5, (view, name, column)
            rows = np.flatnonzero(image.silhouette.any(axis=1))
            assert abs(rows[0] - (60 - 32.5)) <= 1.5 and abs(rows[-1] - (60 + 32.5)) <= 1.5, (view, name)
            assert image.array[:, ~image.silhouette].max() == 0 and not image.notes, (view, name, image.notes)


def test_a_scaled_frame_shows_a_smaller_body_as_large() -> None:
    from dataclasses import replace

    region = replace(HEAD, frame=replace(HEAD.frame, scaled=True, reference_mm=200.0))
    mask, grid = ellipsoid()
    small = Grid.centred(grid.centre, grid.size, 3.0)
    points = {"chin": np.array([10.0, -120.0, 30.0]), "nape": np.array([10.0, 80.0, 30.0])}
    half = {name: grid.centre + 0.75 * (point - grid.centre) for name, point in points.items()}
    large = surface_image(body_of_mask(mask, grid), region, "AP", points).array
    shrunk = surface_image(body_of_mask(mask, small), region, "AP", half).array
    assert np.abs(large - shrunk).mean() < 0.01 and large.max() > 1.9


def test_what_lies_outside_the_field_is_said_and_the_frame_asks_for_its_landmarks() -> None:
    body = body_of_ct(paper_head(below=-60.0)[0])
    image = surface_image(body, HEAD, "frontal", measure_body(body, HEAD))
    assert image.view == "AP" and any("the lower 20" in note for note in image.notes), image.notes
    assert not image.field[-1].any() and image.field[60].all() and image.field[0].all()
    with pytest.raises(InputError, match=r"landmark nape .* was not found"):
        surface_image(body, HEAD, "AP", {"chin": np.zeros(3)})
    with pytest.raises(InputError, match="not known"):
        surface_image(body, HEAD, "from behind", measure_body(body, HEAD))


def test_a_landmark_that_is_given_wins_and_the_frame_follows_it() -> None:
    body = body_of_ct(paper_head()[0])
    found = measure_body(body, HEAD, {"chin": np.array([0.0, -90.0, 20.0])})
    assert found["chin"][2] == 20 and found["nape"][2] == 20
    moved, before = (surface_image(body, HEAD, "AP", points) for points in (found, measure_body(body, HEAD)))
    step = round((20 - measure_body(body, HEAD)["chin"][2]) / 4)
    assert np.abs(moved.array[1, 10 + step : 110] - before.array[1, 10 : 110 - step]).mean() < 0.03


def test_an_example_has_the_x_ray_of_the_body_alone_with_its_landmarks() -> None:
    ct, labels = paper_head()
    couch = ct.array.copy()
    couch[:, -3:] = 200.0  # a board behind the patient
    example = example_of(Volume(couch, ct.grid), labels, HEAD, "LLAT")
    clean = example_of(ct, labels, HEAD, "LLAT")
    assert np.abs(example.xray - clean.xray).max() < 1e-4
    row, column = (round(float(v)) for v in clean.points[HEAD.names.index("brainstem")])
    # The skull's ellipsoid is 2 * 78 * sqrt(1 - (20/98)^2 - (20/110)^2) = 149 mm wide there, of water and 3 per cent.
    assert abs(clean.xray[row, column] - 149 * 0.0193 * 1.03) < 0.15
    assert clean.valid.sum() == len(clean.landmarks) and np.isnan(clean.points[~clean.valid]).all()
    assert clean.points[HEAD.names.index("chin"), 0] == pytest.approx(60)
