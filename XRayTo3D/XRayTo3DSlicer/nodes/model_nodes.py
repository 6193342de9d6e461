"""Surfaces, beams and pictures of radiographs as model nodes, and a model node as a surface."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DSlicer.nodes import display, mrml, provenance, shapes


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
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(mrml.polydata_from_node(node))
    triangles.Update()
    moved = triangles.GetOutput()
    mass = vtk.vtkMassProperties()
    mass.SetInputData(moved)
    mass.Update()
    closed, cut = (provenance.read_flag(node, key, False) for key in ("Closed", "Cut"))
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
    node = mrml.polydata_to_node(polydata, name)
    provenance.write(node, Type=kind)
    return node


def refill_picture(node: slicer.vtkMRMLModelNode, line_integrals: np.ndarray) -> None:
    """Other pixels [row, column], as many as before, in a picture that :func:`picture_to_node` made, in place."""
    values = slicer.util.arrayFromModelPointData(node, shapes.PICTURE_VALUES)
    values[:] = shapes.picture_values(line_integrals)
    slicer.util.arrayFromModelPointDataModified(node, shapes.PICTURE_VALUES)
