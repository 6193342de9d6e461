"""Organs as DICOM SEG: their voxels, codes and frame of reference, by highdicom's reader and by dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_ct_series

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.io import dicom_seg
from XRayTo3DLib.io.dicom_seg import write_dicom_seg
from XRayTo3DLib.io.identity import read_patient_study

highdicom = pytest.importorskip("highdicom")

_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def organs(direction: np.ndarray = _TURN) -> Labelmap:
    array = np.zeros((8, 10, 12), np.uint8)
    array[2:6, 2:8, 2:6], array[1:5, 2:8, 7:11], array[7, 0, 0] = 1, 4, 9
    return Labelmap(
        array, Grid((12, 10, 8), (2.0, 3.0, 4.0), (-10.0, 5.0, 7.125), direction), {1: "kidney_right", 4: "liver", 9: "x"}
    )


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory):
    return read_patient_study(write_ct_series(np.full((3, 4, 5), -1000), tmp_path_factory.mktemp("ct") / "ct"))


def test_voxels_codes_and_frame_come_back(identity, tmp_path):
    labelmap = organs()
    write_dicom_seg(labelmap, tmp_path / "organs.dcm", identity, "biplanar-organs")
    read = highdicom.seg.segread(tmp_path / "organs.dcm")
    assert read.FrameOfReferenceUID == identity.frame_of_reference_uid and read.StudyInstanceUID == identity.study_uid
    assert [i.ReferencedSOPInstanceUID for i in read.ReferencedSeriesSequence[0].ReferencedInstanceSequence] == [
        instance for _, instance in identity.sources
    ]
    assert not read.PatientName and "SECRET" not in str(pydicom.dcmread(tmp_path / "organs.dcm"))
    volume = read.get_volume(combine_segments=True, relabel=True)
    for number, label in enumerate(labelmap.names, 1):
        for index in np.argwhere(volume.array == number):
            place = volume.affine @ [*index, 1]
            x, y, z = np.rint((labelmap.grid.to_index @ place)[:3]).astype(int)
            assert labelmap.array[z, y, x] == label
        assert np.count_nonzero(volume.array == number) == np.count_nonzero(labelmap.array == label)
    kidney, liver, unnamed = read.SegmentSequence
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"
    assert kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert (liver.SegmentLabel, liver.SegmentedPropertyTypeCodeSequence[0].CodeMeaning) == ("liver", "Liver")
    assert liver.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "biplanar-organs"
    assert unnamed.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"


def test_dciodvfy_finds_no_error_in_segmentations(identity, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: install dicom3tools")
    files: list[Path] = []
    for name, own in (("none", None), ("ct", identity), ("frame", replace(identity, sources=(), study_uid="", series_uid=""))):
        files.append(tmp_path / f"{name}.dcm")
        write_dicom_seg(organs(np.eye(3)), files[-1], own)
    for file in files:
        told = subprocess.run(["dciodvfy", "-new", file], capture_output=True, check=False)
        lines = (told.stdout + told.stderr).decode(errors="replace").splitlines()
        assert "Segmentation" in lines and [line for line in lines if line.startswith("Error")] == [], file.name
    alone = pydicom.dcmread(files[0])
    assert "ReferencedSeriesSequence" not in alone and "SourceImageSequence" not in alone
    assert pydicom.dcmread(files[2]).FrameOfReferenceUID == identity.frame_of_reference_uid


def test_what_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    empty = replace(organs(), array=np.zeros((8, 10, 12), np.uint8))
    skewed = np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for labelmap, words in ((empty, "holds no structure"), (organs(skewed), "not at right angles")):
        with pytest.raises(InputError, match=words):
            write_dicom_seg(labelmap, tmp_path / "no.dcm")
    monkeypatch.setattr(dicom_seg, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'xrayto3d\[seg\]'"):
        write_dicom_seg(organs(), tmp_path / "no.dcm")
    assert not list(tmp_path.iterdir())
