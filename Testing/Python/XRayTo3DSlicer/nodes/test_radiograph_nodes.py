"""Radiographs as nodes and back, at the right place in RAS."""

from dataclasses import replace

import numpy as np
import pytest
from scene_parts import RAS, ijk_to_ras, put_under, rigid, values
from XRayTo3DSlicer.nodes import mask_nodes, provenance, radiograph_nodes, volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume


def same(one, other, tolerance=0.0):
    names = ("origin", "row_direction", "column_direction", "spacing", "size", "source", "ray_direction")
    for name in names:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


def test_radiograph_there_and_back(scene, radiograph):
    back = radiograph_nodes.radiograph_from_node(radiograph_nodes.radiograph_to_node(radiograph, "front"))
    same(back.projection, radiograph.projection, 1e-12)
    np.testing.assert_array_equal(back.line_integrals, radiograph.line_integrals)
    assert (back.name, back.calibrated, back.notes) == ("AP", False, ("a note",))


def test_the_mask_of_a_radiograph_is_a_segmentation_that_is_edited_and_read_back(scene, radiograph):
    valid = np.ones(radiograph.projection.size, bool)
    valid[2:5, 1:3] = valid[-1, -1] = False
    node = radiograph_nodes.radiograph_to_node(replace(radiograph, valid=valid), "front")
    for world in (None, rigid()):
        if world is not None:
            put_under(node, world)
        np.testing.assert_array_equal(radiograph_nodes.radiograph_from_node(node).valid, valid)
    mask = mask_nodes.mask_of(node)
    assert mask.GetName() == "front mask" and mask.GetSegmentation().GetNthSegment(0).GetName() == "no measurement"
    image = mask.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    ijk = np.array(image.GetDimensions()) - 1
    image.SetScalarComponentFromFloat(int(ijk[0]), int(ijk[1]), 0, 0, 0.0)  # the user erases the last pixel
    image.Modified()
    valid[-1, -1] = True
    np.testing.assert_array_equal(radiograph_nodes.radiograph_from_node(node).valid, valid)
    mask.GetSegmentation().RemoveAllSegments()
    assert radiograph_nodes.radiograph_from_node(node).valid is None
    scene.RemoveNode(mask)
    assert mask_nodes.mask_of(node) is None and radiograph_nodes.radiograph_from_node(node).valid is None
    window = (slice(1, None), slice(None))
    cut = Radiograph(radiograph.line_integrals[window], radiograph.projection.cropped(window), "AP", valid=valid[window])
    provenance.stamp(mask_nodes.mask_of(radiograph_nodes.radiograph_to_node(cut, "cut")), [node])
    with pytest.raises(InputError, match="The mask cut mask has"):
        radiograph_nodes.radiograph_from_node(node)


def test_radiograph_stands_at_its_detector(scene, radiograph):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    rows, columns = radiograph.projection.size
    assert node.GetImageData().GetDimensions() == (columns, rows, 1)
    for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)):
        lps = radiograph.projection.pixel_positions(np.array([[row, column]]))[0]
        np.testing.assert_allclose((ijk_to_ras(node) @ [column, row, 0, 1])[:3], RAS * lps, atol=1e-9)
        shown = node.GetImageData().GetScalarComponentAsFloat(column, row, 0, 0)
        assert shown == radiograph.line_integrals[row, column]


def test_radiograph_is_shown_from_black_to_white(scene, radiograph):
    shown = radiograph_nodes.radiograph_to_node(radiograph, "front").GetDisplayNode()
    assert shown.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    low, high = shown.GetWindowLevelMin(), shown.GetWindowLevelMax()
    assert 0 <= low < 0.05 and 0.95 < high <= 1


def test_residual_is_grey_where_it_is_zero(scene, radiograph):
    rest = Radiograph(radiograph.line_integrals - 0.2, radiograph.projection, "AP")
    node = radiograph_nodes.radiograph_to_node(rest, "rest", provenance.RESIDUAL)
    assert node.GetDisplayNode().GetLevel() == pytest.approx(0)


def test_radiograph_moves_with_its_rigid_transform(scene, radiograph):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    put_under(node, rigid())
    back = radiograph_nodes.radiograph_from_node(node)
    lps = np.diag([-1, -1, 1, 1]) @ rigid() @ np.diag([-1, -1, 1, 1])
    points = np.random.default_rng(5).uniform(-60, 60, (6, 3))
    moved = points @ lps[:3, :3].T + lps[:3, 3]
    np.testing.assert_allclose(back.projection.project(moved), radiograph.projection.project(points), atol=1e-8)
    np.testing.assert_allclose(back.projection.origin, lps[:3, :3] @ radiograph.projection.origin + lps[:3, 3], atol=1e-9)


def test_radiograph_under_a_scaling_is_refused(scene, radiograph):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    put_under(node, np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(InputError, match=r"front .*not rigid"):
        radiograph_nodes.radiograph_from_node(node)


def test_radiograph_that_was_moved_is_refused(scene, radiograph):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    node.SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(InputError, match=r"front was moved, cropped or resampled"):
        radiograph_nodes.radiograph_from_node(node)


def test_set_projection_moves_the_node(scene, radiograph):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    other = radiograph.projection.resampled(radiograph.projection.size, (0.5, 0.75))
    radiograph_nodes.set_projection(node, other)
    same(radiograph_nodes.radiograph_from_node(node).projection, other, 1e-12)
    with pytest.raises(InputError, match="9 rows and 14 columns"):
        radiograph_nodes.set_projection(node, other.resampled((4, 4), (1.0, 1.0)))
    same(radiograph_nodes.radiograph_from_node(node).projection, other, 1e-12)


def test_a_volume_is_no_radiograph(scene, oblique):
    node = volume_nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    with pytest.raises(InputError, match="CT has no projection geometry"):
        radiograph_nodes.radiograph_from_node(node)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"origin": [0, 0, 0]}'])
def test_a_damaged_projection_is_refused(scene, radiograph, text):
    node = radiograph_nodes.radiograph_to_node(radiograph, "front")
    node.SetAttribute("XRayTo3D.Projection", text)
    with pytest.raises(InputError, match="front"):
        radiograph_nodes.radiograph_from_node(node)
