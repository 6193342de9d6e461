"""Segments, surfaces, comparisons, projections and models by the console calls."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import slicer
from scene_parts import attribute, hierarchy, names_in
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer.logic import Logic
from XRayTo3DSlicer.nodes import provenance, segmentation_nodes, volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import Volume


def test_segments_and_surfaces_join_the_folder(logic, views, fake, ct):
    result = logic.reconstruct(views, grid=Grid.centred(ct.grid.centre, (48, 36, 40), 8.0), name="Case")
    segmentation = logic.segment(result.volumeNode)
    assert segmentation.GetName() == "Case segmentation"
    surfaces = logic.extractSurfaces(segmentation)
    assert [node.GetName() for node in surfaces] == ["body", "lungs", "bone"]
    assert names_in(result.folder)[-4:] == ["Case segmentation", "body", "lungs", "bone"]
    labelmap = segmentation_nodes.segmentation_from_node(segmentation)
    for node in surfaces:
        counted = np.count_nonzero(labelmap.mask(node.GetName())) * labelmap.grid.voxel_volume / 1000
        assert json.loads(attribute(node, "VolumeML")) == pytest.approx(counted, rel=0.05)
        assert provenance.sources(node) == [segmentation]
    lungs = vtk_to_numpy(surfaces[1].GetPolyData().GetPoints().GetData())
    inside = np.argwhere(labelmap.mask("lungs"))[:, ::-1]
    lps = inside @ labelmap.grid.affine[:3, :3].T + labelmap.grid.affine[:3, 3]
    np.testing.assert_allclose(lungs.mean(axis=0) * [-1, -1, 1], lps.mean(axis=0), atol=8)


def test_segmenting_what_has_no_body_adds_nothing(logic, scene, state, ct):
    array = np.full(ct.grid.shape, -1000, np.int16)
    array[0, 0, 0] = -500
    node = volume_nodes.volume_to_node(Volume(array, ct.grid), "Air")
    before = state()
    with pytest.raises(InputError):
        logic.segment(node)
    assert state() == before


def test_surfaces_of_empty_segments_add_nothing(logic, scene, state, oblique):
    empty = segmentation_nodes.segmentation_to_node(Labelmap(np.zeros(oblique.shape, np.uint8), oblique, {1: "bone"}), "Empty")
    before = state()
    with pytest.raises(InputError, match="Empty are empty"):
        logic.extractSurfaces(empty)
    assert state() == before


def test_comparing_a_ct_with_itself_is_perfect(logic, ct_node, state):
    before = state()
    found = logic.compare(ct_node, ct_node)
    assert found["psnr"] == float("inf") and found["ssim"] == pytest.approx(1)
    assert found["hu_mae_body"] == 0
    for figures in found["structures"].values():
        assert figures["dice"] == 1 and figures["hd95_mm"] == 0
        assert figures["volume_ml"] == figures["volume_ml_ct"] > 0
    assert state() == before


def test_comparing_sees_an_offset_of_hu(logic, ct_node, ct):
    brighter = volume_nodes.volume_to_node(Volume(ct.array.astype(np.float32) + 50, ct.grid), "Brighter")
    found = logic.compare(brighter, ct_node)
    assert found["hu_mae_body"] == pytest.approx(50, abs=1e-3)
    assert found["psnr"] == pytest.approx(20 * np.log10(2500 / 50), abs=0.1)
    assert found["psnr_x2ct"] - found["psnr"] == pytest.approx(20 * np.log10(4095 / 2500))
    assert "2500" in found["range"]


def test_comparing_with_a_ct_elsewhere_is_refused(logic, ct_node, ct):
    far = Grid(ct.grid.size, ct.grid.spacing, tuple(np.add(ct.grid.origin, 5000)))
    away = volume_nodes.volume_to_node(Volume(ct.array, far), "Away")
    with pytest.raises(InputError, match=r"Away cannot be compared with CT: .*does not overlap"):
        logic.compare(away, ct_node)


def test_show_projection_replaces_what_it_showed(logic, views):
    first = [node.GetID() for node in logic.showProjection(views[0])]
    other = logic.showProjection(views[1])
    second = logic.showProjection(views[0])
    assert [node.GetName() for node in second] == ["CT AP beam", "CT AP picture"]
    left = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLModelNode")]
    assert set(left) == {node.GetID() for node in [*other, *second]}
    assert not set(first) & set(left)
    items = [hierarchy().GetItemByDataNode(node) for node in second]
    assert all(items) and hierarchy().GetNumberOfItems() == 1 + 2 + 4  # the CT, two radiographs, four models


def test_models_are_listed_without_running_them(logic, monkeypatch, tmp_path):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.pt").write_bytes(b"no model")
    assert "broken" not in [model.path.stem for model in logic.models()]


def test_logic_mixes_with_a_class_that_has_its_own_init(ct_node):
    class Base:
        def __init__(self):
            self.ready = True

    class Mixed(Base, Logic):
        def __init__(self):
            Base.__init__(self)

    mixed = Mixed()
    assert mixed.ready and mixed.renderDRR(ct_node, size=(4, 4), spacing=100.0) is not None


def test_import_needs_only_what_slicer_has():
    """Slicer has no torch until the user installs it, so importing must not ask for it, nor for what comes with it."""
    absent = ("torch", "skimage", "jsonschema", "tqdm", "platformdirs", "qt", "ctk")
    code = (
        f"import sys\nfor name in {absent!r}:\n    sys.modules[name] = None\n"
        "from XRayTo3DSlicer import headless, logic\n"
        "from XRayTo3DSlicer.nodes import model_nodes, radiograph_nodes, results, segmentation_nodes, volume_nodes\n"
        "import slicer\nassert getattr(slicer, 'mrmlScene', None) is None"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_segmentation_knows_the_volume_it_was_made_of(logic, ct_node, scene):
    """The Segment Editor asks for it otherwise, and DICOM SEG cannot be exported."""
    node = logic.segment(ct_node)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is ct_node
    back = segmentation_nodes.segmentation_from_node(node)
    assert back.grid.same_as(volume_nodes.volume_from_node(ct_node).grid, 1e-6)
