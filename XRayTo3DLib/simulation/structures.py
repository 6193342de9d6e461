"""X-rays of single structures: a label map in, one line-integral channel a label out, with masks and outlines.

The model is that of the projector: the indicator of a structure (1 in its voxels, 0 elsewhere), or the attenuation inside it,
interpolated linearly between voxel centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.overlap import check_overlap, shadow
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample_labels
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.projection.projector import project

_MOST_BYTES = 4e9


@dataclass(frozen=True, eq=False)
class StructureRadiograph:
    """One view of all structures.

    - ``channels``: float32 (L, rows, columns), a channel a label;
    - ``names``: the labels and their names, in the order of the channels;
    - ``projection`` and ``name`` of the view;
    - ``unit``: ``"mm"`` for path lengths through the structures, ``"1"`` for line integrals of the attenuation inside them;
    - ``voxel_mm``: the side of a voxel of the label map (of a cube with its volume).
    """

    channels: np.ndarray
    names: dict[int, str]
    projection: Projection
    name: str
    unit: str
    voxel_mm: float

    def channel(self, label: int | str) -> np.ndarray:
        """The picture (rows, columns) of one structure, by number or name; :class:`InputError` when there is none."""
        return self.channels[self._index(label)]

    def masks(self, threshold_mm: float | None = None) -> np.ndarray:
        """Where the rays pass through more than ``threshold_mm`` of a structure, bool (L, rows, columns).

        By default half a voxel: the interpolation blurs edges, and at half its height what is one voxel thick keeps its
        width. In channels of attenuation it is mm of water.
        """
        return self.channels > self._level(threshold_mm)

    def contours(self, threshold_mm: float | None = None) -> dict[int, list[np.ndarray]]:
        """The outlines of :meth:`masks`, between the pixels: for each label polylines (N, 2) of (row, column).

        A polyline is closed (its ends are the same) unless the detector cuts the structure. In mm they are
        ``projection.pixel_positions(polyline)``.
        """
        from skimage.measure import find_contours

        level = self._level(threshold_mm)
        return {label: find_contours(channel, level) for label, channel in zip(self.names, self.channels, strict=True)}

    def radiograph(self, label: int | str) -> Radiograph:
        """One structure as a radiograph, to be shown or written; path lengths are no calibrated line integrals."""
        index = self._index(label)
        notes = ("The values are path lengths in mm.",) if self.unit == "mm" else ()
        name = f"{self.name} {list(self.names.values())[index]}"
        return Radiograph(self.channels[index], self.projection, name, ("gain",) if self.unit == "mm" else (), notes)

    def _index(self, label: int | str) -> int:
        found = [index for index, pair in enumerate(self.names.items()) if label in pair]
        if not found:
            known = ", ".join(f"{number} ({name})" for number, name in self.names.items())
            raise InputError(f"There is no structure {label!r} in {self.name}: it has {known}.")
        return found[0]

    def _level(self, threshold_mm: float | None) -> float:
        threshold = self.voxel_mm / 2 if threshold_mm is None else threshold_mm
        if not 0 <= threshold < float("inf"):
            raise InputError(f"The threshold {threshold} mm cannot be: give 0 or more.")
        return threshold * (1.0 if self.unit == "mm" else MU_WATER)


def project_structures(
    labelmap: Labelmap,
    projections: Sequence[Projection],
    names: Sequence[str] | None = None,
    volume: Volume | None = None,
    transform: ArrayLike | Sequence[Sequence[float]] | None = None,
    progress: Progress = silent,
) -> list[StructureRadiograph]:
    """Each structure of a label map alone, for every projection; ``names`` are the views' names.

    - without ``volume``, a channel holds the path length through its structure in mm;
    - with ``volume`` (a CT in HU or 1/mm), the line integral of the attenuation inside the structure. A label map on another
      grid is brought onto the CT's by the nearest label; what lies outside the CT is lost;
    - ``transform``: a 4x4 affine matrix (LPS mm) that moves label map and CT together.

    Channels stand in the order of ``labelmap.names``, then labels without a name, called "label 7"; a named structure without
    voxels has an empty channel. What lies in no structure, label 0, is a channel only if ``labelmap.names`` names it: then
    the channels of a CT add up to its DRR.

    Raises :class:`InputError`, before the work begins, for labels that are not whole numbers from 0, an empty label map, one
    that does not overlap the CT, and a beam that misses both.
    """
    views = list(names) if names is not None else [f"view {i + 1}" for i in range(len(projections))]
    if len(views) != len(projections):
        raise InputError(f"There are {len(views)} names for {len(projections)} projections: give one name a projection.")
    grid = labelmap.grid if volume is None else volume.grid
    grid = grid if transform is None else grid.transformed(transform)
    for view, projection in zip(views, projections, strict=True):
        check_overlap(grid, projection, view)
    labels = _checked(labelmap.array)
    if volume is not None:
        labels = resample_labels(labels, labelmap.grid, volume.grid)
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(labels), 1) if box is not None}
    if not boxes:
        raise InputError(
            "The label map holds no structure, all its voxels are 0: choose another one."
            if volume is None
            else "The label map and the CT have no structure in common: check that they belong together and overlap in space."
        )
    known = {int(label): str(name) for label, name in labelmap.names.items()}
    known |= {label: f"label {label}" for label in boxes if label not in known}
    boxes[0] = tuple(slice(0, n) for n in labels.shape)
    needed = 4 * len(known) * sum(p.size[0] * p.size[1] for p in projections)
    if needed > _MOST_BYTES:
        raise InputError(
            f"{len(known)} structures in {len(projections)} views need {needed / 1e9:.0f} GB: ask for fewer pixels, views or "
            "structures."
        )
    found = [np.zeros((len(known), *projection.size), dtype=np.float32) for projection in projections]
    for index, (label, name) in enumerate(known.items()):
        progress(index / len(known), f"structure {name}")
        if label not in boxes:
            continue
        box = tuple(
            slice(max(part.start - 1, 0), min(part.stop + 1, n)) for part, n in zip(boxes[label], labels.shape, strict=True)
        )
        values, part = _values(labels, label, box, volume), grid.cropped(box)
        for channels, projection in zip(found, projections, strict=True):
            # Interpolation reaches half a voxel further than the faces of the outermost voxels.
            window = shadow(part.padded(1), projection)
            if window is not None:
                channels[index][window] = project(values, part, [projection.cropped(window)])[0].numpy()
    progress(1.0, "structures done")
    unit, side = "mm" if volume is None else "1", labelmap.grid.voxel_volume ** (1 / 3)
    return [
        StructureRadiograph(channels, known, projection, view, unit, side)
        for channels, projection, view in zip(found, projections, views, strict=True)
    ]


def _checked(array: np.ndarray) -> np.ndarray:
    """Labels as an array of whole numbers from 0."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"A label map holds whole numbers, not {array.dtype}: convert it first.")
    if array.size and array.min() < 0:
        raise InputError(f"The label map holds the label {array.min()}: labels are 0 (outside) or more; renumber them.")
    return array


def _values(labels: np.ndarray, label: int, box: tuple[slice, ...], volume: Volume | None) -> np.ndarray:
    """The indicator of a label in a box of voxels, or the attenuation (1/mm) where it is 1; float32."""
    inside = labels[box] == label
    if volume is None:
        return inside.astype(np.float32)
    array = volume.array[box]
    attenuation = to_attenuation(Volume(array, volume.grid.cropped(box), volume.unit)).array
    values = np.where(inside, attenuation, 0).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError("The volume holds NaN or infinite voxels: replace them (with -1000 HU for air) and try again.")
    return values
