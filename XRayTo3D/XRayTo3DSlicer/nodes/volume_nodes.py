"""A CT, a reconstruction and its uncertainty as volume nodes in HU, and a volume node as a CT."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_hu
from XRayTo3DSlicer.nodes import display, mrml, provenance


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


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The CT of a volume node, in HU, where its parent transform puts it."""
    array, affine = mrml.image_from_node(node)
    return Volume(array, mrml.grid(array, affine), "HU")


def _hu_to_node(values: np.ndarray, grid: Grid, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    node = mrml.image_to_node(values, grid.affine, name)
    node.SetVoxelValueQuantity(_coded("DCM", "112031", "Attenuation Coefficient"))
    node.SetVoxelValueUnits(_coded("UCUM", "[hnsf'U]", "Hounsfield unit"))
    provenance.write(node, Unit="HU")
    return node


def _coded(scheme: str, value: str, meaning: str) -> slicer.vtkCodedEntry:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry
