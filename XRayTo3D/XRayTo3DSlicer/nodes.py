"""Library objects to and from MRML nodes of the current scene; the one place where LPS meets Slicer's RAS.

Functions that make a node copy what they are given and return the node, shown and in the subject hierarchy. Functions
that read a node copy too, follow its parent transform as far as that is linear, and raise :class:`InputError` for a
node that does not hold what they need.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid, Projection
from XRayTo3DLib.images import MU_WATER, Labelmap, Volume, to_hu
from XRayTo3DLib.radiographs import Radiograph
from XRayTo3DLib.surfaces import Surface
from XRayTo3DSlicer import display, provenance, scene, shapes

#: LPS to RAS and back: x and y change their signs.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
#: A radiograph is a volume with one slice of this thickness in mm, in the plane of its detector.
_SLICE_MM = 1.0
#: A radiograph counts as moved when a corner of its image lies further from where its geometry says, in mm.
_MOVED_MM = 1e-2
#: Smoothing of closed surfaces. Slicer's own 0.5 makes what is two voxels thick vanish, as ribs on 4 mm voxels are.
_SMOOTHING = "0.2"
#: A labelmap has eight bits.
_LARGEST_LABEL = 255


# Volumes


def volume_to_node(volume: Volume, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A CT or a reconstruction as a volume in HU; attenuation is converted and comes back with ``to_attenuation``."""
    node = _hu_to_node(to_hu(volume).array, volume.grid, name)
    display.show_volume(node, display.CT_WINDOW, display.CT_LEVEL)
    return node


