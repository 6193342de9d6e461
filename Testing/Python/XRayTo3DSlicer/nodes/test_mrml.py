"""The voxels of a node stand where LPS says, below any parent transform that can be followed."""

import numpy as np
import pytest
import vtk
from scene_parts import RAS, bend, ijk_to_ras, put_under, rigid, values
from XRayTo3DSlicer.nodes import volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.volume import Volume


def test_volume_voxels_stand_where_lps_says(scene, oblique):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    for index in ((0, 0, 0), (6, 5, 4), (3, 0, 1)):
        lps = oblique.affine @ [*index, 1]
        np.testing.assert_allclose((ijk_to_ras(node) @ [*index, 1])[:3], RAS * lps[:3], atol=1e-9)
        x, y, z = index
        assert node.GetImageData().GetScalarComponentAsDouble(x, y, z, 0) == values(oblique)[z, y, x]


def test_volume_follows_its_parent_transforms(scene, oblique):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    outer, inner = rigid(), np.diag([2.0, 1.0, 0.5, 1.0])
    transform = put_under(node, inner)
    put_under(transform, outer)
    back = volume_nodes.volume_from_node(node)
    corner = np.append(RAS, 1) * (oblique.affine @ [6, 0, 4, 1])
    expected = (outer @ inner @ corner)[:3] * RAS
    np.testing.assert_allclose((back.grid.affine @ [6, 0, 4, 1])[:3], expected, atol=1e-6)
    np.testing.assert_allclose((ijk_to_ras(node) @ [6, 0, 4, 1]), corner, atol=1e-9)  # the node itself is not hardened


def test_volume_under_a_bent_transform_is_refused(scene, oblique):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT 7")
    bend(node)
    with pytest.raises(InputError, match=r"CT 7 .*non-linear.*harden"):
        volume_nodes.volume_from_node(node)


@pytest.mark.parametrize(
    "matrix", [np.diag([1.0, 1.0, 0.0, 1.0]), np.diag([1.0, np.nan, 1.0, 1.0]), np.diag([np.inf, 1.0, 1.0, 1.0])]
)
@pytest.mark.filterwarnings("error")
def test_volume_under_a_singular_transform_is_refused(scene, oblique, matrix):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT 7")
    inner = put_under(node, rigid())
    inner.SetName("good")
    put_under(inner, matrix).SetName("flat")
    with pytest.raises(InputError, match=r"^The transform flat of CT 7 is singular: correct it\.$"):
        volume_nodes.volume_from_node(node)


def test_volume_whose_image_does_not_begin_at_zero(scene, oblique):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    node.GetImageData().SetExtent(2, 8, -1, 4, 3, 7)
    back = volume_nodes.volume_from_node(node)
    np.testing.assert_allclose(back.grid.origin, (oblique.affine @ [2, -1, 3, 1])[:3], atol=1e-9)


@pytest.mark.parametrize("content", ["nothing", "colour"])
def test_volume_without_one_value_a_voxel_is_refused(scene, content):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Photo")
    if content == "colour":
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match=r"Photo (holds no image|is a colour)"):
        volume_nodes.volume_from_node(node)
