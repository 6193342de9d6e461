"""``xrayto3d drr``: kinds of files, looks, structures with their masks and outlines, and what is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from XRayTo3DLib.anatomy.catalogue import COLOURS
from XRayTo3DLib.cli.drr_files import destination, file_names
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.report.outlines import draw_outlines
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.structures import project_structures

SETTING = ["--size", "40x48", "--pixel", "11"]


def read_png(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.fixture(scope="module")
def labels(small_ct) -> Labelmap:
    """Two boxes in the small CT, one beside the other."""
    array = np.zeros(small_ct.grid.shape, np.uint8)
    array[10:20, 8:16, 8:16] = 1
    array[10:20, 8:16, 22:30] = 3
    return Labelmap(array, small_ct.grid, {1: "label 1", 3: "label 3"})


@pytest.fixture(scope="module")
def labels_file(labels, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.nii.gz"
    sitk.WriteImage(to_sitk(labels.array, labels.grid), str(path))
    return path


# Kinds of files


@pytest.mark.parametrize("ending", ["nrrd", "mha", "nii.gz", "nii", "dcm"])
def test_every_kind_brings_its_geometry_back(run, ct_file, small_ct, tmp_path, ending):
    views = ["--view", "LAO30CRAN15", "--view", "AP"]
    found = run("drr", ct_file, *views, *SETTING, "--look", "none", "--format", ending, "--out", tmp_path / "o")
    assert found.code == 0, found.error
    assert found.out.splitlines() == [str(tmp_path / "o" / f"{view}.{ending}") for view in ("LAO30CRAN15", "AP")]
    read = read_radiograph(tmp_path / "o" / f"LAO30CRAN15.{ending}")
    expected = view_projection("LAO30CRAN15", small_ct.grid.centre, (40, 48), 11.0)
    corners = small_ct.grid.corners
    np.testing.assert_allclose(read.projection.project(corners), expected.project(corners), atol=1e-3)
    values = render_drr(small_ct, [expected])[0].line_integrals
    np.testing.assert_allclose(read.line_integrals, values, atol=1e-4 * values.max())
    assert read.name == "LAO30CRAN15" and read.calibrated


@pytest.mark.parametrize(
    ("asked", "name"), [("c-arm.nii.gz", "c-arm.nii.gz"), ("c-arm.dcm", "c-arm.dcm"), ("C-ARM.1.MHA", "C-ARM.1.mha")]
)
def test_a_single_file_of_any_kind(run, ct_file, tmp_path, asked, name):
    found = run("drr", ct_file, "--view", "LAT", *SETTING, "--out", tmp_path / asked)
    assert found.code == 0, found.error
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, name.removesuffix(".gz").rsplit(".", 1)[0] + ".png"])
    assert read_radiograph(tmp_path / name).projection.size == (40, 48)


def test_only_a_picture(run, ct_file, tmp_path):
    assert run("drr", ct_file, "--view", "AP", *SETTING, "--out", tmp_path / "front.png").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["front.png"]
    assert read_png(tmp_path / "front.png").dtype == np.uint16
    assert run("drr", ct_file, "--view", "AP", *SETTING, "--format", "png", "--out", tmp_path / "o").code == 0
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["AP.png"]
    np.testing.assert_array_equal(read_png(tmp_path / "o" / "AP.png"), read_png(tmp_path / "front.png"))


def test_dicom_files_of_one_call_are_one_series(run, ct_file, small_ct, tmp_path):
    views = ["--view", "AP", "--view", "LAT"]
    setting = ["--sdd", "1000", "--sid", "700", "--format", "dcm", "--look", "none"]
    assert run("drr", ct_file, *views, *SETTING, *setting, "--out", tmp_path).code == 0
    front, side = (pydicom.dcmread(tmp_path / f"{view}.dcm") for view in ("AP", "LAT"))
    for level in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert front[level].value == side[level].value
    assert front.SOPInstanceUID != side.SOPInstanceUID and (front.InstanceNumber, side.InstanceNumber) == (1, 2)
    assert float(front.RadiationMachineSSD if "RadiationMachineSSD" in front else front.RTImageSID) == pytest.approx(1000)
    assert float(front.RadiationMachineSAD) == pytest.approx(700)
    np.testing.assert_allclose([float(v) for v in front.IsocenterPosition], small_ct.grid.centre, atol=1e-3)


# The picture for the eye


def test_the_clinical_look_has_its_percentiles(run, ct_file, tmp_path):
    arguments = ["drr", ct_file, "--view", "AP", *SETTING, "--look", "clinical"]
    assert run(*arguments, "--percentiles", "20", "60", "--out", tmp_path / "narrow").code == 0
    assert run(*arguments, "--out", tmp_path / "wide").code == 0
    narrow, wide = (read_png(tmp_path / name / "AP.png") for name in ("narrow", "wide"))
    values = read_radiograph(tmp_path / "wide" / "AP.nrrd").line_integrals
    crossed = values > 0.1 * np.percentile(values[values > 0], 99)
    assert (narrow[crossed] == 65535).mean() == pytest.approx(0.4, abs=0.02)
    assert (narrow[crossed] == 0).mean() == pytest.approx(0.2, abs=0.02)
    assert (wide[crossed] == 65535).mean() == pytest.approx(0.01, abs=0.01)


# Structures


def test_structures_are_files_of_their_own(run, ct_file, labels, labels_file, small_ct, tmp_path):
    views = ["--view", "AP", "--view", "LAO20"]
    found = run("drr", ct_file, *views, *SETTING, "--labels", labels_file, "--out", tmp_path / "o")
    assert found.code == 0, found.error
    names = [f"{view}{rest}" for view in ("AP", "LAO20") for rest in (".nrrd", ".png", "_outlines.png")]
    names += [f"{view}_label_{n}{rest}" for view in ("AP", "LAO20") for n in (1, 3) for rest in (".nrrd", "_mask.png")]
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == sorted(names)
    projection = view_projection("LAO20", small_ct.grid.centre, (40, 48), 11.0)
    expected = project_structures(labels, [projection], volume=small_ct)[0]
    whole = read_radiograph(tmp_path / "o" / "LAO20.nrrd").line_integrals
    for label in (1, 3):
        alone = read_radiograph(tmp_path / "o" / f"LAO20_label_{label}.nrrd")
        np.testing.assert_allclose(alone.line_integrals, expected.channel(label), atol=1e-5)
        assert alone.line_integrals.max() > 0.3 and (alone.line_integrals <= whole + 1e-3).all()
    assert "note: Colours of the outlines: label 1 orange, label 3 light blue." in found.out.splitlines()


def test_a_structure_of_water_is_as_thick_as_it_is(run, tmp_path):
    """In a block of water the channel is the thickness times the attenuation of water, and the mask its shadow."""
    array = np.full((30, 24, 30), -1000, np.int16)
    array[4:26, 4:20, 4:26] = 0
    mask = np.zeros(array.shape, np.uint8)
    mask[8:18, 6:14, 10:20] = 1  # 50 mm high, 40 mm deep, 50 mm wide
    for name, values in (("ct", array), ("labels", mask)):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((5, 5, 5))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    arguments = ["--parallel", "--size", "30", "--pixel", "5", "--labels", tmp_path / "labels.nrrd", "--out", tmp_path / "o"]
    assert run("drr", tmp_path / "ct.nrrd", "--view", "AP", *arguments).code == 0
    alone = read_radiograph(tmp_path / "o" / "AP_label_1.nrrd").line_integrals
    shown = read_png(tmp_path / "o" / "AP_label_1_mask.png")
    assert set(np.unique(shown)) == {0, 255} and np.count_nonzero(shown) == 100
    np.testing.assert_allclose(alone[shown == 255], 40 * MU_WATER, rtol=1e-4)
    assert alone[shown == 0].max() < 1e-6


def test_structures_move_with_the_transform(run, ct_file, labels_file, tmp_path):
    move = np.eye(4)
    move[0, 3] = 22.0  # two pixels to the left
    np.savetxt(tmp_path / "move.txt", move)
    arguments = ["drr", ct_file, "--view", "AP", "--parallel", *SETTING, "--isocentre", "0", "0", "0", "--labels", labels_file]
    assert run(*arguments, "--out", tmp_path / "still").code == 0
    assert run(*arguments, "--transform", tmp_path / "move.txt", "--out", tmp_path / "moved").code == 0
    for name in ("AP.nrrd", "AP_label_1.nrrd"):
        still, moved = (read_radiograph(tmp_path / folder / name) for folder in ("still", "moved"))
        step = int(np.rint(np.diff(still.projection.project(np.array([[0.0, 0, 0], [22, 0, 0]]))[:, 0])[0]))
        expected = np.roll(still.line_integrals, step, axis=1)
        np.testing.assert_allclose(moved.line_integrals[:, 3:-3], expected[:, 3:-3], atol=0.02)


def test_structures_of_a_single_file_and_of_pictures(run, ct_file, labels_file, tmp_path):
    arguments = ["drr", ct_file, "--view", "AP", *SETTING, "--labels", labels_file]
    assert run(*arguments, "--look", "none", "--out", tmp_path / "a" / "front.dcm").code == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "front.dcm",
        "front_label_1.dcm",
        "front_label_1_mask.png",
        "front_label_3.dcm",
        "front_label_3_mask.png",
    ]
    assert run(*arguments, "--format", "png", "--out", tmp_path / "b").code == 0
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "AP.png",
        "AP_label_1_mask.png",
        "AP_label_3_mask.png",
        "AP_outlines.png",
    ]


def test_outlines_are_drawn_where_the_masks_end(run, ct_file, labels_file, tmp_path):
    assert run("drr", ct_file, "--view", "AP", *SETTING, "--labels", labels_file, "--out", tmp_path).code == 0
    drawn = read_png(tmp_path / "AP_outlines.png").astype(float) / 255
    assert drawn.shape[2] == 3 and max(drawn.shape) >= 900
    factor = drawn.shape[0] // 40
    colours = list(COLOURS.values())
    for label, colour in ((1, colours[0]), (3, colours[1])):
        mask = read_png(tmp_path / f"AP_label_{label}_mask.png") > 0
        rows, columns = np.nonzero(np.abs(drawn - colour).max(axis=2) < 0.02)
        assert len(rows) > 100
        # Each point of the outline lies at most a pixel from the border between mask and no mask.
        border = np.zeros(mask.shape, bool)
        for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            border |= mask != np.roll(mask, step, axis=(0, 1))
        assert border[rows // factor, columns // factor].all()
    picture = read_png(tmp_path / "AP.png") / 65535
    grey = drawn[factor // 2 :: factor, factor // 2 :: factor]
    untouched = np.ptp(grey, axis=2) == 0
    assert untouched.mean() > 0.8 and np.abs(grey[..., 0] - picture)[untouched].mean() < 0.05


def test_outlines_of_pictures_of_any_size():
    square = np.array([[2.0, 2], [2, 6], [6, 6], [6, 2], [2, 2]])
    small = draw_outlines(np.zeros((10, 12)), [[square]])
    assert small.shape[1] == 900 and small.shape[0] == 750
    large = draw_outlines(np.zeros((2100, 8)), [[], [square, square + [1000, 0]]])  # noqa: RUF005
    assert large.shape == (2100, 8, 3)
    np.testing.assert_allclose(large[1004, 2], list(COLOURS.values())[1])
    assert not large[20:900].any()


@pytest.mark.parametrize(("ending", "look"), [("nrrd", "film"), ("dcm", "none"), ("png", "MONOCHROME1")])
def test_the_names_of_all_files_are_known_beforehand(run, ct_file, labels_file, labels, tmp_path, ending, look):
    """Inputs are kept by these names, and files of an earlier run are replaced."""
    command = ["drr", ct_file, "--view", "AP", *SETTING, "--labels", labels_file, "--format", ending, "--look", look]
    where = destination(tmp_path / "o", ending, 1)
    names = file_names(["AP"], list(labels.names.values()), where, look.lower())
    for _ in range(2):
        found = run(*command, "--out", tmp_path / "o")
        assert found.code == 0, found.error
        assert sorted(path.name for path in (tmp_path / "o").iterdir()) == sorted(names)


@pytest.mark.parametrize(("one", "other"), [("film", "MONOCHROME2"), ("inverted", "monochrome1")])
def test_looks_by_the_words_of_dicom(run, ct_file, tmp_path, one, other):
    for look in (one, other):
        assert run("drr", ct_file, "--view", "AP", *SETTING, "--look", look, "--out", tmp_path / f"{look}.png").code == 0
    np.testing.assert_array_equal(read_png(tmp_path / f"{one}.png"), read_png(tmp_path / f"{other}.png"))
