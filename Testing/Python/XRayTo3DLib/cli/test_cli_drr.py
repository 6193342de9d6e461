"""``xrayto3d drr``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.io.projections import write_projection, write_projections
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.simulation.drr import render_drr


def test_writes_images_with_their_geometry_and_pictures(run, ct_file, small_ct, tmp_path):
    views = ["--view", "AP", "--view", "LAO30CRAN15"]
    found = run("drr", ct_file, *views, "--size", "40x48", "--pixel", "11", "--out", tmp_path / "o")
    assert found.code == 0
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["AP.nrrd", "AP.png", "LAO30CRAN15.nrrd", "LAO30CRAN15.png"]
    assert found.out.splitlines()[0] == str(tmp_path / "o" / "AP.nrrd")
    read = read_radiograph(tmp_path / "o" / "LAO30CRAN15.nrrd")
    expected = view_projection("LAO30CRAN15", small_ct.grid.centre, (40, 48), 11.0)
    np.testing.assert_allclose(read.projection.matrix, expected.matrix, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(read.line_integrals, render_drr(small_ct, [expected])[0].line_integrals, rtol=1e-5, atol=1e-5)
    picture = sitk.ReadImage(str(tmp_path / "o" / "AP.png"))
    assert picture.GetPixelID() == sitk.sitkUInt16
    assert sitk.GetArrayFromImage(picture).max() > 60000


def test_detector_holds_the_whole_shadow_by_default(run, ct_file, tmp_path):
    assert run("drr", ct_file, "--view", "LAT", "--pixel", "6", "--out", tmp_path / "lat.nrrd").code == 0
    values = read_radiograph(tmp_path / "lat.nrrd").line_integrals
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    assert edge.max() < 0.02 * values.max()


def test_one_view_may_be_a_file(run, ct_file, tmp_path):
    arguments = ["drr", ct_file, "--view", "AP", "--parallel", "--size", "32", "--pixel", "12", "--look", "none"]
    assert run(*arguments, "--out", tmp_path / "ap.mha").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["ap.mha"]
    assert not read_radiograph(tmp_path / "ap.mha").projection.is_cone


def test_topograms_are_scanned_and_said_to_be(run, ct_file, small_ct, tmp_path):
    arguments = ["drr", ct_file, "--view", "LAT", "--beam", "scanned", "--size", "32x40", "--pixel", "12", "--look", "none"]
    expected = view_projection("LAT", small_ct.grid.centre, (32, 40), 12.0, 1085.0, 595.0, scan_axis="column")
    for name in ("lat.nrrd", "lat.dcm", "lat.nii.gz"):
        found = run(*arguments, "--out", tmp_path / name)
        assert found.code == 0, found.error
        read = read_radiograph(tmp_path / name)
        points = small_ct.grid.corners
        assert read.projection.beam == "scanned"
        np.testing.assert_allclose(read.projection.project(points), expected.project(points), atol=1e-3)
        np.testing.assert_allclose(read.line_integrals, render_drr(small_ct, [expected])[0].line_integrals, atol=1e-3)
    assert run(*arguments, "--sid", "600", "--sdd", "1100", "--out", tmp_path / "own.nrrd").code == 0
    assert read_radiograph(tmp_path / "own.nrrd").projection.source_to_detector == pytest.approx(1100)


@pytest.mark.parametrize("form", ["text", "json"])
def test_matrix_gives_the_same_picture_as_its_view(run, ct_file, small_ct, tmp_path, form):
    projection = view_projection("AP+25", small_ct.grid.centre, (36, 40), 12.0, 1400.0)
    file = tmp_path / ("arm.json" if form == "json" else "arm.txt")
    if form == "json":
        file.write_text(json.dumps({"matrix": projection.matrix.tolist()}))
    else:
        np.savetxt(file, projection.matrix)
    found = run("drr", ct_file, "--matrix", file, "--size", "36x40", "--pixel", "12", "--out", tmp_path / "o")
    assert found.code == 0, found.error
    by_view = render_drr(small_ct, [projection])[0].line_integrals
    np.testing.assert_allclose(read_radiograph(tmp_path / "o" / "arm.nrrd").line_integrals, by_view, rtol=1e-3, atol=1e-3)


def test_looks_differ(run, ct_file, tmp_path):
    pictures = []
    arguments = ["drr", ct_file, "--view", "AP", "--size", "32", "--pixel", "14"]
    for look in ("film", "inverted"):
        assert run(*arguments, "--look", look, "--out", tmp_path / look).code == 0
        pictures.append(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / look / "AP.png"))).astype(int))
    assert np.abs(pictures[0] + pictures[1] - 65535).max() <= 1


def test_geometries_of_files_need_no_more_than_they_lack(run, ct_file, small_ct, tmp_path):
    """Several projections of one file under their names; a matrix with pixels askew is drawn, and the note says how near."""
    poses = {view: view_projection(view, small_ct.grid.centre, (36, 40), 12.0, 1400.0) for view in ("AP", "LAO30")}
    write_projections(poses, tmp_path / "both.json")
    write_projection(poses["AP"], tmp_path / "camera.txt")
    bent = np.array([[1, 3e-3, 0], [0, 1, 0], [0, 0, 1]]) @ poses["AP"].matrix
    np.savetxt(tmp_path / "bent.txt", bent)
    for name, options, files in (
        ("both.json", [], ["AP.nrrd", "LAO30.nrrd"]),
        ("camera.txt", ["--pixel", "12"], ["camera.nrrd"]),
        ("bent.txt", ["--pixel", "12", "--size", "36x40"], ["bent.nrrd"]),
    ):
        found = run("drr", ct_file, "--geometry", tmp_path / name, *options, "--look", "none", "--out", tmp_path / name[:4])
        assert found.code == 0, found.error
        assert sorted(path.name for path in (tmp_path / name[:4]).iterdir()) == files
        for file in files:
            pose = poses.get(file[:-5], poses["AP"])
            read = read_radiograph(tmp_path / name[:4] / file)
            np.testing.assert_allclose(
                read.projection.project(small_ct.grid.corners), pose.project(small_ct.grid.corners), atol=0.3
            )
        assert ("note: The matrix has pixels that are no rectangles" in found.out) == (name == "bent.txt")
        assert ("taken as mm" in found.out) == (name == "camera.txt")
