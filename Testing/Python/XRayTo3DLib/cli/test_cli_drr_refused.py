"""``xrayto3d drr``: what cannot be is one sentence and exit code 2, before anything is read where possible."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkFiltersSources import vtkPlaneSource
from vtkmodules.vtkIOGeometry import vtkSTLWriter

from XRayTo3DLib.cli import main


def refused(found, folder, words: str) -> None:
    """The command said one sentence with these words, and wrote nothing beside the inputs."""
    assert found.code == 2 and found.out == ""
    sentence = found.error.replace("\r", "\n").strip().splitlines()[-1]
    assert words in sentence, sentence
    assert sentence.startswith("xrayto3d") and sentence.endswith(".") and "Traceback" not in found.error
    assert not (folder / "out").exists()


def _joined(value) -> str | None:
    return " ".join(value) if isinstance(value, list) else None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "0"], "--size"),
        (["--size", "100000"], "16384"),
        (["--size", "100000x2"], "16384"),
        (["--size", "-5"], "--size"),
        (["--size", "nan"], "--size"),
        (["--pixel", "0"], "above 0"),
        (["--pixel", "-1"], "above 0"),
        (["--pixel", "nan"], "above 0"),
        (["--pixel", "inf"], "above 0"),
        (["--sdd", "0"], "above 0"),
        (["--sdd", "1000", "--sid", "1200"], "source-to-isocentre"),
        (["--sid", "-3"], "above 0"),
        (["--isocentre", "0", "nan", "0"], "not a number"),
        (["--photons", "0"], "above 0"),
        (["--photons", "nan"], "above 0"),
        (["--photons", "0.5"], "photons"),
        (["--photons", "1e30"], "photons"),
        (["--electronic-noise", "10"], "give both"),
        (["--photons", "100", "--electronic-noise", "-1"], "at least 0"),
        (["--photons", "100", "--electronic-noise", "nan"], "at least 0"),
        (["--blur", "-0.1"], "at least 0"),
        (["--blur", "1e9"], "blur"),
        (["--kilovolts", "5"], "5 kV"),
        (["--kilovolts", "1000"], "1000 kV"),
        (["--seed", "-1"], "at least 0"),
        (["--seed", "1.5"], "whole number"),
        (["--quality", "best"], "best"),
        (["--look", "sepia"], "sepia"),
        (["--percentiles", "1", "99"], "--look clinical"),
        (["--look", "clinical", "--percentiles", "90", "10"], "percentiles"),
        (["--look", "clinical", "--percentiles", "-5", "10"], "percentiles"),
        (["--look", "clinical", "--percentiles", "nan", "10"], "not a number"),
        (["--format", "png", "--look", "none"], "no PNG"),
        (["--format", "jpeg"], "jpeg"),
        (["--insert", "screw.stl"], "what it is made of"),
        (["--insert", "screw.stl=gold"], "gold"),
        (["--insert", "screw.stl=iodine"], "how much"),
        (["--insert", "screw.stl=-0.1"], "-0.1"),
        (["--insert", "no such screw.stl=steel"], "there is no file"),
        (["--insert", "no such map.nrrd:3=steel"], "there is no file"),
        (["--transform", "no such file.tfm"], "does not exist"),
        (["--labels", "no such file.nrrd"], "does not exist"),
        (["--matrix", "no such file.txt", "--size", "8"], "does not exist"),
        (["--view", "SIDEWAYS"], "SIDEWAYS"),
        (["--view", "AP+nan"], "not known"),
        (["--view", "ap"], "twice"),
    ],
    ids=_joined,
)
def test_options_that_cannot_be_are_found_before_the_ct_is_read(run, tmp_path, options, words):
    missing = tmp_path / "there is no such CT.nrrd"
    refused(run("drr", missing, "--view", "AP", *options, "--out", tmp_path / "out"), tmp_path, words)


@pytest.mark.parametrize(
    ("out", "options", "words"),
    [
        ("out.docx", [], ".nrrd or .mha, .nii.gz"),
        ("out.nrrd", ["--view", "LAT"], "several views"),
        ("out.nrrd", ["--format", "dcm"], "--format"),
    ],
)
def test_files_that_cannot_be(run, tmp_path, out, options, words):
    missing = tmp_path / "there is no such CT.nrrd"
    refused(run("drr", missing, "--view", "AP", *options, "--out", tmp_path / out), tmp_path, words)
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_same_name_are_refused(run, tmp_path):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1], labels[2] = 1, 2
    image = sitk.GetImageFromArray(labels)
    for number, name in enumerate(("left lung", "left/lung")):
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        image.SetMetaData(f"Segment{number}_Name", name)
    sitk.WriteImage(image, str(tmp_path / "labels.seg.nrrd"))
    found = run("drr", tmp_path / "none.nrrd", "--view", "AP", "--labels", tmp_path / "labels.seg.nrrd", "--out", tmp_path / "out")
    refused(found, tmp_path, "AP left lung and AP left/lung would both be written to AP_left_lung")


@pytest.mark.parametrize(
    ("name", "out", "options"),
    [
        ("ct.nii.gz", "ct.nii.gz", []),
        ("ct.nii.gz", "link.nii.gz", []),
        ("AP.nrrd", "", []),
        ("ct.nii.gz", "", ["--labels", "AP.png"]),
        ("ct.nii.gz", "", ["--insert", "AP.nrrd:1=steel"]),
        ("ct.nii.gz", "", ["--transform", "AP.nrrd"]),
        ("ct.nii.gz", "x.nrrd", ["--matrix", "x.nrrd", "--size", "8"]),
    ],
)
def test_an_input_is_never_overwritten(run, tmp_path, monkeypatch, name, out, options):
    """It is found before anything is read: none of these files could be."""
    monkeypatch.chdir(tmp_path)
    for file in {name, *(o.split(":")[0] for o in options if "." in o)}:
        (tmp_path / file).write_text("precious")
    (tmp_path / "link.nii.gz").symlink_to("ct.nii.gz")
    (tmp_path / "folder").symlink_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    views = [] if "--matrix" in options else ["--view", "AP"]
    refused(run("drr", name, *views, *options, "--out", tmp_path / "folder" / out), tmp_path, "would be overwritten")
    assert sorted(tmp_path.iterdir()) == before
    assert all(file.read_text() == "precious" for file in before if file.is_file())


@pytest.mark.parametrize("name", ["AP_label_1.nrrd", "AP_label_1_mask.png", "AP_outlines.png"])
def test_labels_are_not_overwritten_by_their_structures(run, tmp_path, name):
    labels = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(8, dtype=np.uint8)[None].repeat(8, 0)), str(tmp_path / "labels.nrrd"))
    (tmp_path / "labels.nrrd").rename(labels) if name.endswith("nrrd") else labels.symlink_to("labels.nrrd")
    found = run("drr", tmp_path / "none.nrrd", "--view", "AP", "--labels", labels.resolve(), "--out", tmp_path)
    refused(found, tmp_path, f"{name} is read by this command")


def test_a_file_of_the_dicom_folder_is_not_overwritten(run, tmp_path):
    for number in range(2):
        image = sitk.GetImageFromArray(np.zeros((4, 4), np.int16))
        image.SetMetaData("0020|000e", "1.2.3.4")
        image.SetMetaData("0020|0037", r"1\0\0\0\1\0")
        image.SetMetaData("0020|0032", f"0\\0\\{number}")
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / f"{('AP', 'LAT')[number]}.dcm"))
        writer.Execute(image)
    found = run("drr", tmp_path, "--view", "LAT", "--format", "dcm", "--out", tmp_path)
    refused(found, tmp_path, "LAT.dcm is read by this command")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sid", "100", "--sdd", "200", "--size", "16"], "inside the volume"),
        (["--sid", "100", "--sdd", "200"], "--sid"),
        (["--pixel", "0.01"], "larger --pixel"),
        (["--isocentre", "5000", "0", "0", "--size", "16"], "misses the volume"),
        (["--isocentre", "1e9", "0", "0"], "isocentre"),
    ],
    ids=_joined,
)
def test_geometry_that_cannot_be_of_this_ct(run, ct_file, tmp_path, options, words):
    refused(run("drr", ct_file, "--view", "AP", *options, "--out", tmp_path / "out"), tmp_path, words)


@pytest.mark.parametrize("ending", ["stl", "ply", "obj", "vtp"])
def test_only_one_sentence_is_said_of_a_bad_surface(tmp_path, capfd, ending):
    file = tmp_path / f"bad.{ending}"
    file.write_text('<VTKFile type="PolyData"><PolyData><oops' if ending == "vtp" else "solid or not\nf 1 2 9\n")
    shown = vtkObject.GetGlobalWarningDisplay()
    assert main(["drr", "none.nrrd", "--view", "AP", "--insert", f"{file}=steel", "--out", str(tmp_path / "out")]) == 2
    printed = capfd.readouterr()
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1 and "is not a surface" in printed.err
    assert vtkObject.GetGlobalWarningDisplay() == shown


def _labels(path, dtype=np.uint8, filled=True, origin=(0.0, 0.0, 0.0)):
    array = np.zeros((10, 10, 10), dtype)
    array[4:7, 4:7, 4:7] = 1 if filled else 0
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((5, 5, 5))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def _sheet(path):
    plane = vtkPlaneSource()
    plane.SetPoint1(50, 0, 0)
    plane.SetPoint2(0, 50, 0)
    plane.Update()
    writer = vtkSTLWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(plane.GetOutput())
    writer.Write()
    return path


def _bent(path):
    field = sitk.Image(4, 4, 4, sitk.sitkVectorFloat64)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("open surface", "is open"),
        ("no surface", "not a surface"),
        ("label of a surface", "has no label"),
        ("empty labels", "holds no structure"),
        ("missing label", "There is no structure"),
        ("the CT as insert", "not the CT"),
        ("insert elsewhere", "outside the CT"),
        ("labels elsewhere", "in common"),
        ("the CT as labels", "not the CT"),
        ("bent transform", "not linear"),
        ("singular transform", "singular"),
        ("3x4 transform", "4x4"),
    ],
)
def test_inputs_beside_the_ct_that_cannot_be(run, ct_file, tmp_path, kind, words):
    if kind == "open surface":
        options = ["--insert", f"{_sheet(tmp_path / 'sheet.stl')}=steel"]
    elif kind == "no surface":
        (tmp_path / "text.ply").write_text("no surface")
        options = ["--insert", f"{tmp_path / 'text.ply'}=steel"]
    elif kind == "label of a surface":
        options = ["--insert", f"{_sheet(tmp_path / 'sheet.stl')}:2=steel"]
    elif kind == "empty labels":
        options = ["--insert", f"{_labels(tmp_path / 'empty.nrrd', filled=False)}=steel"]
    elif kind == "missing label":
        options = ["--insert", f"{_labels(tmp_path / 'labels.nrrd')}:7=steel"]
    elif kind == "the CT as insert":
        options = ["--insert", f"{ct_file}=steel"]
    elif kind == "insert elsewhere":
        options = ["--insert", f"{_labels(tmp_path / 'far.nrrd', origin=(9000, 0, 0))}=steel"]
    elif kind == "labels elsewhere":
        options = ["--labels", _labels(tmp_path / "far.nrrd", origin=(9000, 0, 0))]
    elif kind == "the CT as labels":
        options = ["--labels", ct_file]
    elif kind == "bent transform":
        options = ["--transform", _bent(tmp_path / "bent.tfm")]
    elif kind == "singular transform":
        np.savetxt(tmp_path / "flat.txt", np.diag([1, 0, 1, 1]))
        options = ["--transform", tmp_path / "flat.txt"]
    else:
        np.savetxt(tmp_path / "m.txt", np.eye(3, 4))
        options = ["--transform", tmp_path / "m.txt"]
    found = run("drr", ct_file, "--view", "AP", "--size", "16", "--pixel", "24", *options, "--out", tmp_path / "out")
    refused(found, tmp_path, words)
