"""Every kind of node there and back, at the right place in RAS."""

import json

import numpy as np
import pytest
import slicer
import vtk
from conftest import turned
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer import display, nodes, provenance

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid
from XRayTo3DLib.images import MU_WATER, Labelmap, Volume, to_attenuation
from XRayTo3DLib.radiographs import Radiograph
from XRayTo3DLib.surfaces import extract_surface

RAS = np.array([-1.0, -1.0, 1.0])


def values(grid, dtype=np.int16):
    return np.random.default_rng(3).integers(-1000, 2000, grid.shape).astype(dtype)


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def put_under(node, matrix):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy(matrix.ravel().tolist())
    transform.SetMatrixTransformToParent(vtk_matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def rigid():
    matrix = np.eye(4)
    matrix[:3, :3] = turned(-15, 25, 70)
    matrix[:3, 3] = 100.0, -40.0, 7.0
    return matrix


def bend(node):
    """Put the node under a transform that is not linear."""
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for point in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (20, 20, 9)):
        points.InsertNextPoint(point)
    spline.SetSourceLandmarks(points)
    moved = vtk.vtkPoints()
    moved.DeepCopy(points)
    moved.SetPoint(4, 25, 20, 9)
    spline.SetTargetLandmarks(moved)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformFromParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())


# Volumes


@pytest.mark.parametrize("kind", ["oblique", "left_handed"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_volume_there_and_back(scene, request, kind, dtype):
    grid = request.getfixturevalue(kind)
    volume = Volume(values(grid, dtype), grid)
    node = nodes.volume_to_node(volume, "CT")
    back = nodes.volume_from_node(node)
    assert back.grid.same_as(grid, 1e-6)
    assert back.unit == "HU" and back.array.dtype == dtype
    np.testing.assert_array_equal(back.array, volume.array)


def test_volume_voxels_stand_where_lps_says(scene, oblique):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    for index in ((0, 0, 0), (6, 5, 4), (3, 0, 1)):
        lps = oblique.affine @ [*index, 1]
        np.testing.assert_allclose((ijk_to_ras(node) @ [*index, 1])[:3], RAS * lps[:3], atol=1e-9)
        x, y, z = index
        assert node.GetImageData().GetScalarComponentAsDouble(x, y, z, 0) == values(oblique)[z, y, x]


def test_volume_is_a_copy(scene, oblique):
    array = values(oblique)
    node = nodes.volume_to_node(Volume(array, oblique), "CT")
    kept = array.copy()
    array[:] = 0
    first = nodes.volume_from_node(node).array
    np.testing.assert_array_equal(first, kept)
    first[:] = 1
    np.testing.assert_array_equal(nodes.volume_from_node(node).array, kept)


def test_volume_follows_its_parent_transforms(scene, oblique):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    outer, inner = rigid(), np.diag([2.0, 1.0, 0.5, 1.0])
    transform = put_under(node, inner)
    put_under(transform, outer)
    back = nodes.volume_from_node(node)
    corner = np.append(RAS, 1) * (oblique.affine @ [6, 0, 4, 1])
    expected = (outer @ inner @ corner)[:3] * RAS
    np.testing.assert_allclose((back.grid.affine @ [6, 0, 4, 1])[:3], expected, atol=1e-6)
    np.testing.assert_allclose((ijk_to_ras(node) @ [6, 0, 4, 1]), corner, atol=1e-9)  # the node itself is not hardened


def test_volume_under_a_bent_transform_is_refused(scene, oblique):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT 7")
    bend(node)
    with pytest.raises(InputError, match=r"CT 7 .*non-linear.*harden"):
        nodes.volume_from_node(node)


@pytest.mark.parametrize(
    "matrix", [np.diag([1.0, 1.0, 0.0, 1.0]), np.diag([1.0, np.nan, 1.0, 1.0]), np.diag([np.inf, 1.0, 1.0, 1.0])]
)
@pytest.mark.filterwarnings("error")
def test_volume_under_a_singular_transform_is_refused(scene, oblique, matrix):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT 7")
    inner = put_under(node, rigid())
    inner.SetName("good")
    put_under(inner, matrix).SetName("flat")
    with pytest.raises(InputError, match=r"^The transform flat of CT 7 is singular: correct it\.$"):
        nodes.volume_from_node(node)


def test_volume_whose_image_does_not_begin_at_zero(scene, oblique):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    node.GetImageData().SetExtent(2, 8, -1, 4, 3, 7)
    back = nodes.volume_from_node(node)
    np.testing.assert_allclose(back.grid.origin, (oblique.affine @ [2, -1, 3, 1])[:3], atol=1e-9)


def test_reconstruction_is_shown_in_hu_and_its_attenuation_comes_back(scene, oblique):
    mu = np.random.default_rng(0).uniform(0, 2 * MU_WATER, oblique.shape).astype(np.float32)
    node = nodes.volume_to_node(Volume(mu, oblique, "1/mm"), "Reconstruction")
    assert node.GetAttribute("XRayTo3D.Unit") == "HU"
    assert node.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"
    np.testing.assert_allclose(to_attenuation(nodes.volume_from_node(node)).array, mu, atol=1e-8)
    shown = node.GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel()) == (display.CT_WINDOW, display.CT_LEVEL)
    assert not shown.GetAutoWindowLevel()


def test_deviation_is_zero_where_nothing_is_uncertain(scene, oblique):
    deviation = np.zeros(oblique.shape, np.float32)
    deviation[2, 2, 2] = MU_WATER / 10
    node = nodes.deviation_to_node(Volume(deviation, oblique, "1/mm"), "Uncertainty")
    back = nodes.volume_from_node(node).array
    assert back[2, 2, 2] == pytest.approx(100) and back.sum() == pytest.approx(100)


@pytest.mark.parametrize("content", ["nothing", "colour"])
def test_volume_without_one_value_a_voxel_is_refused(scene, content):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Photo")
    if content == "colour":
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match=r"Photo (holds no image|is a colour)"):
        nodes.volume_from_node(node)


# Radiographs


@pytest.fixture
def radiograph(projection):
    pixels = np.random.default_rng(1).random(projection.size).astype(np.float32)
    return Radiograph(pixels, projection, "AP", calibrated=False, notes=("a note",))


def same(one, other, tolerance=0.0):
    names = ("origin", "row_direction", "column_direction", "spacing", "size", "source", "ray_direction")
    for name in names:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


def test_radiograph_there_and_back(scene, radiograph):
    back = nodes.radiograph_from_node(nodes.radiograph_to_node(radiograph, "front"))
    same(back.projection, radiograph.projection, 1e-12)
    np.testing.assert_array_equal(back.line_integrals, radiograph.line_integrals)
    assert (back.name, back.calibrated, back.notes) == ("AP", False, ("a note",))


def test_radiograph_stands_at_its_detector(scene, radiograph):
    node = nodes.radiograph_to_node(radiograph, "front")
    rows, columns = radiograph.projection.size
    assert node.GetImageData().GetDimensions() == (columns, rows, 1)
    for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)):
        lps = radiograph.projection.pixel_positions(np.array([[row, column]]))[0]
        np.testing.assert_allclose((ijk_to_ras(node) @ [column, row, 0, 1])[:3], RAS * lps, atol=1e-9)
        shown = node.GetImageData().GetScalarComponentAsFloat(column, row, 0, 0)
        assert shown == radiograph.line_integrals[row, column]


def test_radiograph_is_shown_from_black_to_white(scene, radiograph):
    shown = nodes.radiograph_to_node(radiograph, "front").GetDisplayNode()
    assert shown.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    low, high = shown.GetWindowLevelMin(), shown.GetWindowLevelMax()
    assert 0 <= low < 0.05 and 0.95 < high <= 1


def test_residual_is_grey_where_it_is_zero(scene, radiograph):
    rest = Radiograph(radiograph.line_integrals - 0.2, radiograph.projection, "AP")
    node = nodes.radiograph_to_node(rest, "rest", provenance.RESIDUAL)
    assert node.GetDisplayNode().GetLevel() == pytest.approx(0)


def test_radiograph_moves_with_its_rigid_transform(scene, radiograph):
    node = nodes.radiograph_to_node(radiograph, "front")
    put_under(node, rigid())
    back = nodes.radiograph_from_node(node)
    lps = np.diag([-1, -1, 1, 1]) @ rigid() @ np.diag([-1, -1, 1, 1])
    points = np.random.default_rng(5).uniform(-60, 60, (6, 3))
    moved = points @ lps[:3, :3].T + lps[:3, 3]
    np.testing.assert_allclose(back.projection.project(moved), radiograph.projection.project(points), atol=1e-8)
    np.testing.assert_allclose(back.projection.origin, lps[:3, :3] @ radiograph.projection.origin + lps[:3, 3], atol=1e-9)


def test_radiograph_under_a_scaling_is_refused(scene, radiograph):
    node = nodes.radiograph_to_node(radiograph, "front")
    put_under(node, np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(InputError, match=r"front .*not rigid"):
        nodes.radiograph_from_node(node)


def test_radiograph_that_was_moved_is_refused(scene, radiograph):
    node = nodes.radiograph_to_node(radiograph, "front")
    node.SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(InputError, match=r"front was moved, cropped or resampled"):
        nodes.radiograph_from_node(node)


def test_set_projection_moves_the_node(scene, radiograph):
    node = nodes.radiograph_to_node(radiograph, "front")
    other = radiograph.projection.resampled(radiograph.projection.size, (0.5, 0.75))
    nodes.set_projection(node, other)
    same(nodes.radiograph_from_node(node).projection, other, 1e-12)
    with pytest.raises(InputError, match="9 rows and 14 columns"):
        nodes.set_projection(node, other.resampled((4, 4), (1.0, 1.0)))
    same(nodes.radiograph_from_node(node).projection, other, 1e-12)


def test_a_volume_is_no_radiograph(scene, oblique):
    node = nodes.volume_to_node(Volume(values(oblique), oblique), "CT")
    with pytest.raises(InputError, match="CT has no projection geometry"):
        nodes.radiograph_from_node(node)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"origin": [0, 0, 0]}'])
def test_a_damaged_projection_is_refused(scene, radiograph, text):
    node = nodes.radiograph_to_node(radiograph, "front")
    node.SetAttribute("XRayTo3D.Projection", text)
    with pytest.raises(InputError, match="front"):
        nodes.radiograph_from_node(node)


# Segmentations


@pytest.fixture(params=["oblique", "left_handed"])
def labelmap(request):
    grid = request.getfixturevalue(request.param)
    grid = Grid((16, 14, 12), grid.spacing, grid.origin, grid.direction)
    array = np.zeros(grid.shape, np.uint8)
    array[2:10, 2:12, 2:13] = 1
    array[4:8, 4:8, 4:9] = 3
    array[4:8, 9:11, 4:9] = 7
    return Labelmap(array, grid, {1: "body", 3: "lungs", 7: "spleen", 9: "bone"})


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
    node = nodes.segmentation_to_node(labelmap, "Structures")
    back = nodes.segmentation_from_node(node)
    assert back.names == labelmap.names
    assert back.array.dtype == np.uint8
    index = np.argwhere(np.ones(labelmap.grid.shape))[:, ::-1]
    points = np.column_stack([index, np.ones(len(index))]) @ labelmap.grid.affine.T
    np.testing.assert_array_equal(labels_at(back, points[:, :3]), labelmap.array.ravel())
    corners = [sorted(map(tuple, grid.corners.round(6))) for grid in (back.grid, labelmap.grid)]
    np.testing.assert_allclose(*corners, atol=1e-6)


def test_segments_have_surfaces_colours_and_codes(scene, labelmap):
    node = nodes.segmentation_to_node(labelmap, "Structures")
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
    node = nodes.segmentation_to_node(labelmap, "Structures")
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("lungs", surface)
    assert enclosed(surface) > 0


def test_thin_structures_keep_their_surface(scene):
    grid = Grid((24, 10, 10), (4.0, 4.0, 4.0))
    array = np.zeros(grid.shape, np.uint8)
    array[4:6, 4:6, 2:22] = 1  # a rib, two voxels thick
    node = nodes.segmentation_to_node(Labelmap(array, grid, {1: "bone"}), "Rib")
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("bone", surface)
    assert enclosed(surface) > 0.7 * np.count_nonzero(array) * grid.voxel_volume


def test_segmentation_follows_its_parent_transform(scene, oblique):
    array = np.zeros(oblique.shape, np.uint8)
    array[1:4, 1:5, 1:6] = 1
    node = nodes.segmentation_to_node(Labelmap(array, oblique, {1: "body"}), "Structures")
    put_under(node, rigid())
    back = nodes.segmentation_from_node(node)
    lps = np.diag([-1, -1, 1, 1]) @ rigid() @ np.diag([-1, -1, 1, 1])
    np.testing.assert_allclose(back.grid.affine, lps @ oblique.affine, atol=1e-6)
    np.testing.assert_array_equal(back.array, array)


