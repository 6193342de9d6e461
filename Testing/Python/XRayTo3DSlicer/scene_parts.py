"""What the tests put into a scene, how they move it there, and what they read from it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from XRayTo3DSlicer.nodes import radiograph_nodes

from XRayTo3DLib.images.labelmap import Labelmap

#: LPS to RAS and back.
RAS = np.array([-1.0, -1.0, 1.0])
#: A detector that holds the shadow of the tests' CT, quickly computed.
SMALL = {"size": (40, 48), "spacing": 12.0}


def turned(x: float, y: float, z: float) -> np.ndarray:
    """A rotation matrix from three angles in degrees."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def rigid():
    """A 4x4 matrix (RAS mm) that turns about all axes and shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = turned(-15, 25, 70)
    matrix[:3, 3] = 100.0, -40.0, 7.0
    return matrix


def shift(x, y, z):
    """A 4x4 matrix (RAS mm) that shifts."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def put_under(node, matrix):
    """Put the node under a new transform with this 4x4 matrix (RAS mm)."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy(matrix.ravel().tolist())
    transform.SetMatrixTransformToParent(vtk_matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


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


def values(grid, dtype=np.int16):
    """Random whole numbers as a CT has them, always the same, [z, y, x]."""
    return np.random.default_rng(3).integers(-1000, 2000, grid.shape).astype(dtype)


def box_map(ct, low=(12, 10, 8), high=(24, 22, 20)):
    """A label map on the CT's grid, 1 in a box of voxels given as (z, y, x)."""
    array = np.zeros(ct.grid.shape, np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return Labelmap(array, ct.grid, {1: "box"})


def sphere_node(centre, radius, name="ball"):
    """A sphere as a model, its centre in LPS mm, as a user draws it: in RAS, and not made by this extension."""
    source = vtk.vtkSphereSource()
    source.SetCenter(-centre[0], -centre[1], centre[2])
    source.SetRadius(radius)
    source.SetThetaResolution(48)
    source.SetPhiResolution(48)
    source.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(source.GetOutput())
    return node


def ijk_to_ras(node):
    """The 4x4 matrix of a volume node as it stands in the scene file."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def attribute(node, key):
    """One of the extension's attributes of a node, as text."""
    return node.GetAttribute(f"XRayTo3D.{key}")


def pixels(node):
    """The line integrals of a radiograph node."""
    return radiograph_nodes.radiograph_from_node(node).line_integrals


def hierarchy() -> slicer.vtkMRMLSubjectHierarchyNode:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def names_in(folder: int) -> list[str]:
    """The names of a folder's items in the subject hierarchy."""
    found = vtk.vtkIdList()
    hierarchy().GetItemChildren(folder, found)
    return [hierarchy().GetItemName(found.GetId(i)) for i in range(found.GetNumberOfIds())]
