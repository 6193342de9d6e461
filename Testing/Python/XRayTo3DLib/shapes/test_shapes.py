"""Organs: their names, the labels they are made of, and what an estimate becomes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from ball_system import CENTRE, BallSystem
from tables import each

from XRayTo3DLib.anatomy.catalogue import CATALOGUE, terminology
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_attenuation, to_hu
from XRayTo3DLib.shapes import registry
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.base import ShapeEstimate
from XRayTo3DLib.shapes.interval import interval_factors, volume_interval
from XRayTo3DLib.shapes.labels import read_labels
from XRayTo3DLib.shapes.methods import segmented
from XRayTo3DLib.shapes.organs import ORGANS, find_organ, lung_sides, organ_mask


def _views(*words: str, size: int = 100) -> list[Radiograph]:
    projections = [ViewSpec.parse(w, size=(size, size), spacing=2.0, isocentre=(0, 0, 0)).projection() for w in words]
    return [Radiograph(np.ones(p.size, np.float32), p, w) for p, w in zip(projections, words, strict=True)]


def test_every_organ_has_a_code_a_colour_and_ids_of_its_own():
    assert {"mandible", "lungs", "liver", "kidney_left", "ribs", "pelvis"} <= set(ORGANS) <= set(CATALOGUE)
    assert "SCT^64033007^Kidney~SCT^24028007^Right~" in terminology("kidney_right")
    assert "SCT^91609006^Mandible~^^~" in terminology("mandible")
    for scheme in ("head_neck", "totalsegmentator"):
        ids = [n for organ in ORGANS.values() if not organ.parts for n in organ.ids.get(scheme, ())]
        assert len(ids) == len(set(ids)) > 6
    assert ORGANS["parotid_left"].mirrored == "parotid_right" and ORGANS["spinal_cord"].mirrored == "spinal_cord"
    assert find_organ(" Parotid-left").name == "parotid_left"
    with pytest.raises(InputError, match="no organ 'gills'"):
        find_organ("gills")


def test_lungs_are_parted_into_the_patients_left_and_right_on_any_grid():
    for direction in (np.eye(3), np.diag([-1.0, -1.0, 1.0])):
        grid = Grid((40, 24, 20), (8.0, 8.0, 8.0), tuple(-direction @ np.array([160.0, 96.0, 80.0])), direction)
        z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
        left = grid.affine[0, 0] * x + grid.affine[0, 3]
        lungs = (((np.abs(left) - 70) / 55) ** 2 + ((y - 12) / 8) ** 2 + ((z - 10) / 8) ** 2 < 1) | (
            (np.abs(left) < 30) & (y == 8) & (z == 10)
        )
        parts = lung_sides(lungs, grid)
        assert np.array_equal(parts["lung_left"] | parts["lung_right"], lungs)
        assert not (parts["lung_left"] & parts["lung_right"]).any()
        assert left[parts["lung_left"]].min() > -12 and left[parts["lung_right"]].max() < 12
        labels = Labelmap(lungs.astype(np.uint8), grid, {1: "lungs"})
        assert np.array_equal(organ_mask(labels, "lung_left"), parts["lung_left"])
    assert not lung_sides(np.zeros(grid.shape, bool), grid)["lung_left"].any()


def test_labels_are_read_by_a_scheme_and_unions_of_parts_are_known(tmp_path):
    array = np.zeros((4, 4, 6), np.uint8)
    for index, label in enumerate((10, 11, 13, 5, 7)):
        array[index % 4, :, index] = label
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.labels.nii.gz"))
    labels = read_labels(tmp_path / "a.nii.gz", "totalsegmentator")
    assert sorted(labels.names.values()) == ["liver", "lung_left", "lung_right"]
    assert np.array_equal(organ_mask(labels, "lungs"), np.isin(array, (10, 11, 13)))
    assert np.array_equal(organ_mask(labels, "lung_left"), np.isin(array, (10, 11)))
    assert not organ_mask(labels, "spleen").any()
    assert sorted(read_labels(tmp_path / "a.nii.gz", "head_neck").names.values()) == ["esophagus", "mandible"]
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"heart": [5, 7], "lungs": 10, "tumour": 13}))
    assert np.array_equal(organ_mask(read_labels(tmp_path / "a.nii.gz", own), "heart"), np.isin(array, (5, 7)))
    for scheme, words in (
        ({"heart": [5, 7], "liver": 5}, "belongs to both heart and liver"),
        ({"heart": 300}, "whole number from 1"),
        ({"tumour": 5}, "names no organ"),
        ({"heart": 99}, "holds none of the organs heart"),
    ):
        with pytest.raises(InputError, match=words):
            read_labels(tmp_path / "a.nii.gz", scheme)
    with pytest.raises(InputError, match="no labels beside"):
        read_labels(tmp_path / "b.nii.gz", "head_neck")


@each("spacing", [3.0, 4.0, 8.0])
def test_an_estimate_becomes_voxels_a_closed_surface_a_volume_and_outlines(spacing):
    views = _views("AP", "LAT")
    found = organ_shape(views, "liver", model=BallSystem(spacing=spacing), masks=[np.eye(100, dtype=bool), None])
    true_ml = 4 / 3 * np.pi * 30**3 / 1000
    assert found.volume_ml == pytest.approx(true_ml, rel=0.04)
    assert found.surface.closed and not found.surface.cut and found.surface.volume_ml == pytest.approx(true_ml, rel=0.04)
    assert found.labelmap.names == {1: "liver"} and max(found.labelmap.grid.spacing) <= 2.7
    points = np.argwhere(found.labelmap.array)[:, ::-1] * found.labelmap.grid.spacing + np.array(found.labelmap.grid.origin)
    assert np.abs(points.mean(axis=0) - CENTRE).max() < 0.5
    assert (found.model, found.sha256, found.interval_ml, found.notes) == ("ball", "", None, ("a ball",))
    for radiograph, curves in zip(views, found.outlines, strict=True):
        (curve,) = curves
        assert np.array_equal(curve[0], curve[-1])
        column, row = radiograph.projection.project(np.array([CENTRE]))[0]
        radius = np.linalg.norm(curve - (row, column), axis=1) * 2.0 / radiograph.projection.magnification(CENTRE)[0]
        assert np.abs(radius - 30).max() < 2.5
    assert "One view: depth comes from the model alone." in organ_shape(views[:1], "liver", model=BallSystem()).notes


def test_outlines_end_at_the_detector_and_organs_at_the_grid():
    (view,) = _views("AP", size=24)  # 48 mm of a shadow of 90 mm
    found = organ_shape([view], "liver", model=BallSystem(radius=50.0, interval=(1.0, 2.0)))
    (curve,) = found.outlines[0]
    assert np.array_equal(curve[0], curve[-1]) and curve.min() == -0.5 and curve.max() == 23.5
    assert found.surface.cut and any("cut there" in note for note in found.notes) and found.interval_ml == (1.0, 2.0)


@each(
    "arguments, words",
    [
        ({"radiographs": []}, "No radiograph"),
        ({"organ": "gills"}, "no organ"),
        ({"masks": [None, None]}, "2 masks for 1 X-rays"),
        ({"masks": [np.zeros((100, 100))]}, "is empty"),
        ({"masks": [np.ones((50, 100))]}, "50 x 100 pixels but the X-ray has 100 x 100"),
        ({"model": BallSystem(radius=-20.0)}, "was not found"),
        ({"model": "biplanar"}, "not an organ's shape"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, words):
    with pytest.raises(InputError, match=words):
        organ_shape(**{"radiographs": _views("AP"), "organ": "liver", "model": BallSystem(), **arguments})


def test_probabilities_are_neither_hu_nor_attenuation_nor_outside_0_to_1():
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0))
    half = Volume(np.full((2, 2, 2), 0.5, np.float32), grid, "1")
    for change in (to_hu, to_attenuation):
        with pytest.raises(InputError, match="probabilities"):
            change(half)
    for array, unit in ((half.array * 3, "1"), (half.array * np.nan, "1"), (half.array, "1/mm")):
        with pytest.raises(InputError, match="of a shape"):
            ShapeEstimate(Volume(array, grid, unit))


def test_the_interval_holds_what_the_calibration_cases_held():
    generator = np.random.default_rng(5)
    true = np.exp(generator.normal(4, 0.3, 4000))
    found = true * np.exp(generator.normal(0.1, 0.2, 4000))
    low, high = interval_factors(true[:2000], found[:2000])
    covered = np.mean((true[2000:] >= low * found[2000:]) & (true[2000:] <= high * found[2000:]))
    assert covered == pytest.approx(0.9, abs=0.02) and np.log([low, high]) == pytest.approx([-0.43, 0.23], abs=0.03)
    assert interval_factors([1, 2, 3], [1, 1, 1]) == pytest.approx((1, 3))
    card = {"outputs": {"structures": [{"name": "liver", "volume_interval": {"one_view": [0.8, 1.5], "two_views": [0.9, 1.1]}}]}}
    mask = np.ones((2, 2), bool)
    assert volume_interval(card, "liver", 1, [mask], 1000.0) == pytest.approx((800, 1500))
    assert volume_interval(card, "liver", 3, [None] * 3, 1000.0) == pytest.approx((900, 1100))
    assert volume_interval(card, "spleen", 1, [None], 1000.0) is None


def test_lungs_that_no_model_knows_are_those_of_the_reconstruction(monkeypatch):
    """The reconstruction is put in: two lungs of a box each in a body, and what comes out has their sides and volumes."""
    grid = Grid.centred((0, 0, 0), 48, 8.0)
    z, y, x = np.meshgrid(*[8.0 * (np.arange(48) - 23.5)] * 3, indexing="ij")
    hu = np.where((x / 180) ** 2 + (y / 130) ** 2 < 1, 20.0, -1000.0)
    for centre, width in ((85, 45), (-85, 55)):
        hu[(np.abs(x - centre) < width) & (np.abs(y) < 70) & (np.abs(z) < 100)] = -750.0
    volume = Volume(hu.astype(np.float32), grid, "HU")
    monkeypatch.setattr(segmented, "reconstruct", lambda *args, **kwargs: SimpleNamespace(volume=volume))
    monkeypatch.setattr(segmented, "load_model", lambda *args: SimpleNamespace(file=SimpleNamespace(card={})))
    monkeypatch.setattr(segmented, "grid_for", lambda *args: grid)
    monkeypatch.setattr(registry, "models_for", lambda organ, folders=(): [])
    views = _views("AP", "LAT", size=200)
    found = {organ: organ_shape(views, organ, check_scope=False) for organ in ("lungs", "lung_left", "lung_right")}
    assert found["lung_left"].volume_ml == pytest.approx(90 * 140 * 200 / 1000, rel=0.12)
    assert found["lung_right"].volume_ml == pytest.approx(110 * 140 * 200 / 1000, rel=0.12)
    assert found["lungs"].volume_ml == pytest.approx(found["lung_left"].volume_ml + found["lung_right"].volume_ml, rel=0.02)
    assert found["lungs"].model == "segmentation/1" and found["lungs"].interval_ml is None
    with pytest.raises(InputError, match="no model that finds the organ liver in 2 X-rays"):
        organ_shape(views, "liver", check_scope=False)
