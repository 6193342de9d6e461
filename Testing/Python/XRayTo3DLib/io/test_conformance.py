"""All that is written as DICOM, by two validators of the standard that are not ours.

dciodvfy is part of dicom3tools (Debian, Homebrew). dicom-validator is on PyPI and reads the standard's own text, which it
fetches once: with XRAYTO3D_FETCH_STANDARD set (as continuous integration does) the test lets it try.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_ct_series

from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.io.identity import read_patient_study
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.rtimage import write_rtimage

SIZE = (12, 16)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of every kind that is written."""
    folder = tmp_path_factory.mktemp("written")
    values = np.random.default_rng(7).uniform(-0.1, 6, SIZE).astype(np.float32)
    cone = view_projection("LAO30CRAN15", (1 / 3, -20.7, 131.123456789), SIZE, (0.71, 0.3), 1020.0, 700.0)
    frontal = view_projection("AP", (0, 0, 0), SIZE, 1.0, None)
    slanted = Projection((0, 0, 0), (1, 0, 0), (0, 0, -1), (1, 1), SIZE, ray_direction=np.array([0.3, 1, 0]))
    scanned = replace(frontal, ray_direction=None, source=np.array([0.0, -600, 0]), scan_axis="column")
    mirrored = replace(cone, row_direction=-cone.row_direction)
    valid = np.indices(SIZE)[0] > 2
    radiographs = {
        "cone": Radiograph(values, cone, "LAO30CRAN15", notes=("Änote\nof two lines", "x" * 2000)),
        "mirrored": Radiograph(values, mirrored, "x" * 100),
        "parallel": Radiograph(values, frontal, "AP"),
        "slanted": Radiograph(values, slanted),
        "scanned": Radiograph(values, scanned, "AP"),
        "masked": Radiograph(values, cone, "AP", valid=valid),
        "flat": Radiograph(np.full(SIZE, 1 / 3, np.float32), cone, "Ä \\ ^ = name"),
        "dense": Radiograph(values * 1e6, cone, "AP"),
        "faint": Radiograph(values * 1e-6, cone, "AP"),
    }
    radiographs |= {f"unknown_{n}": Radiograph(values, cone, "AP", UNKNOWN[:n], valid=valid) for n in (1, 2, 3)}
    for name, radiograph in radiographs.items():
        write_radiograph(radiograph, folder / f"{name}.dcm")
    identity = read_patient_study(write_ct_series(np.full((3, 4, 5), -1000), folder / "ct"), keep_identity=True)
    shutil.rmtree(folder / "ct")
    assert identity is not None
    for name, own in (
        ("identity", identity),
        ("sources_without_study", replace(identity, study_uid="", series_uid="")),
        ("names", replace(identity, patient_name="Müller^Jürg=山田^太郎", study_description="Ä")),
    ):
        write_rtimage(radiographs["cone"], folder / f"{name}.dcm", (1 / 3, -20.7, 131.123456789), own)
    return folder


def test_dciodvfy_finds_no_error(written):
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: install dicom3tools")
    files = sorted(written.glob("*.dcm"))
    assert len(files) == 15
    for file in files:
        told = subprocess.run(["dciodvfy", "-new", file], capture_output=True, check=False)
        lines = (told.stdout + told.stderr).decode(errors="replace").splitlines()
        assert "RTImage" in lines  # it has looked at it as such
        assert [line for line in lines if line.startswith("Error")] == [], file.name


def test_dicom_validator_finds_no_error(written):
    if find_spec("dicom_validator") is None:
        pytest.skip("needs dicom-validator: install the extra 'test'")
    files = sorted(map(str, written.glob("*.dcm")))
    validate = [sys.executable, "-m", "dicom_validator.validate_iods", "--edition"]
    edition = "current" if "XRAYTO3D_FETCH_STANDARD" in os.environ else "local"
    try:
        told = subprocess.run(
            [*validate, edition, *files], capture_output=True, encoding="utf-8", errors="replace", timeout=200, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("dicom-validator took more than 200 s to fetch the standard")
    if "aborting" in told.stdout:
        pytest.skip("dicom-validator has no edition of the standard here, and fetches one from the net")
    assert told.returncode == 0, told.stdout