def deviation_to_node(deviation: Volume, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A standard deviation of attenuation (1/mm) as a volume in HU, 0 where nothing is uncertain."""
    values = (deviation.array * (1000 / MU_WATER)).astype(np.float32)
    node = _hu_to_node(values, deviation.grid, name)
    provenance.write(node, Type=provenance.DEVIATION)
    high = max(float(np.percentile(values, 99.5)), 1.0)
    display.show_volume(node, high, high / 2)
    return node


def _hu_to_node(values: np.ndarray, grid: Grid, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    node = _image_to_node(values, grid.affine, name)
    node.SetVoxelValueQuantity(_coded("DCM", "112031", "Attenuation Coefficient"))
    node.SetVoxelValueUnits(_coded("UCUM", "[hnsf'U]", "Hounsfield unit"))
    provenance.write(node, Unit="HU")
    return node


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The CT of a volume node, in HU, where its parent transform puts it."""
    array, affine = _image_from_node(node)
    return Volume(array, _grid(array, affine), "HU")


# Radiographs


def radiograph_to_node(radiograph: Radiograph, name: str, kind: str = provenance.RADIOGRAPH) -> slicer.vtkMRMLScalarVolumeNode:
    """A radiograph as a volume with one slice, standing in 3D where its detector is.

    ``kind`` is the node's attribute Type: a radiograph, its re-projection, the difference of both, or a single structure.
    """
    values = radiograph.line_integrals.astype(np.float32)
    node = _image_to_node(values[np.newaxis], _detector_affine(radiograph.projection), name)
    provenance.write(node, Type=kind, View=radiograph.name, Calibrated=radiograph.calibrated)
    provenance.write(node, Projection=provenance.projection_to_text(radiograph.projection), Notes=radiograph.notes)
    if kind == provenance.STRUCTURE:  # most of the picture is empty
        low, high = 0.0, max(float(values.max()), 1e-6)
    else:
        low, high = display.symmetric_range(values) if kind == provenance.RESIDUAL else display.grey_range(values)
    display.show_volume(node, high - low, (high + low) / 2)
    return node


def set_projection(node: slicer.vtkMRMLScalarVolumeNode, projection: Projection) -> None:
    """Give a radiograph node another geometry (of the same size) and move it there."""
    columns, rows, _ = _dimensions(node)
    if projection.size != (rows, columns):
        raise InputError(f"{node.GetName()} has {rows} rows and {columns} columns but its geometry {projection.size}: correct it.")
    node.SetIJKToRASMatrix(_matrix(_FLIP @ _detector_affine(projection)))
    provenance.write(node, Projection=provenance.projection_to_text(projection))


def radiograph_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Radiograph:
    """The radiograph of a node that :func:`radiograph_to_node` made, with exactly its projection.

    A rigid parent transform moves source and detector together. A node whose own geometry was changed since is refused,
    because nobody knows where its source is then.
    """
    text = provenance.read(node, "Projection")
    if text is None:
        raise InputError(f"{node.GetName()} has no projection geometry, so it is no radiograph: load it as one, or make a DRR.")
    projection = provenance.projection_from_text(text, node.GetName())
    array, stands = _image_from_node(node, world=False)
    if array.shape[1:] != projection.size or array.shape[0] != 1 or _apart(stands, projection) > _MOVED_MM:
        raise InputError(
            f"{node.GetName()} was moved, cropped or resampled after its geometry was set: load it again, or set the "
            "geometry again."
        )
    world = _to_world(node)
    if not np.array_equal(world, np.eye(4)):
        projection = _moved(projection, _FLIP @ world @ _FLIP, node.GetName())
    calibrated = bool(json.loads(provenance.read(node, "Calibrated") or "true"))
    notes = tuple(json.loads(provenance.read(node, "Notes") or "[]"))
    return Radiograph(array[0].astype(np.float32), projection, provenance.read(node, "View") or node.GetName(), calibrated, notes)


def _detector_affine(projection: Projection) -> np.ndarray:
    """4x4 matrix from (column, row, 0, 1) to LPS mm; the third axis is the detector's normal."""
    affine = np.eye(4)
    affine[:3, 0] = projection.row_direction * projection.spacing[1]
    affine[:3, 1] = projection.column_direction * projection.spacing[0]
    affine[:3, 2] = projection.normal * _SLICE_MM
    affine[:3, 3] = projection.origin
    return affine


def _apart(affine: np.ndarray, projection: Projection) -> float:
    """How far, in mm, two placements of a detector differ at its corners."""
    rows, columns = projection.size
    corners = np.array([[c, r, 0, 1] for c in (0, columns - 1) for r in (0, rows - 1)], dtype=float)
    return float(np.abs(corners @ (affine - _detector_affine(projection)).T).max())


def _moved(projection: Projection, world: np.ndarray, name: str) -> Projection:
    turn, shift = world[:3, :3], world[:3, 3]
    if np.abs(turn.T @ turn - np.eye(3)).max() > 1e-6:
        raise InputError(f"The transform of {name} is not rigid, which no X-ray system is: use a rigid transform.")
    return Projection(
        turn @ projection.origin + shift,
        turn @ projection.row_direction,
        turn @ projection.column_direction,
        projection.spacing,
        projection.size,
        None if projection.source is None else turn @ projection.source + shift,
        None if projection.ray_direction is None else turn @ projection.ray_direction,
    )


# Segmentations


def segmentation_to_node(labelmap: Labelmap, name: str) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation with a binary labelmap and a closed surface of each structure, in the labels' order."""
    image = slicer.vtkOrientedImageData()
    array, affine = _right_handed(labelmap.array.astype(np.uint8), labelmap.grid.affine)
    _fill(image, array)
    image.SetImageToWorldMatrix(_matrix(_FLIP @ affine))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    segmentation.SetConversionParameter(_GEOMETRY, slicer.vtkSegmentationConverter.SerializeImageGeometry(image))
    segmentation.SetConversionParameter("Smoothing factor", _SMOOTHING)
    for order, (label, structure) in enumerate(labelmap.names.items()):
        segment = slicer.vtkSegment()
        segment.SetName(structure)
        segment.SetColor(*display.structure_colour(structure, order))
        segment.SetLabelValue(label)
        # All segments share the one image: that is how Slicer stores segments that do not overlap.
        segment.AddRepresentation(_LABELMAP, image)
        code = display.terminology(structure)
        if code is not None:
            segment.SetTag(segment.GetTerminologyEntryTagName(), code)
        segmentation.AddSegment(segment, structure)
        node.GetDisplayNode().SetSegmentOpacity3D(structure, display.structure_opacity(structure))
    node.CreateClosedSurfaceRepresentation()
    provenance.write(node, Type=provenance.SEGMENTATION)
    scene.put(node)
    return node


def segmentation_from_node(node: slicer.vtkMRMLSegmentationNode) -> Labelmap:
    """The labelmap of a segmentation on its reference geometry; where segments overlap, the later one counts.

    Labels are the segments' own where these are all different, and else 1, 2, 3 and so on in the segments' order.
    """
    return _merged(node, range(_segment_count(node)))


def structures_from_node(node: slicer.vtkMRMLSegmentationNode) -> list[Labelmap]:
    """The segments whole: in one labelmap where none can overlap, else in one each, on the reference geometry."""
    count = _segment_count(node)
    if node.GetSegmentation().GetNumberOfLayers() == 1 and count <= _LARGEST_LABEL:
        return [_merged(node, range(count))]
    return [_merged(node, [index]) for index in range(count)]


def _segment_count(node: slicer.vtkMRMLSegmentationNode) -> int:
    count = node.GetSegmentation().GetNumberOfSegments()
    if not count:
        raise InputError(f"The segmentation {node.GetName()} has no segment: add one.")
    return count


def _merged(node: slicer.vtkMRMLSegmentationNode, chosen: Sequence[int]) -> Labelmap:
    """Some segments, by their numbers, as one labelmap."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in chosen]
    labels = [segment.GetLabelValue() for segment in segments]
    if len(set(labels)) < len(labels) or not all(0 < label <= _LARGEST_LABEL for label in labels):
        labels = list(range(1, len(segments) + 1))
    if len(labels) > _LARGEST_LABEL:
        raise InputError(
            f"The segmentation {node.GetName()} has {len(labels)} segments: at most {_LARGEST_LABEL} are possible; split it."
        )
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for index, label in zip(chosen, labels, strict=True):
        ids.InsertNextValue(segmentation.GetNthSegmentID(index))
        values.InsertNextValue(label)
    merged = slicer.vtkOrientedImageData()
    whole = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    if not node.GenerateMergedLabelmapForAllSegments(merged, whole, None, ids, values):
        raise InputError(f"The segmentation {node.GetName()} has no binary labelmap: create that representation.")
    matrix = vtk.vtkMatrix4x4()
    merged.GetImageToWorldMatrix(matrix)
    array = _array(merged).astype(np.uint8)
    affine = _FLIP @ _to_world(node) @ _numbers(matrix) @ _first_voxel(merged)
    names = {label: segment.GetName() for label, segment in zip(labels, segments, strict=True)}
    return Labelmap(array, _grid(array, affine), names)


_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()


# Surfaces and shapes


def surface_to_node(surface: Surface, order: int = 0) -> slicer.vtkMRMLModelNode:
    """A surface as a model; its name, or else ``order``, gives the colour."""
    node = _model(surface.polydata, surface.name, provenance.SURFACE)
    provenance.write(node, VolumeML=surface.volume_ml, Closed=surface.closed, Cut=surface.cut)
    display.show_surface(node, order)
    return node


def surface_from_node(node: slicer.vtkMRMLModelNode) -> Surface:
    """The surface of a model, where its parent transform puts it, with the volume that it has there.

    A model that this extension did not make counts as not known to be closed.
    """
    polydata = node.GetPolyData()
    if polydata is None or polydata.GetNumberOfPolys() == 0:
        raise InputError(f"The model {node.GetName()} has no surface: choose another one.")
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(_transformed(polydata, _FLIP @ _to_world(node)))
    triangles.Update()
    moved = triangles.GetOutput()
    mass = vtk.vtkMassProperties()
    mass.SetInputData(moved)
    mass.Update()
    closed, cut = (json.loads(provenance.read(node, key) or "false") for key in ("Closed", "Cut"))
    return Surface(moved, node.GetName(), mass.GetVolume() / 1000, closed, cut)


def beam_to_node(projection: Projection, name: str) -> slicer.vtkMRMLModelNode:
    """The detector's outline and the edges of the beam as a model."""
    node = _model(shapes.beam(projection), name, provenance.BEAM)
    display.show_beam(node)
    return node


def picture_to_node(radiograph: Radiograph, name: str) -> slicer.vtkMRMLModelNode:
    """The radiograph as a grey surface at its detector, to be seen in 3D beside the beam."""
    node = _model(shapes.picture(radiograph), name, provenance.PICTURE)
    display.show_picture(node, *display.grey_range(radiograph.line_integrals))
    return node


def _model(polydata: vtk.vtkPolyData, name: str, kind: str) -> slicer.vtkMRMLModelNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(_transformed(polydata, _FLIP))
    provenance.write(node, Type=kind)
    scene.put(node)
    return node


def _transformed(polydata: vtk.vtkPolyData, matrix: np.ndarray) -> vtk.vtkPolyData:
    transform = vtk.vtkTransform()
    transform.SetMatrix(_matrix(matrix))
    apply = vtk.vtkTransformPolyDataFilter()
    apply.SetTransform(transform)
    apply.SetInputData(polydata)
    apply.Update()
    return apply.GetOutput()


# Images and matrices


def _image_to_node(array: np.ndarray, affine: np.ndarray, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    image = vtk.vtkImageData()
    _fill(image, array)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(_matrix(_FLIP @ affine))
    scene.put(node)
    return node


def _image_from_node(node: slicer.vtkMRMLScalarVolumeNode, world: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the voxels [z, y, x] and the 4x4 matrix from voxel index (x, y, z, 1) to LPS mm."""
    _dimensions(node)
    image = node.GetImageData()
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{node.GetName()} is a colour or vector image: choose one with a single value a voxel.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    outer = _to_world(node) if world else np.eye(4)
    return _array(image), _FLIP @ outer @ _numbers(matrix) @ _first_voxel(image)


def _dimensions(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, int, int]:
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        raise InputError(f"{node.GetName()} holds no image: load it again or choose another volume.")
    return image.GetDimensions()


def _to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4x4 RAS matrix of all parent transforms together."""
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
    return world


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


def _grid(array: np.ndarray, affine: np.ndarray) -> Grid:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return Grid(array.shape[::-1], tuple(spacing), tuple(affine[:3, 3]), affine[:3, :3] / spacing)


def _right_handed(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places with the slices in the order that Slicer's surfaces need to face outwards."""
    if np.linalg.det(affine[:3, :3]) > 0:
        return array, affine
    turn = np.diag([1.0, 1.0, -1.0, 1.0])
    turn[2, 3] = array.shape[0] - 1
    return array[::-1], affine @ turn


def _fill(image: vtk.vtkImageData, array: np.ndarray) -> None:
    """Copy [z, y, x] into an image; what VTK and NRRD do not share becomes float32."""
    known = (array.dtype.kind in "iu" and array.dtype.itemsize <= 4) or array.dtype in (np.float32, np.float64)
    values = np.ascontiguousarray(array if known else array.astype(np.float32))
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))


def _array(image: vtk.vtkImageData) -> np.ndarray:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).copy()


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


def _coded(scheme: str, value: str, meaning: str) -> slicer.vtkCodedEntry:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry
