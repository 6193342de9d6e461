"""Surfaces, beams and pictures as model nodes, and models as surfaces."""

import json

import numpy as np
import pytest
import vtk
from scene_parts import RAS, put_under
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer.nodes import model_nodes

from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph


def test_surface_there_and_back(scene, labelmap):
    surface = extract_surface(labelmap.mask("body"), labelmap.grid, "body")
    node = model_nodes.surface_to_node(surface)
    in_ras = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
    in_lps = vtk_to_numpy(surface.polydata.GetPoints().GetData())
    np.testing.assert_allclose(in_ras, RAS * in_lps, atol=1e-5)
    back = model_nodes.surface_from_node(node)
    np.testing.assert_allclose(vtk_to_numpy(back.polydata.GetPoints().GetData()), in_lps, atol=1e-5)
    assert (back.name, back.closed, back.cut) == ("body", surface.closed, surface.cut)
    assert back.volume_ml == pytest.approx(surface.volume_ml, rel=1e-4)
    assert json.loads(node.GetAttribute("XRayTo3D.VolumeML")) == surface.volume_ml


def test_surface_volume_follows_the_parent_transform(scene, labelmap):
    surface = extract_surface(labelmap.mask("body"), labelmap.grid, "body")
    node = model_nodes.surface_to_node(surface)
    put_under(node, np.diag([2.0, 1.0, 1.0, 1.0]))
    assert model_nodes.surface_from_node(node).volume_ml == pytest.approx(2 * surface.volume_ml, rel=1e-4)


def test_a_model_of_quads_has_a_volume(scene):
    box = vtk.vtkCubeSource()
    box.SetXLength(10)
    box.SetYLength(20)
    box.SetZLength(30)
    box.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "box")
    node.SetAndObservePolyData(box.GetOutput())
    back = model_nodes.surface_from_node(node)
    assert back.volume_ml == pytest.approx(6.0)
    assert not back.closed


def test_an_empty_model_is_refused(scene):
    with pytest.raises(InputError, match="Nothing has no surface"):
        model_nodes.surface_from_node(scene.AddNewNodeByClass("vtkMRMLModelNode", "Nothing"))


# Beams and pictures


def point_ids(cell):
    return [cell.GetPointId(k) for k in range(cell.GetNumberOfPoints())]


def test_beam_runs_from_the_source_to_the_corners(scene, projection):
    shape = model_nodes.beam_to_node(projection, "beam").GetPolyData()
    points = RAS * vtk_to_numpy(shape.GetPoints().GetData())
    lines = [point_ids(shape.GetCell(i)) for i in range(shape.GetNumberOfCells())]
    rows, columns = projection.size
    outer = np.array([[-0.5, -0.5], [-0.5, columns - 0.5], [rows - 0.5, columns - 0.5], [rows - 0.5, -0.5]])
    corners = projection.pixel_positions(outer)
    if projection.is_cone:
        np.testing.assert_allclose(points, np.vstack([projection.source, corners]), atol=1e-9)
        assert sorted(map(tuple, lines)) == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2, 3, 4, 1)]
    elif projection.is_scanned:
        np.testing.assert_allclose(points[4:], corners, atol=1e-9)
        assert sorted(map(tuple, lines)) == [(0, 2), (0, 4), (1, 5), (2, 6), (3, 7), (4, 5, 6, 7, 4)]
        track = points[2] - points[0]  # as long as the picture is high
        np.testing.assert_allclose(track, rows * projection.spacing[0] * projection.column_direction, atol=1e-9)
        np.testing.assert_allclose((points[0] + points[2]) / 2, projection.source, atol=1e-9)
        for i in range(4):
            assert abs((points[i + 4] - points[i]) @ projection.scan_direction) < 1e-9
    else:
        np.testing.assert_allclose(points[4:8], corners, atol=1e-9)
        for i in range(4):
            along = points[i + 8] - points[i]
            np.testing.assert_allclose(along / np.linalg.norm(along), projection.ray_direction, atol=1e-12)
            np.testing.assert_allclose((points[i] + points[i + 8]) / 2, corners[i], atol=1e-9)
            assert [i, i + 4, i + 8] in lines
        assert [4, 5, 6, 7, 4] in lines


def test_picture_carries_the_pixels_at_their_places(scene, radiograph):
    node = model_nodes.picture_to_node(radiograph, "picture")
    shape = node.GetPolyData()
    points = RAS * vtk_to_numpy(shape.GetPoints().GetData())
    rows, columns = radiograph.projection.size
    index = np.argwhere(np.ones((rows, columns)))
    np.testing.assert_allclose(points, radiograph.projection.pixel_positions(index), atol=1e-9)
    np.testing.assert_array_equal(vtk_to_numpy(shape.GetPointData().GetScalars()), radiograph.line_integrals.ravel())
    assert shape.GetNumberOfCells() == (rows - 1) * (columns - 1)
    area = vtk.vtkMassProperties()
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(shape)
    area.SetInputConnection(triangles.GetOutputPort())
    height, width = (rows - 1) * radiograph.projection.spacing[0], (columns - 1) * radiograph.projection.spacing[1]
    assert area.GetSurfaceArea() == pytest.approx(height * width)
    assert node.GetDisplayNode().GetScalarVisibility() and node.GetDisplayNode().GetVisibility()


def test_a_large_picture_is_thinned_but_keeps_its_corners(scene, projection):
    large = projection.resampled((700, 30), (0.5, 0.5))
    pixels = np.random.default_rng(2).random(large.size).astype(np.float32)
    shape = model_nodes.picture_to_node(Radiograph(pixels, large, "AP"), "picture").GetPolyData()
    assert shape.GetNumberOfPoints() == 256 * 30
    points = RAS * vtk_to_numpy(shape.GetPoints().GetData())
    np.testing.assert_allclose(points[[0, -1]], large.pixel_positions(np.array([[0, 0], [699, 29]])), atol=1e-9)
    assert vtk_to_numpy(shape.GetPointData().GetScalars())[-1] == pixels[699, 29]
