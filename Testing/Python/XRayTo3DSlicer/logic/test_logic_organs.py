"""Organs in the scene: voxels with codes and colours, the volume in a table, outlines on the X-rays, drawn masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from ball_system import CENTRE, BallSystem
from PIL import Image
from scene_parts import attribute, names_in, put_under, rigid, shift
from XRayTo3DSlicer.nodes import mrml, radiograph_nodes, segmentation_nodes
from XRayTo3DSlicer.nodes import scene as scenes

from XRayTo3DLib.anatomy.catalogue import structure_colour
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph

SIZE = (80, 90)


class GivenError(InputError):
    """Holds the masks that a system was given."""


class Masks(BallSystem):
    """A system that only says which masks it was given."""

    def check(self, model, radiographs, organ, masks):
        raise GivenError(list(masks))


def given(logic, radiographs, organ, mask):
    """The masks that reach a system."""
    with pytest.raises(GivenError) as found:
        logic.organShape(radiographs, organ, mask, Masks())
    return found.value.args[0]


@pytest.fixture
def xrays(scene):
    """Two X-rays from different sides."""
    views = [view_projection(word, (0, 0, 0), SIZE, (2.0, 2.0), 1400.0) for word in ("AP", "LAT")]
    pictures = [Radiograph(np.ones(SIZE, np.float32), view, word) for view, word in zip(views, ("AP", "LAT"), strict=True)]
    return [radiograph_nodes.radiograph_to_node(picture, picture.name) for picture in pictures]


def draw(segmentation, node, rows, columns):
    """Paint a box of pixels into the only segment of a segmentation, as the Segment Editor does."""
    picture = np.zeros((1, *SIZE), np.uint8)
    picture[0, rows, columns] = 1
    own = segmentation.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(picture, segmentation, own, node)
    return picture[0] > 0


def test_an_organ_is_a_segment_with_its_code_a_row_of_a_table_and_a_curve_on_each_x_ray(xrays, logic, scene):
    found = logic.organShape(xrays, "liver", model=BallSystem(interval=(100.0, 130.0)))
    (segment,) = (found.segmentationNode.GetSegmentation().GetNthSegment(0),)
    assert segment.GetName() == "liver" and np.allclose(segment.GetColor(), structure_colour("liver"))
    assert "SCT^10200004^Liver" in code_of(segment)
    assert found.segmentationNode.GetSegmentation().ContainsRepresentation("Closed surface")
    labels = segmentation_nodes.segmentation_from_node(found.segmentationNode)
    assert labels.mask("liver").sum() * labels.grid.voxel_volume / 1000 == pytest.approx(found.shape.volume_ml, rel=1e-6)
    table = found.tableNode.GetTable()
    row = {table.GetColumnName(i): table.GetValue(0, i).ToString() for i in range(table.GetNumberOfColumns())}
    assert row == {
        "Organ": "liver",
        "Volume (mL)": f"{found.shape.volume_ml:.1f}",
        "90 % from (mL)": "100.0",
        "90 % to (mL)": "130.0",
        "Model": "ball",
    }
    for node, (curve,) in zip(xrays, found.outlineNodes, strict=True):
        points = mrml.markups_from_node(curve)
        projection = radiograph_nodes.radiograph_from_node(node).projection
        column, row_ = projection.project(np.array([CENTRE]))[0]
        pixels = projection.project(points)
        away = np.hypot(pixels[:, 0] - column, pixels[:, 1] - row_) * 2.0 / projection.magnification(CENTRE)[0]
        assert 12 <= len(points) <= 120 and np.abs(away - 30).max() < 2.5 and curve.IsA("vtkMRMLMarkupsClosedCurveNode")
        assert np.abs((points - projection.origin) @ projection.beam_direction).max() < 1e-6 or not projection.is_cone
        assert curve.GetLocked() and np.allclose(curve.GetDisplayNode().GetSelectedColor(), structure_colour("liver"))
    folder = scenes.folder_of(found.segmentationNode)
    assert len(names_in(folder)) == 4 and attribute(found.segmentationNode, "Model") == "ball"
    assert "a ball" in attribute(found.segmentationNode, "Notes")


def code_of(segment):
    """The terminology of a segment."""
    text = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), text)
    return str(text)


def test_a_mask_is_drawn_on_an_x_ray_or_given_as_labelmap_array_or_picture(xrays, logic, scene, tmp_path):
    drawn = logic.drawOutline(xrays[1], "liver")
    with pytest.raises(InputError, match="marks no pixel of the X-rays"):
        logic.organShape(xrays, "liver", drawn, BallSystem())
    inside = draw(drawn, xrays[1], slice(20, 50), slice(30, 61))
    Image.fromarray(np.uint8(255 * inside)).save(tmp_path / "drawn.png")
    labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert slicer.modules.segmentations.logic().ExportVisibleSegmentsToLabelmapNode(drawn, labelmap, xrays[1])
    for mask in (drawn, labelmap, [None, inside], [None, tmp_path / "drawn.png"], [None, drawn]):
        first, second = given(logic, xrays, "liver", mask)
        assert first is None and np.array_equal(second, inside), mask
    # A segment of the organ's name counts alone; without one, all do.
    other = drawn.GetSegmentation().AddEmptySegment("spleen", "spleen")
    extra = np.zeros((1, *SIZE), np.uint8)
    extra[0, 60:70, 10:20] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(extra, drawn, other, xrays[1])
    for organ, more in (("liver", 0), ("heart", 100)):
        assert given(logic, xrays, organ, drawn)[1].sum() == inside.sum() + more
    # One X-ray needs no list, and what stands under a transform goes along.
    assert np.array_equal(given(logic, xrays[1], "liver", inside)[0], inside)
    transform = put_under(xrays[1], rigid())
    drawn.SetAndObserveTransformNodeID(transform.GetID())
    assert given(logic, xrays[1], "liver", drawn)[0].sum() == inside.sum()
    drawn.SetAndObserveTransformNodeID(None)
    put_under(drawn, shift(0, 0, 500))
    with pytest.raises(InputError, match="marks no pixel"):
        logic.organShape(xrays[1], "liver", drawn, BallSystem())


def test_what_cannot_be_leaves_the_scene_as_it_was(xrays, logic, scene, state, monkeypatch, tmp_path):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    picture = replace(radiograph_nodes.radiograph_from_node(xrays[0]), name="again")
    derived = radiograph_nodes.radiograph_to_node(picture, "again", "Reprojection")
    before = state()
    for arguments, said in (
        ((xrays, "gills"), "no organ 'gills'"),
        ((None, "liver"), "No radiograph is chosen"),
        ((derived, "liver"), "is no X-ray but a reprojection"),
        ((xrays, "liver", [None]), "1 masks for 2 X-rays"),
        ((xrays, "liver", [None, np.ones((3, 3))]), "3 x 3 pixels"),
        ((xrays, "kidney_left", None, tmp_path / "none.pt"), "none.pt"),
    ):
        with pytest.raises(InputError, match=said):
            logic.organShape(*arguments)
        assert state() == before
