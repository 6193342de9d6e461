"""A whole case in a scene, saved as .mrb and read back: nodes, images, geometry, attributes, references and folders."""

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.logic import Logic
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, results, segmentation_nodes, volume_nodes
from XRayTo3DSlicer.nodes import scene as scene_module

from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.reconstruction.result import Reconstruction

OURS = "XRayTo3D."


@pytest.fixture
def case(scene, ct):
    """CT, two radiographs with their beams, a reconstruction with segments and surfaces."""
    logic = Logic()
    ct_node = volume_nodes.volume_to_node(ct, "CT")
    views = [logic.renderDRR(ct_node, view, size=(20, 24), spacing=24.0) for view in ("AP", "LAT")]
    for view in views:
        logic.showProjection(view)
    mu = to_attenuation(ct)
    radiographs = [radiograph_nodes.radiograph_from_node(view) for view in views]
    found = Reconstruction(
        volume=mu,
        before_fusion=Volume(0.9 * mu.array, mu.grid, "1/mm"),
        deviation=Volume(0.1 * mu.array, mu.grid, "1/mm"),
        radiographs=radiographs,
        reprojections=[np.asarray(p) for p in reproject(mu, radiographs)],
        errors=[0.1, 0.2],
        errors_before=[0.3, 0.4],
        model_name="a model; with = signs: and, commas",
        model_sha256="cd" * 32,
        model_seconds=0.5,
        seconds=2.0,
        notes=['AP: "quoted" & <marked>; 2 % outside'],
    )
    with scene_module.all_or_nothing():
        result = results.add(found, views, "Case", fused=True)
    logic.extractSurfaces(logic.segment(result.volumeNode))
    return scene


def everything(scene):
    """What must survive, by the name of each node: class, attributes, sources, display, geometry and data."""
    found = {}
    for class_name in ("vtkMRMLScalarVolumeNode", "vtkMRMLModelNode", "vtkMRMLSegmentationNode"):
        for node in slicer.util.getNodesByClass(class_name):
            attributes = {key: node.GetAttribute(key) for key in node.GetAttributeNames() if key.startswith(OURS)}
            sources = [source.GetName() for source in provenance.sources(node)]
            assert node.GetName() not in found
            found[node.GetName()] = (class_name, attributes, sources, node.GetDisplayNode().GetClassName())
    return found


def tree(item=None):
    """The subject hierarchy as nested names."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID() if item is None else item, children)
    ids = [children.GetId(i) for i in range(children.GetNumberOfIds())]
    return [(hierarchy.GetItemName(i), hierarchy.GetItemOwnerPluginName(i), tree(i)) for i in ids]


def test_the_case_comes_back_whole(case, tmp_path):
    before, hierarchy = everything(case), tree()
    volumes = {n.GetName(): volume_nodes.volume_from_node(n) for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    views = {name: radiograph_nodes.radiograph_from_node(case.GetFirstNodeByName(name)) for name in ("CT AP", "CT LAT")}
    labelmap = segmentation_nodes.segmentation_from_node(case.GetFirstNodeByName("Case segmentation"))
    models = {n.GetName(): points(n) for n in slicer.util.getNodesByClass("vtkMRMLModelNode")}
    window = case.GetFirstNodeByName("Case").GetDisplayNode().GetWindow()
    assert len(volumes) == 3 + 7 and len(models) == 4 + 3

    headless.save_scene(tmp_path / "case.mrb")
    case.Clear(False)
    assert everything(case) == {}
    headless.load_scene(tmp_path / "case.mrb")

    assert everything(case) == before
    assert tree() == hierarchy
    for name, volume in volumes.items():
        back = volume_nodes.volume_from_node(case.GetFirstNodeByName(name))
        assert back.grid.same_as(volume.grid, 1e-6), name
        assert back.array.dtype == volume.array.dtype
        np.testing.assert_array_equal(back.array, volume.array, err_msg=name)
    for name, view in views.items():
        back = radiograph_nodes.radiograph_from_node(case.GetFirstNodeByName(name))
        np.testing.assert_array_equal(back.projection.matrix, view.projection.matrix)
        assert (back.name, back.calibrated) == (view.name, view.calibrated)
    back = segmentation_nodes.segmentation_from_node(case.GetFirstNodeByName("Case segmentation"))
    assert back.names == labelmap.names and back.grid.same_as(labelmap.grid, 1e-6)
    np.testing.assert_array_equal(back.array, labelmap.array)
    for name, place in models.items():
        np.testing.assert_allclose(points(case.GetFirstNodeByName(name)), place, atol=1e-3, err_msg=name)
    shown = case.GetFirstNodeByName("Case").GetDisplayNode()
    assert shown.GetWindow() == window and not shown.GetAutoWindowLevel()


def points(node):
    return vtk_to_numpy(node.GetPolyData().GetPoints().GetData()).copy()


def test_the_picture_keeps_its_grey_values(case, tmp_path):
    pixels = radiograph_nodes.radiograph_from_node(case.GetFirstNodeByName("CT AP")).line_integrals
    headless.save_scene(tmp_path / "case.mrb")
    headless.load_scene(tmp_path / "case.mrb")
    node = case.GetFirstNodeByName("CT AP picture")
    np.testing.assert_array_equal(vtk_to_numpy(node.GetPolyData().GetPointData().GetScalars()), pixels.ravel())
    assert node.GetDisplayNode().GetColorNodeID() == "vtkMRMLColorTableNodeGrey"


def test_segments_keep_surfaces_codes_and_colours(case, tmp_path):
    node = case.GetFirstNodeByName("Case segmentation")
    before = [segment_facts(node, i) for i in range(3)]
    assert all(facts[2] for facts in before)
    headless.save_scene(tmp_path / "case.mrb")
    headless.load_scene(tmp_path / "case.mrb")
    node = case.GetFirstNodeByName("Case segmentation")
    assert node.GetSegmentation().GetNumberOfSegments() == 3
    assert [segment_facts(node, i) for i in range(3)] == before
    node.CreateClosedSurfaceRepresentation()
    surface = vtk.vtkPolyData()
    assert node.GetClosedSurfaceRepresentation("bone", surface) and surface.GetNumberOfPolys() > 0


def segment_facts(node, index):
    segment = node.GetSegmentation().GetNthSegment(index)
    code = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), code)
    colour = tuple(round(value, 4) for value in segment.GetColor())
    opacity = node.GetDisplayNode().GetSegmentOpacity3D(node.GetSegmentation().GetNthSegmentID(index))
    return segment.GetName(), colour, str(code), opacity


def test_a_scene_that_was_loaded_can_be_worked_on(case, tmp_path):
    headless.save_scene(tmp_path / "case.mrb")
    headless.load_scene(tmp_path / "case.mrb")
    logic = Logic()
    count = len(slicer.util.getNodesByClass("vtkMRMLModelNode"))
    logic.showProjection(case.GetFirstNodeByName("CT AP"))
    assert len(slicer.util.getNodesByClass("vtkMRMLModelNode")) == count  # the beam that was saved is replaced
    assert logic.compare(case.GetFirstNodeByName("Case"), case.GetFirstNodeByName("CT"))["psnr"] > 60


def test_saving_changes_no_image_and_no_folder(case, tmp_path):
    before, hierarchy = everything(case), tree()
    headless.save_scene(tmp_path / "case.mrb")
    assert everything(case) == before and tree() == hierarchy