def test_segments_drawn_by_a_user_are_numbered_in_order(scene, labelmap):
    node = nodes.segmentation_to_node(labelmap, "Structures")
    extra = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation("spleen", extra)
    node.AddSegmentFromBinaryLabelmapRepresentation(extra, "copy")  # in its own layer, with the label 1 again
    back = nodes.segmentation_from_node(node)
    assert back.names == {1: "body", 2: "lungs", 3: "spleen", 4: "bone", 5: "copy"}
    assert back.mask("copy").sum() == labelmap.mask("spleen").sum()
    assert back.mask("lungs").sum() == labelmap.mask("lungs").sum()


def test_an_empty_segmentation_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing")
    with pytest.raises(InputError, match="Nothing has no segment"):
        nodes.segmentation_from_node(node)


# Surfaces


def test_surface_there_and_back(scene, labelmap):
    surface = extract_surface(labelmap.mask("body"), labelmap.grid, "body")
    node = nodes.surface_to_node(surface)
    in_ras = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
    in_lps = vtk_to_numpy(surface.polydata.GetPoints().GetData())
    np.testing.assert_allclose(in_ras, RAS * in_lps, atol=1e-5)
    back = nodes.surface_from_node(node)
    np.testing.assert_allclose(vtk_to_numpy(back.polydata.GetPoints().GetData()), in_lps, atol=1e-5)
    assert (back.name, back.closed, back.cut) == ("body", surface.closed, surface.cut)
    assert back.volume_ml == pytest.approx(surface.volume_ml, rel=1e-4)
    assert json.loads(node.GetAttribute("XRayTo3D.VolumeML")) == surface.volume_ml


def test_surface_volume_follows_the_parent_transform(scene, labelmap):
    surface = extract_surface(labelmap.mask("body"), labelmap.grid, "body")
    node = nodes.surface_to_node(surface)
    put_under(node, np.diag([2.0, 1.0, 1.0, 1.0]))
    assert nodes.surface_from_node(node).volume_ml == pytest.approx(2 * surface.volume_ml, rel=1e-4)


def test_a_model_of_quads_has_a_volume(scene):
    box = vtk.vtkCubeSource()
    box.SetXLength(10)
    box.SetYLength(20)
    box.SetZLength(30)
    box.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "box")
    node.SetAndObservePolyData(box.GetOutput())
    back = nodes.surface_from_node(node)
    assert back.volume_ml == pytest.approx(6.0)
    assert not back.closed


def test_an_empty_model_is_refused(scene):
    with pytest.raises(InputError, match="Nothing has no surface"):
        nodes.surface_from_node(scene.AddNewNodeByClass("vtkMRMLModelNode", "Nothing"))


# Beams and pictures


def point_ids(cell):
    return [cell.GetPointId(k) for k in range(cell.GetNumberOfPoints())]


def test_beam_runs_from_the_source_to_the_corners(scene, projection):
    shape = nodes.beam_to_node(projection, "beam").GetPolyData()
    points = RAS * vtk_to_numpy(shape.GetPoints().GetData())
    lines = [point_ids(shape.GetCell(i)) for i in range(shape.GetNumberOfCells())]
    rows, columns = projection.size
    outer = np.array([[-0.5, -0.5], [-0.5, columns - 0.5], [rows - 0.5, columns - 0.5], [rows - 0.5, -0.5]])
    corners = projection.pixel_positions(outer)
    if projection.is_cone:
        np.testing.assert_allclose(points, np.vstack([projection.source, corners]), atol=1e-9)
        assert sorted(map(tuple, lines)) == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2, 3, 4, 1)]
    else:
        np.testing.assert_allclose(points[4:8], corners, atol=1e-9)
        for i in range(4):
            along = points[i + 8] - points[i]
            np.testing.assert_allclose(along / np.linalg.norm(along), projection.ray_direction, atol=1e-12)
            np.testing.assert_allclose((points[i] + points[i + 8]) / 2, corners[i], atol=1e-9)
            assert [i, i + 4, i + 8] in lines
        assert [4, 5, 6, 7, 4] in lines


def test_picture_carries_the_pixels_at_their_places(scene, radiograph):
    node = nodes.picture_to_node(radiograph, "picture")
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
    shape = nodes.picture_to_node(Radiograph(pixels, large, "AP"), "picture").GetPolyData()
    assert shape.GetNumberOfPoints() == 256 * 30
    points = RAS * vtk_to_numpy(shape.GetPoints().GetData())
    np.testing.assert_allclose(points[[0, -1]], large.pixel_positions(np.array([[0, 0], [699, 29]])), atol=1e-9)
    assert vtk_to_numpy(shape.GetPointData().GetScalars())[-1] == pixels[699, 29]
