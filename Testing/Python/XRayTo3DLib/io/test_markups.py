"""Outlines as closed curves of 3D Slicer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.markups import outline_points, read_curves, write_closed_curves


def test_a_circle_on_a_radiograph_is_a_circle_on_its_detector(tmp_path):
    projection = view_projection("LAT", (10, 20, 30), (80, 60), 0.5, 1000.0)
    angles = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([40 + 12 * np.sin(angles), 30 + 12 * np.cos(angles)], axis=1)
    points = outline_points(circle, Radiograph(np.ones((80, 60), np.float32), projection))
    assert len(points) == round(2 * np.pi * 12 / 2)
    middle = projection.pixel_positions(np.array([[40.0, 30.0]]))[0]
    assert np.linalg.norm(points - middle, axis=1) == pytest.approx(np.full(len(points), 6.0), abs=0.02)
    assert np.abs((points - middle) @ projection.normal).max() < 1e-9
    write_closed_curves({"liver AP": points}, tmp_path / "outline.mrk.json", (0.2, 0.4, 0.6), "model x")
    stored = json.loads((tmp_path / "outline.mrk.json").read_text())
    (curve,) = stored["markups"]
    assert (curve["type"], curve["coordinateSystem"], curve["coordinateUnits"]) == ("ClosedCurve", "LPS", "mm")
    assert curve["display"]["color"] == [0.2, 0.4, 0.6] and curve["controlPoints"][0]["description"] == "model x"
    assert np.array_equal(read_curves(tmp_path / "outline.mrk.json")["liver AP"], points)
    curve["coordinateSystem"] = "RAS"
    (tmp_path / "ras.mrk.json").write_text(json.dumps(stored))
    assert np.array_equal(read_curves(tmp_path / "ras.mrk.json")["liver AP"], points * [-1, -1, 1])


def test_slicer_reads_the_curve(tmp_path):
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    points = np.array([[0.0, 0, 0], [40, 0, 0], [40, 30, 0], [0, 30, 0]])
    write_closed_curves({"square": points}, tmp_path / "square.mrk.json")
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerMarkupsLogic()
    logic.SetMRMLScene(scene)
    storage = scene.AddNewNodeByClass("vtkMRMLMarkupsJsonStorageNode")
    storage.SetFileName(str(tmp_path / "square.mrk.json"))
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode")
    assert storage.ReadData(node) and node.GetNumberOfControlPoints() == 4
    assert tuple(node.GetNthControlPointPosition(2)) == (-40, -30, 0)


@each(
    ("points", "words"),
    [(np.zeros((2, 3)), "three or more"), (np.zeros((4, 2)), "three or more"), (np.full((3, 3), np.nan), "finite")],
)
def test_what_is_no_curve_is_not_written(tmp_path, points, words):
    with pytest.raises(InputError, match=words):
        write_closed_curves({"x": points}, tmp_path / "x.mrk.json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "bad.mrk.json").write_text('{"markups": [{"controlPoints": [{}]}]}')
    with pytest.raises(InputError, match="not a Markups file"):
        read_curves(tmp_path / "bad.mrk.json")
    (tmp_path / "bad.mrk.json").unlink()
