"""The body as everything here sees it: one mask, upright in LPS, cut to the slices that show a whole cross-section.

It comes from a CT, from a segmentation, or from a closed surface; what is measured on the skin is measured on this mask alone,
so that a surface gives the same landmarks as the CT it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage
from vtkmodules.vtkCommonDataModel import vtkPolyData

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.anatomy.voxelisation import surface_fraction
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample_labels, resample_mask
from XRayTo3DLib.images.volume import Volume

#: A field that ends in a smaller cross-section than this ends with the body: at its vertex.
LEAST_SECTION_MM2 = 2000.0
#: Slices at the ends of a scan may show no body but what was left of it (a contour of the spinal cord, a piece of skull). Such a
#: remnant has no larger section than this, below that of any neck, and at most this share of that of the slice beside it.
_REMNANT_MM2, _JUMP = 7000.0, 0.7
_MOST_VOXELS = 40_000_000


@dataclass(frozen=True, eq=False)
class Body:
    """A body: ``mask`` bool [z, y, x] on ``grid``, whose axes run along LPS, from low to high.

    - ``structures``: masks by name on the same grid: labels that were given, and of a CT the lungs;
    - ``open_ends``: whether the body goes on beyond the lower and the upper end of the field.
    """

    mask: np.ndarray
    grid: Grid
    structures: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def sections(self) -> np.ndarray:
        """The cross-section of each slice in mm^2 [z]."""
        return np.count_nonzero(self.mask, axis=(1, 2)) * self.grid.spacing[0] * self.grid.spacing[1]

    @cached_property
    def field_mm(self) -> tuple[float, float]:
        """The lowest and the highest LPS z in mm of the slices that show the body."""
        rows = np.flatnonzero(self.mask.any(axis=(1, 2)))
        half = self.grid.spacing[2] / 2
        return float(self.z(rows[0]) - half), float(self.z(rows[-1]) + half)

    @cached_property
    def open_ends(self) -> tuple[bool, bool]:
        """Whether the lower and the upper end of the field cut the body: the first section is no mere tip."""
        rows = np.flatnonzero(self.mask.any(axis=(1, 2)))
        return bool(self.sections[rows[0]] >= LEAST_SECTION_MM2), bool(self.sections[rows[-1]] >= LEAST_SECTION_MM2)

    def z(self, index: np.ndarray | int) -> np.ndarray:
        """LPS z in mm of slices."""
        return self.grid.origin[2] + np.asarray(index) * self.grid.spacing[2]

    def points(self, index: np.ndarray) -> np.ndarray:
        """Voxel indices [z, y, x] (N, 3) to LPS mm (N, 3)."""
        return np.asarray(self.grid.origin) + np.asarray(index)[:, ::-1] * np.asarray(self.grid.spacing)

    @cached_property
    def sides(self) -> np.ndarray:
        """bool [z, x]: the body as seen from the front."""
        return np.asarray(self.mask.any(axis=1))

    @cached_property
    def midline(self) -> float:
        """LPS x in mm of the patient's middle: half way between the sides of each slice, the median over the slices."""
        sides = self.sides
        rows = np.flatnonzero(sides.any(axis=1))
        first = sides[rows].argmax(axis=1)
        last = sides.shape[1] - 1 - sides[rows, ::-1].argmax(axis=1)
        return float(np.median((first + last) / 2)) * self.grid.spacing[0] + self.grid.origin[0]


def body_of_ct(volume: Volume, labels: Labelmap | None = None) -> Body:
    """The body in a CT (HU or 1/mm), with the lungs and with the structures of ``labels`` (on any grid)."""
    found = segment_ct(volume)
    mask, grid = _upright(found.array > 0, found.grid)
    lungs = resample_labels((found.array == 2).astype(np.uint8), found.grid, grid) > 0
    structures = {"lungs": lungs} if lungs.any() else {}
    for number, name in (labels.names if labels is not None else {}).items():
        own = resample_labels((labels.array == number).astype(np.uint8), labels.grid, grid) > 0  # type: ignore[union-attr]
        if own.any():
            structures[name] = own
    return _cut(mask, grid, structures)


def body_of_mask(mask: np.ndarray, grid: Grid) -> Body:
    """The body in a segmentation: bool [z, y, x] on ``grid``; its largest piece with its holes filled."""
    if not np.any(mask):
        raise InputError("The segmentation of the body is empty: name the segment that holds the whole body.")
    upright, own = _upright(np.asarray(mask, dtype=bool), grid)
    pieces, count = ndimage.label(upright)
    if count > 1:
        upright = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return _cut(np.stack([ndimage.binary_fill_holes(plane) for plane in upright]), own, {})


def body_of_surface(polydata: vtkPolyData, name: str) -> Body:
    """The body inside a closed surface (LPS mm); :class:`InputError` for one that is open, flat or empty."""
    fraction, grid = surface_fraction(polydata, name)
    size = np.ptp(grid.corners, axis=0)
    if size.max() < 50 or size.max() > 3000:
        raise InputError(f"The surface {name} is {size.max():.3g} mm long, which no body is: give its points in mm.")
    mask, own = _upright(fraction >= 0.5, grid)
    return _cut(mask, own, {})


def _upright(mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, Grid]:
    """The mask on a grid whose axes run along LPS; itself where it is one already."""
    if np.allclose(grid.direction, np.eye(3), atol=1e-6):
        return mask, grid
    low, high = grid.corners.min(axis=0), grid.corners.max(axis=0)
    # The box of a turned volume is larger; voxels of the same volume keep its detail, within a limit.
    step = max(grid.voxel_volume, float(np.prod(high - low)) / _MOST_VOXELS) ** (1 / 3)
    own = np.abs(grid.direction) @ np.asarray(grid.spacing)
    aligned = bool(np.isclose(np.abs(grid.direction), 1, atol=1e-6).sum() == 3)
    spacing = own if aligned else np.full(3, step)
    size = np.maximum(np.round((high - low) / spacing).astype(int), 1)
    target = Grid(tuple(size), tuple(spacing), tuple(low + spacing / 2))
    return resample_mask(mask, grid, target), target


def _cut(mask: np.ndarray, grid: Grid, structures: dict[str, np.ndarray]) -> Body:
    """The body without the end slices that show no whole cross-section."""
    sections = np.count_nonzero(mask, axis=(1, 2)) * grid.spacing[0] * grid.spacing[1]
    if sections.max() < LEAST_SECTION_MM2:
        raise InputError(
            f"The body has no cross-section above {LEAST_SECTION_MM2 / 100:g} cm^2: give a body with its length along z, in mm."
        )
    shown = np.flatnonzero(sections > 0)
    low, high = _without_remnants(sections, int(shown[0]), int(shown[-1]))
    kept = mask.copy()
    kept[:low] = False
    kept[high + 1 :] = False
    notes = []
    if low > shown[0] or high < shown[-1]:
        notes.append("Slices at the ends of the scan without a whole cross-section of the body were left out.")
    return Body(kept, grid, structures, tuple(notes))


def _without_remnants(sections: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The first and the last slice of the body: what is suddenly small, to the end, is a remnant; a vertex grows smaller slowly."""
    upper, lower = high, low
    for index in range(high, low, -1):
        if sections[index] > _REMNANT_MM2:
            break
        if sections[index] < _JUMP * sections[index - 1] and sections[index - 1] > _REMNANT_MM2:
            upper = index - 1
    for index in range(low, upper):
        if sections[index] > _REMNANT_MM2:
            break
        if sections[index] < _JUMP * sections[index + 1] and sections[index + 1] > _REMNANT_MM2:
            lower = index + 1
    return lower, upper
