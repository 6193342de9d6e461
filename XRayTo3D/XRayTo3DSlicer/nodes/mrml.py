"""Images and surfaces of MRML nodes as arrays and matrices in LPS mm, and back: the one place that knows Slicer's RAS.

All other modules give and get LPS. What is read is a copy, and stands where the parent transforms of its node put it, as
far as these are linear; :class:`InputError` says what is in the way.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DSlicer.nodes import scene

#: LPS to RAS and back: x and y change their signs.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_FLIP_POINT = np.array([-1.0, -1.0, 1.0])


# Volumes, oriented images and surfaces


def image_to_node(array: np.ndarray, affine: np.ndarray, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node of voxels [z, y, x]; ``affine`` is the 4x4 matrix from voxel index (x, y, z, 1) to LPS mm."""
    image = vtk.vtkImageData()
    _fill(image, array)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    place(node, affine)
    scene.put(node)
    return node


def image_from_node(node: slicer.vtkMRMLScalarVolumeNode, world: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The voxels [z, y, x] and the 4x4 matrix from voxel index (x, y, z, 1) to LPS mm, there or before the parents."""
    dimensions(node)
    image = node.GetImageData()
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{node.GetName()} is a colour or vector image: choose one with a single value a voxel.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    outer = to_world(node) if world else np.eye(4)
    return _array(image), outer @ _FLIP @ _numbers(matrix) @ _first_voxel(image)


def refill(node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray) -> None:
    """Other voxels [z, y, x], of the same number, into the image that a volume node has; views follow, nothing is made anew."""
    slicer.util.arrayFromVolume(node)[:] = array
    slicer.util.arrayFromVolumeModified(node)


def place(node: slicer.vtkMRMLScalarVolumeNode, affine: np.ndarray) -> None:
    """Move a volume node, before its parent transforms, to a 4x4 matrix from voxel index (x, y, z, 1) to LPS mm."""
    node.SetIJKToRASMatrix(_matrix(_FLIP @ affine))


def dimensions(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, int, int]:
    """Columns, rows and slices of a volume node that holds an image."""
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        raise InputError(f"{node.GetName()} holds no image: load it again or choose another volume.")
    return image.GetDimensions()


def oriented_image(array: np.ndarray, affine: np.ndarray) -> slicer.vtkOrientedImageData:
    """The image of a segment from voxels [z, y, x] and their matrix to LPS mm, its slices in the order Slicer wants."""
    image = slicer.vtkOrientedImageData()
    array, affine = _right_handed(array, affine)
    _fill(image, array)
    image.SetImageToWorldMatrix(_matrix(_FLIP @ affine))
    return image


def from_oriented_image(image: slicer.vtkOrientedImageData, node: slicer.vtkMRMLSegmentationNode) -> tuple[np.ndarray, np.ndarray]:
    """The voxels [z, y, x] of an image of a segmentation node and their matrix to LPS mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return _array(image), to_world(node) @ _FLIP @ _numbers(matrix) @ _first_voxel(image)


def polydata_to_node(polydata: vtk.vtkPolyData, name: str) -> slicer.vtkMRMLModelNode:
    """A model node of points in LPS mm."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(_transformed(polydata, _FLIP))
    scene.put(node)
    return node


def polydata_from_node(node: slicer.vtkMRMLModelNode) -> vtk.vtkPolyData:
    """The surface of a model node with its points in LPS mm."""
    polydata = node.GetPolyData()
    if polydata is None or polydata.GetNumberOfPolys() == 0:
        raise InputError(f"The model {node.GetName()} has no surface: choose another one.")
    return _transformed(polydata, to_world(node) @ _FLIP)


# Markups


def markups_to_node(kind: str, positions: np.ndarray, name: str) -> slicer.vtkMRMLMarkupsNode:
    """A markups node of class ``kind`` with a control point for each of ``positions`` (LPS mm, (N, 3); NaN: not placed yet)."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    with slicer.util.NodeModify(node):
        for index, position in enumerate(positions):
            node.AddControlPoint(vtk.vtkVector3d(*_FLIP_POINT * np.nan_to_num(position)))
            if not np.isfinite(position).all():
                node.UnsetNthControlPointPosition(index)
    scene.put(node)
    return node


def markups_from_node(node: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """LPS mm of the control points (N, 3), where their parent transforms put them; NaN for those that are not placed."""
    found = np.full((node.GetNumberOfControlPoints(), 3), np.nan)
    for index in range(len(found)):
        if node.GetNthControlPointPositionStatus(index) in (node.PositionDefined, node.PositionPreview):
            found[index] = _FLIP_POINT * node.GetNthControlPointPositionWorld(index)
    return found


def move_markup(node: slicer.vtkMRMLMarkupsNode, index: int, position: np.ndarray) -> None:
    """Put a control point to LPS mm, whatever its parent transforms are; NaN: it is not placed any more."""
    if np.isfinite(position).all():
        node.SetNthControlPointPositionWorld(index, *(_FLIP_POINT * position))
    else:
        node.UnsetNthControlPointPosition(index)


# Matrices


def grid(array: np.ndarray, affine: np.ndarray) -> Grid:
    """The grid of voxels [z, y, x] whose 4x4 matrix from voxel index to LPS mm is given."""
    return Grid.from_affine(affine, array.shape[::-1])


def to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4x4 matrix (LPS mm) of all parent transforms together."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(f"{node.GetName()} has a non-linear transform: harden it (Transforms module) and try again.")
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    world = _numbers(matrix)
    if not _invertible(world):
        raise InputError(f"The transform {_culprit(parent).GetName()} of {node.GetName()} is singular: correct it.")
    if np.abs(world[3] - [0.0, 0.0, 0.0, 1.0]).max() > 1e-9:
        raise InputError(f"The transform {parent.GetName()} of {node.GetName()} is a perspective: use a rigid or affine one.")
    if np.linalg.det(world[:3, :3]) < 0:
        raise InputError(
            f"The transforms of {node.GetName()} mirror it, which exchanges the patient's left and right: correct them, or "
            "harden them (Transforms module) if that is meant."
        )
    return _FLIP @ world @ _FLIP


def _culprit(parent: slicer.vtkMRMLTransformNode) -> slicer.vtkMRMLTransformNode:
    """The first of a chain of transforms that cannot be inverted by itself, or else the first."""
    first, matrix = parent, vtk.vtkMatrix4x4()
    while parent is not None:
        parent.GetMatrixTransformToParent(matrix)
        if not _invertible(_numbers(matrix)):
            return parent
        parent = parent.GetParentTransformNode()
    return first


def _invertible(matrix: np.ndarray) -> bool:
    """Whether a 4x4 matrix is finite and flattens no direction, whatever its scale."""
    if not np.isfinite(matrix).all():
        return False
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    return bool(scales[-1] > 1e-6 * scales[0])


def _right_handed(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places with the slices in the order that Slicer's surfaces need to face outwards."""
    if np.linalg.det(affine[:3, :3]) > 0:
        return array, affine
    turn = np.diag([1.0, 1.0, -1.0, 1.0])
    turn[2, 3] = array.shape[0] - 1
    return array[::-1], affine @ turn


def _first_voxel(image: vtk.vtkImageData) -> np.ndarray:
    """4x4 matrix that counts voxels from the first one, because an image's extent need not begin at 0."""
    shift = np.eye(4)
    shift[:3, 3] = image.GetExtent()[::2]
    return shift


def _matrix(numbers: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(numbers.ravel().tolist())
    return matrix


def _numbers(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


# What VTK holds


def _fill(image: vtk.vtkImageData, array: np.ndarray) -> None:
    """Copy [z, y, x] into an image; what VTK and NRRD do not share becomes float32."""
    known = (array.dtype.kind in "iu" and array.dtype.itemsize <= 4) or array.dtype in (np.float32, np.float64)
    values = np.ascontiguousarray(array if known else array.astype(np.float32))
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))


def _array(image: vtk.vtkImageData) -> np.ndarray:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).copy()


def _transformed(polydata: vtk.vtkPolyData, matrix: np.ndarray) -> vtk.vtkPolyData:
    transform = vtk.vtkTransform()
    transform.SetMatrix(_matrix(matrix))
    apply = vtk.vtkTransformPolyDataFilter()
    apply.SetTransform(transform)
    apply.SetInputData(polydata)
    apply.Update()
    return apply.GetOutput()
