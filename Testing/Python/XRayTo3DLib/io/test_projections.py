"""Geometries from and to files: our JSON, matrices, Autoscoper's cameras and RTK's XML, against the equations of their sources."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.io.projections import read_calibrations, read_projection, write_projection, write_projections
from XRayTo3DLib.io.radiographs import read_radiograph

AP = view_projection("AP", (10, -20, 30), (40, 50), (0.5, 0.5), 1100, 700)
ARM = view_projection("LAO30CRAN20", (10, -20, 30), (40, 50), (0.5, 0.75), 1100, 700)
FLAT = view_projection("LAT", (10, -20, 30), (40, 50), (0.5, 0.75), None)
POINTS = np.random.default_rng(0).normal(0, 40, (30, 3)) + np.array([10, -20, 30])


def same(found: Projection, expected: Projection) -> None:
    assert found.project(POINTS) == pytest.approx(expected.project(POINTS), abs=1e-6)
    assert found.size == expected.size


def test_json_keeps_every_digit_of_every_beam(tmp_path):
    scanned = Projection(
        AP.origin, AP.row_direction, AP.column_direction, AP.spacing, AP.size, source=AP.source, scan_axis="column"
    )
    every = {"AP": AP, "arm": ARM, "flat": FLAT, "topogram": scanned}
    assert write_projections(every, tmp_path / "all.json") == ()
    assert {one.name: one.placed()[0] for one in read_calibrations(tmp_path / "all.json")} == every
    assert read_projection(tmp_path / "all.json", name="ARM") == ARM
    with pytest.raises(InputError, match="holds 4 geometries"):
        read_projection(tmp_path / "all.json")
    (tmp_path / "one.json").write_text(json.dumps(AP.to_dict()))
    assert read_projection(tmp_path / "one.json") == AP
    for damage in ('{"format": "XRayTo3D projections", "version": 2, "projections": []}', '{"projections": 3}', "{", "[1, 2]", ""):
        (tmp_path / "bad.json").write_text(damage)
        with pytest.raises(InputError, match=r"bad\.json"):
            read_calibrations(tmp_path / "bad.json")


def test_a_matrix_says_how_near_its_detector_is(tmp_path):
    for skew, said in ((0, False), (2e-4, True), (3e-3, True), (1e-2, True)):
        matrix = np.array([[1, skew, 0], [0, 1, 0], [0, 0, 1]]) @ AP.matrix
        np.savetxt(tmp_path / "m.txt", matrix)
        found, notes = read_calibrations(tmp_path / "m.txt")[0].placed(AP.size, (0.5, 0.5), (10, -20, 30))
        assert found.project(POINTS) == pytest.approx(AP.project(POINTS), abs=200 * skew + 1e-6)
        assert [f"off by up to {found.misfit(matrix):.2g} pixels" in note for note in notes] == [True] * said
    with pytest.raises(InputError, match="how large"):
        read_projection(tmp_path / "m.txt")


def test_cameras_of_autoscoper_by_its_own_equations(tmp_path):
    """Version 2: K (R x + t). Version 1: axes of the camera turned z, y, x; the point where a ray meets the film plane."""
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    text = "image size\n50,40\n\ncamera matrix\n900,0,20\n0,1000,25\n0,0,1\n\nrotation\n{}\n\ntranslation\n1\n2\n700\n"
    (tmp_path / "cam.txt").write_text(text.format("\n".join(",".join(map(str, row)) for row in turn)))
    seen = (np.array([[900, 0, 20], [0, 1000, 25], [0, 0, 1.0]]) @ (turn @ POINTS.T + [[1], [2], [700]])).T
    found = read_projection(tmp_path / "cam.txt", spacing=(0.9, 1.0))
    assert found.project(POINTS) == pytest.approx(seen[:, :2] / seen[:, 2:]) and found.size == (40, 50)
    place, (rx, ry, rz) = np.array([-300.0, 500, 100]), np.radians([80.0, -20, -55])
    about_x = np.array([[1, 0, 0], [0, np.cos(rx), -np.sin(rx)], [0, np.sin(rx), np.cos(rx)]])
    about_y = np.array([[np.cos(ry), 0, np.sin(ry)], [0, 1, 0], [-np.sin(ry), 0, np.cos(ry)]])
    about_z = np.array([[np.cos(rz), -np.sin(rz), 0], [np.sin(rz), np.cos(rz), 0], [0, 0, 1]])
    (tmp_path / "cam.csv").write_text("-300,500,100\n80,-20,-55\n1,2,-600\n26,19,-1200\n0.5,50,40\n")
    own = (POINTS - place) @ (about_z @ about_y @ about_x)
    film = -1200 * own[:, :2] / own[:, 2:]  # pixels to the right and up
    expected = np.column_stack([25 + film[:, 0], 39 - (18 + film[:, 1])])
    ahead = own[:, 2] < 0
    found = read_projection(tmp_path / "cam.csv")
    assert ahead.any() and found.project(POINTS[ahead]) == pytest.approx(expected[ahead])
    for ending in (".txt", ".csv"):
        assert write_projection(AP, tmp_path / f"ap{ending}") == ()
        same(read_projection(tmp_path / f"ap{ending}", spacing=(0.5, 0.5)), AP)
    notes = write_projection(ARM, tmp_path / "arm.txt")  # seen from the detector
    flipped = read_projection(tmp_path / "arm.txt", spacing=ARM.spacing)
    assert "left to right" in notes[0]
    assert flipped.project(POINTS) == pytest.approx(np.array([49, 0]) + [-1, 1] * ARM.project(POINTS), abs=1e-6)
    for projection, name, words in ((FLAT, "f.txt", "cone beams only"), (ARM, "arm.csv", "square pixels")):
        with pytest.raises(InputError, match=words):
            write_projection(projection, tmp_path / name)
        assert not (tmp_path / name).exists()
    (tmp_path / "cut.txt").write_text(text.format("1,0,0\n0,1"))
    with pytest.raises(InputError, match="MayaCam 2"):
        read_calibrations(tmp_path / "cut.txt")


def test_geometries_of_rtk(tmp_path):
    """A file as RTK 2.7 wrote it (an angle each, offsets of source and detector), its matrix from (x, y, z) to (u, v) in mm."""
    matrix = np.array(
        [
            [-280.402629848091, -1318.29184294927, 808.281234360658, -26675.1589765013],
            [909.786812262871, -803.286048862958, -996.809755575705, 31832.3183031183],
            [0.77678328755458, 0.159895420769988, 0.609131495321566, -704.728649880103],
        ]
    )
    values = {
        "GantryAngle": 51.8974605790681, "SourceToIsocenterDistance": 704.728649880103,
        "SourceToDetectorDistance": 1570.27821779556, "SourceOffsetX": 11.6223620839271, "SourceOffsetY": 7.29144792372152,
        "ProjectionOffsetX": -52.1262892641744, "ProjectionOffsetY": 36.2142346669247, "InPlaneAngle": 58.9864668876795,
        "OutOfPlaneAngle": 350.799173876709,
    }  # fmt: skip
    parts = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    told = f"<Matrix>{' '.join(str(value) for value in matrix.ravel())}</Matrix>"
    head, tail = (
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3">',
        "</RTKThreeDCircularGeometry>",
    )
    # The second projection keeps what is not said again.
    second = "<Projection><GantryAngle>90</GantryAngle></Projection>"
    path = tmp_path / "g.xml"
    path.write_text(f"{head}<Projection>{parts}{told}</Projection>{second}{tail}")
    one, two = read_calibrations(path)
    assert (one.name, two.name) == ("g_1", "g_2")
    found = one.placed((40, 50), (2.0, 1.5))[0]
    seen = np.column_stack([POINTS, np.ones(30)]) @ matrix.T
    assert found.project(POINTS) * [1.5, 2.0] - [49 * 0.75, 39.0] == pytest.approx(seen[:, :2] / seen[:, 2:], abs=1e-6)
    assert np.linalg.norm(two.placed((40, 50), (2.0, 1.5))[0].source) == pytest.approx(np.linalg.norm(found.source))
    with pytest.raises(InputError, match="size"):
        one.placed()
    notes = write_projections({"AP": AP, "arm": ARM}, tmp_path / "ours.xml")
    assert "of AP over, top to bottom" in notes[0]
    for calibration, expected in zip(read_calibrations(tmp_path / "ours.xml"), (AP, ARM), strict=True):
        back = calibration.placed(expected.size, expected.spacing)[0]
        turned = np.array([[1, -1]]) * back.project(POINTS) + [0, 39] if expected is AP else back.project(POINTS)
        assert turned == pytest.approx(expected.project(POINTS), abs=1e-6) and back.source == pytest.approx(expected.source)
    write_projections({"flat": FLAT}, tmp_path / "flat.xml")
    back = read_projection(tmp_path / "flat.xml", FLAT.size, FLAT.spacing)
    assert back.ray_direction == pytest.approx(FLAT.ray_direction)
    for content, words in (
        (f"{head}<Projection>{parts}{told.replace('-280', '-270')}</Projection>{tail}", "contradicts"),
        (f"{head}<RadiusCylindricalDetector>900</RadiusCylindricalDetector>{second}{tail}", "curved"),
        (f"{head}<Projection><GantryAngle>x</GantryAngle></Projection>{tail}", "no number"),
        (head.replace("3", "1") + second + tail, "version"),
        (head + tail, "no projection"),
        (head, "no valid XML"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=words):
            read_calibrations(path)
    with pytest.raises(InputError, match="not both"):
        write_projections({"a": AP, "b": FLAT}, tmp_path / "mixed.xml")
    with pytest.raises(InputError, match=r"\.json"):
        write_projection(AP, tmp_path / "a.yaml")


def test_an_x_ray_stands_in_a_geometry_from_a_file(tmp_path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "a.png"))
    for view in ("AP", "LAO30"):
        pose = view_projection(view, (1, 2, 3), pixels.shape, (0.5, 0.75), 1100, 700)
        write_projection(pose, tmp_path / "g.json", view)
        np.savetxt(tmp_path / "m.txt", pose.matrix, fmt="%.17g")
        for geometry in (pose, tmp_path / "g.json", tmp_path / "m.txt"):
            found = read_radiograph(tmp_path / "a.png", view, (0.5, 0.75), geometry=geometry)
            assert found.name == view and found.projection.matrix == pytest.approx(pose.matrix, abs=1e-6)
            assert found.projection.is_mirrored == (view == "LAO30")
    with pytest.raises(InputError, match="degrees elsewhere"):
        read_radiograph(tmp_path / "a.png", "LAT", geometry=tmp_path / "g.json")
    with pytest.raises(InputError, match="drop the distances"):
        read_radiograph(tmp_path / "a.png", source_to_detector=1000, geometry=pose)
    with pytest.raises(InputError, match="6 x 8 pixels but its geometry 40 x 50"):
        read_radiograph(tmp_path / "a.png", geometry=AP)
