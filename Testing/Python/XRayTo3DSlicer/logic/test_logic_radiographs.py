"""Radiographs of files by the console calls: the right node, or a sentence and nothing."""

import numpy as np
import pytest
import SimpleITK
import slicer
from PIL import Image
from scene_parts import attribute
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.progress import Cancelled


def test_a_written_radiograph_is_loaded_with_its_geometry(logic, ct_node, tmp_path):
    made = radiograph_nodes.radiograph_from_node(logic.renderDRR(ct_node, "LAT", size=(20, 24), spacing=24.0))
    write_radiograph(made, tmp_path / "side.nrrd")
    node = logic.loadRadiograph(tmp_path / "side.nrrd")
    back = radiograph_nodes.radiograph_from_node(node)
    np.testing.assert_allclose(back.projection.matrix, made.projection.matrix, rtol=1e-9)
    np.testing.assert_array_equal(back.line_integrals, made.line_integrals)
    assert (node.GetName(), back.name, back.calibrated) == ("side LAT", "LAT", True)
    assert attribute(node, "File") == "side.nrrd" and attribute(node, "Type") == provenance.RADIOGRAPH


def test_a_picture_is_loaded_as_uncalibrated(logic, scene, tmp_path):
    pixels = np.arange(30 * 20).reshape(30, 20) % 251
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels.astype(np.uint8)), str(tmp_path / "front.png"))
    node = logic.loadRadiograph(tmp_path / "front.png", "AP", spacing=4.0, sourceToDetector=1800, isocentre=(1, 2, 3))
    back = radiograph_nodes.radiograph_from_node(node)
    assert not back.calibrated and back.notes
    assert back.projection.size == (30, 20) and back.projection.source_to_detector == pytest.approx(1800)
    np.testing.assert_allclose(back.projection.project(np.array([[1.0, 2.0, 3.0]])), [[9.5, 14.5]], atol=1e-6)
    assert np.argmax(back.line_integrals) == np.argmax(pixels)


def test_what_is_no_radiograph_adds_nothing(logic, scene, state, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    before = state()
    for path in (tmp_path / "text.png", tmp_path / "missing.dcm", tmp_path):
        with pytest.raises(InputError):
            logic.loadRadiograph(path, "AP", spacing=1.0)
    assert state() == before


def test_a_detector_larger_than_any_plate_is_asked_about(logic, scene, state, tmp_path):
    """2500 pixels of 2 mm would be a detector of 5 m."""
    pixels = np.arange(250 * 200).reshape(250, 200) % 251
    path = tmp_path / "front.png"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels.astype(np.uint8)), str(path))
    before, questions = state(), []

    def ask(answer):
        return lambda question: questions.append(question) or answer

    with pytest.raises(InputError, match="no known pixel spacing"):
        logic.loadRadiograph(path, "AP")
    with pytest.raises(Cancelled):
        logic.loadRadiograph(path, "AP", spacing=20.0, ask=ask(False))
    assert state() == before and "4000 x 5000 mm" in questions[0] and "front.png" in questions[0]
    assert logic.loadRadiograph(path, "AP", spacing=1.72, ask=ask(False)) is not None and len(questions) == 1
    assert logic.loadRadiograph(path, "AP", spacing=20.0, ask=ask(True)) is not None and len(questions) == 2


def test_a_marker_gives_a_picture_its_mm(logic, scene, tmp_path):
    rows, columns = np.mgrid[:96, :96]
    disc = np.hypot(rows - 30, columns - 60) < 10
    Image.fromarray((60 + rows // 4 + 150 * disc).astype(np.uint8)).save(tmp_path / "a.png")
    node = logic.loadRadiograph(tmp_path / "a.png", "AP", marker=(40, 0), markerAt=(31, 61))
    assert radiograph_nodes.radiograph_from_node(node).projection.spacing[0] == pytest.approx(2, rel=0.03)
    count = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    with pytest.raises(InputError, match="either gives the picture its mm"):
        logic.loadRadiograph(tmp_path / "a.png", "AP", spacing=2, marker=(40, 0))
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == count
