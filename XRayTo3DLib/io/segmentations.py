"""Label maps and segmentations, both directions: label images of any format, and .seg.nrrd as 3D Slicer has it.

A .seg.nrrd is a label map whose header carries the names, colours and codes of its segments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.catalogue import structure_colour, terminology
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import grid_of, metadata, to_sitk
from XRayTo3DLib.images.labelmap import LARGEST_LABEL, Labelmap
from XRayTo3DLib.io.volumes import read_image


def read_labelmap(path: str | Path) -> Labelmap:
    """A label image (NRRD, NIfTI, MetaImage, ...) with up to 255 structures, or a segmentation of 3D Slicer (.seg.nrrd).

    A segmentation brings its segments' names; where its segments overlap the later one counts, and the segments of several
    layers are numbered anew from 1. In other images structures are called "label 7". Raises :class:`InputError` for what
    is not 3D, not whole numbers from 0 to 255, or empty.
    """
    image = read_image(path)
    if image.GetDimension() != 3:
        raise InputError(f"{path} has {image.GetDimension()} dimensions: a label map has 3; export one volume.")
    array = sitk.GetArrayFromImage(image)
    segments = _segments(image, path)
    if image.GetNumberOfComponentsPerPixel() > 1:
        if not segments:
            raise InputError(f"{path} is a colour or vector image: a label map has one whole number a voxel; convert it first.")
        array, segments = _flattened(array, segments), [(i, name, 0) for i, (_, name, _) in enumerate(segments, 1)]
    if not np.isfinite(array).all() or (array != np.rint(array)).any():
        raise InputError(f"{path} is not a label map, its values are not whole numbers: give the segmentation, not the CT.")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > LARGEST_LABEL:
        raise InputError(
            f"{path} has values from {low} to {high}: labels go from 0 (outside) to {LARGEST_LABEL}; give the segmentation, "
            "not the CT, or renumber its labels."
        )
    if high == 0:
        raise InputError(f"{path} holds no structure, all its voxels are 0: choose another file.")
    labels = array.astype(np.uint8)
    names = {label: name for label, name, _ in segments}
    names |= {int(label): f"label {label}" for label in np.unique(labels) if label and int(label) not in names}
    return Labelmap(labels, grid_of(image), names)


def _segments(image: sitk.Image, path: str | Path) -> list[tuple[int, str, int]]:
    """Label, name and layer of the segments that Slicer wrote into the header, in their order."""
    tags = metadata(image)
    numbers = sorted(int(found[1]) for key in tags if (found := re.fullmatch(r"Segment(\d{1,6})_LabelValue", key)))
    layers = image.GetNumberOfComponentsPerPixel()
    segments = []
    for n in numbers:
        label, layer = tags[f"Segment{n}_LabelValue"], tags.get(f"Segment{n}_Layer", "0")
        if not re.fullmatch(r"\d{1,9}", label) or not re.fullmatch(r"\d{1,6}", layer) or int(layer) >= layers:
            raise InputError(
                f"The segment {n} of {path} has the label {label[:20]!r} in layer {layer[:20]!r}: save it again in Slicer."
            )
        segments.append((int(label), tags.get(f"Segment{n}_Name") or f"segment {n}", int(layer)))
    return segments


def _flattened(layers: np.ndarray, segments: Sequence[tuple[int, str, int]]) -> np.ndarray:
    """The layers [z, y, x, layer] of a segmentation as one label map, segments numbered from 1."""
    array = np.zeros(layers.shape[:3], dtype=np.int64)
    for number, (label, _, layer) in enumerate(segments, 1):
        array[layers[..., layer] == label] = number
    return array


def write_labelmap(labelmap: Labelmap, path: Path) -> None:
    """Write a label map as a plain image (.nii.gz, .nrrd, .mha), whole or not at all: its labels, without names."""
    with writing(path) as temporary:
        sitk.WriteImage(to_sitk(labelmap.array.astype(np.uint8), labelmap.grid), str(temporary), useCompression=True)


def write_segmentation(labelmap: Labelmap, path: Path) -> None:
    """Write a labelmap as a Slicer segmentation (NRRD with segment metadata), whole or not at all; LPS mm.

    The header fields are those of Slicer's segmentation storage (vtkMRMLSegmentationStorageNode).
    """
    image = to_sitk(labelmap.array.astype(np.uint8), labelmap.grid)
    image.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    image.SetMetaData("Segmentation_ContainedRepresentationNames", "Binary labelmap|")
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    # Without its grid Slicer would cut the image to what is not empty. Each parameter is name, value and description.
    image.SetMetaData(
        "Segmentation_ConversionParameters", f"Reference image geometry|{_reference(labelmap.grid)}|Grid of the labelmap.&"
    )
    whole = " ".join(f"0 {n - 1}" for n in labelmap.grid.size)
    for index, (label, name) in enumerate(labelmap.names.items()):
        code = terminology(name)
        fields = {
            "ID": name,
            "Name": name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{c:g}" for c in structure_colour(name, index)),
            "ColorAutoGenerated": "0",
            "LabelValue": str(label),
            "Layer": "0",
            "Extent": whole,
            "Tags": "Segmentation.Status:inprogress|" + (f"TerminologyEntry:{code}|" if code else ""),
        }
        for field, value in fields.items():
            image.SetMetaData(f"Segment{index}_{field}", value)
    with writing(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _reference(grid: Grid) -> str:
    """Slicer's text for a grid: the 4x4 matrix from voxel index to RAS mm and the first and last voxel along x, y, z."""
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    numbers = [*(repr(float(v)) for v in matrix.ravel()), *(str(v) for n in grid.size for v in (0, n - 1))]
    return ";".join(numbers) + ";"
