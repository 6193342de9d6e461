"""The section of organs: figures against the labels of a CT, outlines, surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from ball_system import CENTRE, BallSystem

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.report.organs import compared_organ, organ_sections
from XRayTo3DLib.shapes.answer import organ_shape


def test_an_organ_stands_beside_its_truth_outlined_on_the_x_rays():
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    projections = [ViewSpec.parse(w, size=(100, 100), spacing=2.0, isocentre=(0, 0, 0)).projection() for w in ("AP", "LAT")]
    views = [Radiograph(np.eye(100, dtype=np.float32), p, w) for p, w in zip(projections, ("AP", "LAT"), strict=True)]
    shape = organ_shape(views, "liver", model=BallSystem(interval=(100.0, 130.0)), check_scope=False)
    # The truth is the same ball, 6 mm further left, on voxels and axes of its own.
    grid = Grid((60, 60, 60), (3.0, 3.0, 2.5), (90.0, 90.0, -70.0), np.diag([-1.0, -1.0, 1.0]))
    index = np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing="ij")[::-1], -1)
    places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    truth = Labelmap((np.linalg.norm(places - CENTRE - np.array([6, 0, 0]), axis=-1) < 30).astype(np.uint8), grid, {1: "liver"})
    found = compared_organ(shape, truth, views)
    assert found.figures["dice"] == pytest.approx(1 - 1.5 * 3 / 30, abs=0.03)  # of two balls a fifth of a radius apart
    assert found.figures["hausdorff_mm"] == pytest.approx(6, abs=2) and found.values["covered"] is True
    assert found.values["volume_ml_truth"] == pytest.approx(4 / 3 * np.pi * 27, rel=0.03)
    shift = found.outlines[0][0].mean(axis=0) - shape.outlines[0][0].mean(axis=0)
    assert abs(shift[1]) == pytest.approx(6 * 1500 / 1200 / 2.0, abs=0.6) and abs(shift[0]) < 0.4
    alone = compared_organ(shape, Labelmap(truth.array, grid, {1: "spleen"}), views)
    assert alone.figures is None and alone.values["dice"] is None
    first, second = organ_sections([found], views, ["no spleen"])
    assert first.picture.startswith(b"\x89PNG") and second.picture.startswith(b"\x89PNG") and "no spleen" in first.text
    (row,) = first.tables[0].rows
    assert row[0] == "liver" and row[2] == "100 to 130" and row[4] == f"{found.figures['dice']:.3f}" and row[-1] == "ball"
    assert organ_sections([alone], views)[0].tables[0].heads[3] == "by" and organ_sections([], views) == []
