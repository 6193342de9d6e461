"""Intervals in the cards of shape models, from an evaluation on patients that were held back."""

from __future__ import annotations

import json

import pytest
from backprojector import CARD
from organ_model import organ_model

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.zoo import describe_model
from XRayTo3DLib.training import shape_intervals
from XRayTo3DLib.training.export import metric_rows


def test_a_card_gets_the_factors_of_the_cases_that_were_held_back(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    path = organ_model(tmp_path, CARD)
    (tmp_path / "SHA256SUMS").write_text("")
    name = {"organ": "parotid_left", "setting": "one_view", "model": "drawn-organs"}
    rows = [{**name, "volume_ml": 10.0, "volume_ml_truth": 10.0 + n} for n in range(-9, 10)]
    rows += [{**row, "method": "ours"} for row in rows]  # the same again under its other name
    rows += [{**rows[0], "model": "another", "volume_ml_truth": 1000.0}, {**rows[0], "setting": "two_views"}]
    (tmp_path / "shapes.json").write_text(json.dumps({"cases": rows}))
    shape_intervals.main([str(path), str(tmp_path / "shapes.json")])
    model = describe_model(path)
    left, right = model.card["outputs"]["structures"]
    assert left["volume_interval"] == {"one_view": [0.1, 1.9]}, "19 cases: the extremes cover 90 %"
    assert right["volume_interval"]["two_views"] == [0.8, 1.2], "what was not measured stays"
    assert (tmp_path / "SHA256SUMS").read_text() == f"{model.sha256}  {path.name}\n"
    (tmp_path / "shapes.json").write_text(json.dumps({"cases": rows[:18]}))
    with pytest.raises(InputError, match="at least 19 cases"):
        shape_intervals.main([str(path), str(tmp_path / "shapes.json")])


def test_the_rows_of_a_card_name_setting_and_organ():
    figures = {"dice": 0.71234, "cases": 3, "seconds": 1.5}
    row = {"data": "heads", "split": "validation", "method": "ours", "cases": 3, "values": {"dice": 0.712}}
    shapes = {"summary": {"one_view": {"mandible": {"ours": figures}, "larynx": {"ours": figures}}}}
    expected = [{**row, "setting": f"one_view, {organ}"} for organ in ("mandible", "larynx")]
    assert metric_rows(shapes, "heads", "validation") == expected
    volumes = {"summary": {"one_view": {"ours": figures}}}
    assert metric_rows(volumes, "heads", "validation") == [{**row, "setting": "one_view"}]
