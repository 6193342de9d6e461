"""Labelmaps as segmentation nodes with closed surfaces, and back."""

import numpy as np
import pytest
import slicer
import vtk
from scene_parts import RAS, put_under, rigid
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer.nodes import segmentation_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap


def enclosed(surface):
    """The volume in mm^3 inside triangles that face outwards; negative when they face inwards."""
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    corners = points[vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)] - points[0]
    return np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def labels_at(labelmap, points):
    inverse = np.linalg.inv(labelmap.grid.affine)
    index = (np.column_stack([points, np.ones(len(points))]) @ inverse.T)[:, :3].round().astype(int)
    return labelmap.array[index[:, 2], index[:, 1], index[:, 0]]


def test_segmentation_there_and_back(scene, labelmap):
    node = segmentation_nodes.segmentation_to_node(labelmap, "Structures")
    back = segmentation_nodes.segmentation_from_node(node)
    assert back.names == labelmap.names
    assert back.array.dtype == np.uint8
    index = np.argwhere(np.ones(labelmap.grid.shape))[:, ::-1]
    points = np.column_stack([index, np.ones(len(index))]) @ labelmap.grid.affine.T
    np.testing.assert_array_equal(labels_at(back, points[:, :3]), labelmap.array.ravel())
    corners = [sorted(map(tuple, grid.corners.round(6))) for grid in (back.grid, labelmap.grid)]
    np.testing.assert_allclose(*corners, atol=1e-6)


def test_segments_have_surfaces_colours_and_codes(scene, labelmap):
    node = segmentation_nodes.segmentation_to_node(labelmap, "Structures")
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(i).GetName() for i in range(4)] == ["body", "lungs", "spleen", "bone"]
    assert segmentation.GetNumberOfLayers() == 1
    assert len({segmentation.GetNthSegment(i).GetColor() for i in range(4)}) == 4
    tag = vtk.reference("")
    lungs = segmentation.GetSegment("lungs")
    assert lungs.GetTag(lungs.GetTerminologyEntryTagName(), tag) and "39607008^Lung" in str(tag)
    assert node.GetDisplayNode().GetSegmentOpacity3D("body") < 1
    for name, label in (("body", 1), ("lungs", 3)):
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(name, surface)
        voxels = np.count_nonzero(labelmap.array == label) * labelmap.grid.voxel_volume
        assert enclosed(surface) == pytest.approx(voxels, rel=0.25), name
        middle = np.argwhere(labelmap.array == label).mean(axis=0)[::-1]
        middle = RAS * (labelmap.grid.affine @ [*middle, 1])[:3]
        np.testing.assert_allclose(np.mean(vtk_to_numpy(surface.GetPoints().GetData()), axis=0), middle, atol=2.5)


def test_closed_surfaces_face_outwards(scene, labelmap):
    node = segmentation_nodes.segmentation_to_node(labelmap, "Structures")
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("lungs", surface)
    assert enclosed(surface) > 0


def test_thin_structures_keep_their_surface(scene):
    grid = Grid((24, 10, 10), (4.0, 4.0, 4.0))
    array = np.zeros(grid.shape, np.uint8)
    array[4:6, 4:6, 2:22] = 1  # a rib, two voxels thick
    node = segmentation_nodes.segmentation_to_node(Labelmap(array, grid, {1: "bone"}), "Rib")
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("bone", surface)
    assert enclosed(surface) > 0.7 * np.count_nonzero(array) * grid.voxel_volume


def test_segmentation_follows_its_parent_transform(scene, oblique):
    array = np.zeros(oblique.shape, np.uint8)
    array[1:4, 1:5, 1:6] = 1
    node = segmentation_nodes.segmentation_to_node(Labelmap(array, oblique, {1: "body"}), "Structures")
    put_under(node, rigid())
    back = segmentation_nodes.segmentation_from_node(node)
    lps = np.diag([-1, -1, 1, 1]) @ rigid() @ np.diag([-1, -1, 1, 1])
    np.testing.assert_allclose(back.grid.affine, lps @ oblique.affine, atol=1e-6)
    np.testing.assert_array_equal(back.array, array)


def test_segments_drawn_by_a_user_are_numbered_in_order(scene, labelmap):
    node = segmentation_nodes.segmentation_to_node(labelmap, "Structures")
    extra = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation("spleen", extra)
    node.AddSegmentFromBinaryLabelmapRepresentation(extra, "copy")  # in its own layer, with the label 1 again
    back = segmentation_nodes.segmentation_from_node(node)
    assert back.names == {1: "body", 2: "lungs", 3: "spleen", 4: "bone", 5: "copy"}
    assert back.mask("copy").sum() == labelmap.mask("spleen").sum()
    assert back.mask("lungs").sum() == labelmap.mask("lungs").sum()


def test_an_empty_segmentation_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing")
    with pytest.raises(InputError, match="Nothing has no segment"):
        segmentation_nodes.segmentation_from_node(node)
