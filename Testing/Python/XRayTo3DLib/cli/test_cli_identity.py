"""Whose pictures the command writes, and that no person's name reaches what it writes or says, unless asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import IDENTITY, write_ct_series

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.identity import read_patient_study
from XRayTo3DLib.io.rtimage import write_rtimage
from XRayTo3DLib.report import reconstruction
from XRayTo3DLib.report.page import Section
from XRayTo3DLib.simulation.drr import render_drr


@pytest.fixture(scope="module")
def ct_folder(small_ct: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ct_series(small_ct.array, tmp_path_factory.mktemp("ct") / "SECRET_ct", small_ct.grid.spacing[0])


def holding(folder: Path, *words: str) -> list[str]:
    """The files, by name or content, that hold one of the words, in any letters."""
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes().lower() if path.is_file() else b""
        if any(word.lower() in path.name.lower() or word.lower().encode() in content for word in words):
            found.append(path.name)
    return found


def test_drrs_of_a_dicom_ct_keep_its_study_and_its_frame_of_reference(run, ct_folder, tmp_path):
    arguments = ["drr", ct_folder, "--view", "AP", "--view", "LAT", "--size", "16", "--pixel", "24", "--format", "dcm"]
    found = run(*arguments, "--out", tmp_path / "plain")
    assert found.code == 0 and "note" not in found.out
    kept = ("PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "FrameOfReferenceUID")
    for view in ("AP", "LAT"):
        written = pydicom.dcmread(tmp_path / "plain" / f"{view}.dcm")
        assert {keyword: written[keyword].value for keyword in kept} == {keyword: IDENTITY[keyword] for keyword in kept}
        assert len(written.SourceImageSequence) == 34
    assert not holding(tmp_path, "SECRET", "19481203", "A-9") and "SECRET" not in found.out.replace(str(ct_folder), "")

    assert run(*arguments, "--keep-identity", "--out", tmp_path / "asked").code == 0
    assert pydicom.dcmread(tmp_path / "asked" / "LAT.dcm").PatientName == IDENTITY["PatientName"]
    assert holding(tmp_path, "SECRET") == ["AP.dcm", "LAT.dcm"]

    (tmp_path / "move.txt").write_text("1 0 0 9\n0 1 0 0\n0 0 1 0\n0 0 0 1")
    found = run(*arguments, "--transform", tmp_path / "move.txt", "--out", tmp_path / "moved")
    assert "frame of reference: the files have a new one" in found.out
    frames = {pydicom.dcmread(tmp_path / "moved" / f"{view}.dcm").FrameOfReferenceUID for view in ("AP", "LAT")}
    assert len(frames) == 1 and IDENTITY["FrameOfReferenceUID"] not in frames
    found = run("drr", ct_folder, "--view", "AP", "--keep-identity", "--out", tmp_path / "a.nrrd")
    assert found.code == 2 and "--keep-identity is for DICOM files" in found.sentence


def test_a_matrix_does_not_say_where_its_beam_is_aimed(run, ct_folder, tmp_path):
    projection = view_projection("AP", (0, 0, 0), (16, 16), 24.0, 1000.0, 700.0)
    np.savetxt(tmp_path / "m.txt", projection.matrix)
    arguments = ["drr", ct_folder, "--matrix", tmp_path / "m.txt", "--size", "16", "--pixel", "24", "--look", "none"]
    aimed, beside = (["--isocentre", x, "0", "0"] for x in ("0", "9"))
    for options, distance in (([], None), (aimed, 700), (beside, None)):
        assert run(*arguments, *options, "--out", tmp_path / "m.dcm").code == 0
        written = pydicom.dcmread(tmp_path / "m.dcm")
        assert written.RadiationMachineSAD == (distance and pytest.approx(distance, abs=1e-4))
        assert ("IsocenterPosition" in written) == bool(distance)


def test_no_name_reaches_a_reconstruction_or_what_is_said_of_it(run, small_ct, ct_folder, model, tmp_path, monkeypatch):
    identity = read_patient_study(ct_folder, keep_identity=True)
    xrays = tmp_path / "SECRET"
    xrays.mkdir()
    views = [view_projection(view, (0, 0, 0), (64, 72), 8.0, 1500.0) for view in ("AP", "LAT")]
    for radiograph in render_drr(small_ct, views, ["", "LAT"]):
        write_rtimage(radiograph, xrays / f"NAME_{radiograph.name or 'front'}.dcm", identity=identity)
    arguments = ["reconstruct", "--view", xrays / "NAME_front.dcm", "--view", f"LAT={xrays / 'NAME_LAT.dcm'}", "--model", model]
    arguments += ["--grid-size", "16", "--grid-spacing", "24"]
    other = pydicom.dcmread(xrays / "NAME_LAT.dcm")
    other.PatientID = "P-78"
    other.save_as(xrays / "NAME_LAT.dcm")
    found = run(*arguments, "--out", tmp_path / "plain")
    assert found.code == 0, found.error
    assert "note: The X-rays name different patients: check that they belong together." in found.out
    assert not holding(tmp_path / "plain", "SECRET", "P-77", "NAME_") and "SECRET" not in found.out + found.error

    # The report's own pictures are the plain one's.
    monkeypatch.setattr(reconstruction, "extract_surfaces", lambda labels: [])
    for name in ("xray_section", "slice_section", "residual_section", "uncertainty_section", "surface_section"):
        monkeypatch.setattr(reconstruction, name, lambda *args: Section("none"))
    found = run(*arguments, "--keep-identity", "--no-fusion", "--out", tmp_path / "asked")
    assert holding(tmp_path / "asked", IDENTITY["PatientName"]) == ["metrics.json", "report.html"], found.error
