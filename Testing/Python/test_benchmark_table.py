"""The benchmark's table: a target counts as reached only when it is, a peer that wins is shown as winning."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))

from jobs import Scene, all_jobs
from table import Report, Timing

from XRayTo3DLib.geometry.grid import Grid


@pytest.fixture
def report() -> Report:
    grid = Grid.centred((0, 0, 0), 4, 50.0)
    scene = Scene("small", np.ones(grid.shape, np.float32), grid)
    engine = SimpleNamespace(model="trilinear", slow=False, versions={"numpy": np.__version__})
    classes = {"XRayTo3D": engine, "RTK Joseph": engine}
    return Report("a cube", grid, all_jobs(scene, scene), classes, {"nanodrr": "absent"}, 3, 2, quick=False)


def fill(report: Report, ours: float, theirs: float, error: float = 1e-4) -> str:
    """Three rounds of one job after a slow first one; what the table says of ours."""
    for number, factor in enumerate((50.0, 1.0, 0.9, 3.0)):
        report.timings += [
            Timing("cone256", "XRayTo3D", number, ours * factor, error, error),
            Timing("cone256", "RTK Joseph", number, theirs * factor, 1e-4, 1e-2),
        ]
    return report.verdict(report.jobs[0], "XRayTo3D")


def test_the_median_of_the_counted_rounds_decides(report):
    assert fill(report, 0.1, 0.45) == "must 3x: yes; aim 6x: no; error ≤ 0.0002: yes"
    assert report.median("cone256", "XRayTo3D") == pytest.approx(0.1)
    assert report.ratio(report.jobs[0], "XRayTo3D") == pytest.approx(4.5)


def test_speed_without_the_accuracy_does_not_count(report):
    assert fill(report, 0.1, 4.5, error=3e-4) == "must 3x: no; aim 6x: no; error ≤ 0.0002: no"


def test_frames_a_second(report):
    job = next(job for job in report.jobs if job.key == "dragging")
    report.timings.append(Timing("dragging", "XRayTo3D", 1, 0.5, 1e-3, 1e-3))
    assert report.verdict(job, "XRayTo3D") == "aim 25 frames/s: yes (40)"
    report.timings = [replace(report.timings[0], seconds=1.0)]
    assert report.verdict(job, "XRayTo3D") == "aim 25 frames/s: no (20)"


def test_a_peer_that_wins_is_bold_and_what_is_missing_is_named(report):
    fill(report, 0.5, 0.2)
    report.failures["cone512", "RTK Joseph"] = "MemoryError: too large"
    text = report.markdown()
    assert "| cone beam, 256² | 0.5 | **0.2** |" in text
    assert "must 3x: no" in text and "0.40x RTK Joseph" in text
    assert "Not installed: nanodrr" in text and "RTK Joseph failed at cone512: MemoryError: too large" in text
    assert "cone beam, 512²" not in text
