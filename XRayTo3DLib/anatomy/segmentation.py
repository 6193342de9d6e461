"""Body, lungs and bone of a CT by thresholds and morphology: quick, the same for truth and reconstruction, no training.

The work is done on voxels of about 2 mm, with radii in mm, and the result is put back on the CT's own grid. It is meant
for comparing and showing shapes. It does not know anatomy: thin contrast-filled vessels and calcifications above the
threshold are bone to it, the large airways belong to the lungs, and consolidated lung to the body.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample_mask
from XRayTo3DLib.images.volume import Volume, to_hu

STRUCTURES = {1: "body", 2: "lungs", 3: "bone"}

BODY_HU = -300.0
LUNG_HU = -400.0
#: Cortical bone has 300 to 1900 HU and spongy bone 100 to 300. On 4 mm voxels, where a rib is one or two voxels wide,
#: much of it falls below 200; soft tissue without contrast and its noise stay below 130 once specks are removed.
BONE_HU = 160.0
#: Air around the patient and gas in the bowel are pure; lung holds tissue. The mean or median of a pocket tells them
#: apart.
OUTSIDE_HU = -920.0
GAS_HU = -960.0

_WORK_MM = 2.0
#: Where a body begins whose edge is as wide as the doubt about its depth. Of two heads and a chest on 4 mm, from one and two views,
#: -300 HU keeps .95 to .98 of the volume, -500 HU 1.02 to 1.09.
_BLURRED_HU = -400.0
#: Behind thin walls: what an opening takes away, the least volume, and the median above which air holds tissue.
_THIN_MM, _BEHIND_ML, _BEHIND_HU = 4.0, 100.0, -950.0
_COUCH_MM = 3.0
_REGROW_MM = 7.5
_VESSEL_MM = 4.0
_MIN_LUNG_ML = 30.0
_MIN_LUNG_SHARE = 0.1
_MIN_BONE_ML = 0.5
_MIN_BODY_AROUND = 0.75
_SIDE_MM = 6.0
_MIN_SIDE_LUNG_MM2 = 500.0
#: Thick bone has a bright shell: the 90th percentile near its surface was 1.3 to 2.4 times the median of its core in
#: twelve CTs, against 0.9 to 1.2 for heart chambers, kidneys and bowel filled with contrast agent.
_SHELL_RATIO = 1.25
_CORE_MM = 4.0
_CORE_ML = 4.0
_DENSE_HU = 600.0


def segment_ct(volume: Volume, thin_walls: bool = False) -> Labelmap:
    """Labels 1 body (what is neither lung nor bone), 2 lungs, 3 bone on the grid of ``volume``, given in HU or 1/mm.

    - body: the largest piece above -300 HU once thin things (couch, mattress, tubes) are opened away, with its holes
      filled;
    - lungs: air below -400 HU inside the body, vessels included, in pieces of at least 30 mL and a tenth of the largest
      that are not pure gas;
    - bone: above 160 HU inside the body but not the lungs, in pieces of at least 0.5 mL, without thick homogeneous
      pieces (contrast agent in the heart, the kidneys and the bowel).

    ``thin_walls``: of a reconstruction, whose chest wall may be too faint for a threshold: air in the convex hull of an axial
    slice belongs to the body as well, in pieces of at least 100 mL that hold tissue, and whose edge is blurred: the body is what
    is above -400 HU.

    Raises :class:`InputError` when nothing in the volume is a body.
    """
    array, grid = _coarse(to_hu(volume))
    spacing = np.asarray(grid.spacing[::-1])
    voxel_ml = grid.voxel_volume / 1000
    axial = 2 - int(np.argmax(np.abs(grid.direction[2])))  # the array axis that follows the patient's long axis
    tissue = array > (_BLURRED_HU if thin_walls else BODY_HU)
    core = _largest(_erode(tissue, spacing, _COUCH_MM))
    if not core.any():
        raise InputError("No body was found in the volume (nothing thick above -300 HU): check that it is a CT in HU.")
    body = _body(array, tissue, core, spacing, axial)
    if thin_walls:
        body |= _behind_thin_walls(array, body, spacing, axial)
    lungs = _close(_lungs(array, body, voxel_ml), spacing, _VESSEL_MM) & body
    bone = body & ~lungs & (array > BONE_HU)
    bone = _pieces(bone & ~_contrast_agent(array, bone, spacing, voxel_ml), _MIN_BONE_ML / voxel_ml)
    labels = np.zeros(volume.grid.shape, dtype=np.uint8)
    for number, mask in ((1, body), (2, lungs), (3, bone)):
        labels[resample_mask(mask, grid, volume.grid)] = number
    return Labelmap(labels, volume.grid, dict(STRUCTURES))


def _coarse(volume: Volume) -> tuple[np.ndarray, Grid]:
    """Means over blocks of voxels about 2 mm wide, float32, and their grid; the last blocks repeat the edge."""
    factors = [max(1, round(_WORK_MM / step)) for step in volume.grid.spacing[::-1]]
    array = volume.array.astype(np.float32)
    if max(factors) == 1:
        return array, volume.grid
    array = np.pad(array, [(0, -n % f) for n, f in zip(array.shape, factors, strict=True)], mode="edge")
    for axis, factor in enumerate(factors):
        split = (*array.shape[:axis], -1, factor, *array.shape[axis + 1 :])
        array = array.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    return array, volume.grid.coarsened(factors[::-1])


def _body(array: np.ndarray, tissue: np.ndarray, core: np.ndarray, spacing: np.ndarray, axial: int) -> np.ndarray:
    """The body with everything in it, from its eroded ``core``."""
    # What stays of the opening, grown back into the tissue that was there: thin skin folds return, the couch does not.
    body = tissue & _dilate(core, spacing, _REGROW_MM)
    holes = _holes(tissue, body, array, spacing, axial)
    # A thin chest wall has no core of its own: it returns with the lung behind it.
    body |= holes | (tissue & _dilate(holes, spacing, _REGROW_MM))
    gaps, at_side = _gaps(body, axial)
    at_side[0] = True  # number 0 is the body itself
    return body | ~at_side[gaps]


def _gaps(mask: np.ndarray, axial: int) -> tuple[np.ndarray, np.ndarray]:
    """The pieces outside ``mask`` in each axial slice, numbered from 1, and whether each touches a side."""
    structure = ndimage.generate_binary_structure(3, 1)
    structure[[0, 2]] = False
    gaps, count = ndimage.label(~mask, np.moveaxis(structure, 0, axial))
    at_side = np.zeros(count + 1, dtype=bool)
    for axis in range(3):
        if axis != axial:
            for end in (0, -1):
                at_side[np.take(gaps, end, axis=axis)] = True
    return gaps, at_side


def _holes(tissue: np.ndarray, body: np.ndarray, array: np.ndarray, spacing: np.ndarray, axial: int) -> np.ndarray:
    """What is not tissue but lies in the body, by axial slices: lungs are open at the ends of a scan, not in these.

    A hole belongs to the body when most of the tissue around it does; between body and couch, and in a hollow couch, it
    is otherwise. A hole at the side of a slice is outside unless its air holds tissue too: the field of view may cut a
    lung.
    """
    holes, at_side = _gaps(tissue, axial)
    count = len(at_side) - 1
    around = holes
    for axis in range(3):
        if axis != axial:
            around = ndimage.maximum_filter1d(around, 3, axis=axis, mode="nearest")
    around = np.where(tissue, around, 0)
    total, own = (np.bincount(around[mask], minlength=count + 1) for mask in (tissue, body))
    inside = own >= _MIN_BODY_AROUND * np.maximum(total, 1)
    # The air is looked at away from the edges, which tissue and couch blur.
    air = holes * _erode(array < LUNG_HU, spacing, _SIDE_MM)
    sizes = np.bincount(air.ravel(), minlength=count + 1)
    means = np.bincount(air.ravel(), array.ravel(), count + 1) / np.maximum(sizes, 1)
    lung = (means > OUTSIDE_HU) & (sizes * spacing.prod() / spacing[axial] >= _MIN_SIDE_LUNG_MM2)
    # A reconstruction fades into the air around the body; what reaches a corner of the slice is that air, not a cut lung.
    corners = np.zeros(count + 1, dtype=bool)
    first, second = (a for a in range(3) if a != axial)
    for end in (0, -1):
        for other in (0, -1):
            corners[np.take(np.take(holes, other, axis=second), end, axis=first)] = True
    inside &= ~at_side | (lung & ~corners)
    inside[0] = False  # number 0 is the tissue itself
    return inside[holes]


def _behind_thin_walls(array: np.ndarray, body: np.ndarray, spacing: np.ndarray, axial: int) -> np.ndarray:
    """Air in the hull of each axial slice of ``body``, in large pieces that hold tissue: pure air is outside."""
    from skimage.morphology import convex_hull_image

    hull = np.zeros_like(body)
    slices = np.moveaxis(hull, axial, 0)
    for own, section in zip(slices, np.moveaxis(body, axial, 0), strict=True):
        if np.count_nonzero(section) > 8:
            own[:] = convex_hull_image(section)
    air = _erode(hull & (array < LUNG_HU), spacing, _THIN_MM)
    pieces, count = ndimage.label(air)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * spacing.prod() / 1000
    numbers = np.flatnonzero(sizes[1:] >= _BEHIND_ML) + 1
    if not len(numbers):
        return np.zeros_like(body)
    numbers = numbers[np.asarray(ndimage.median(array, pieces, numbers)) > _BEHIND_HU]
    return _dilate(np.isin(pieces, numbers), spacing, 2 * _THIN_MM) & hull


def _lungs(array: np.ndarray, body: np.ndarray, voxel_ml: float) -> np.ndarray:
    pieces, count = ndimage.label(body & (array < LUNG_HU))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * voxel_ml
    sizes[0] = 0
    numbers = np.flatnonzero(sizes >= _MIN_LUNG_ML)
    if len(numbers):
        numbers = numbers[np.asarray(ndimage.median(array, pieces, numbers)) > GAS_HU]
    if len(numbers):
        numbers = numbers[sizes[numbers] >= _MIN_LUNG_SHARE * sizes[numbers].max()]
    return np.isin(pieces, numbers)


def _contrast_agent(array: np.ndarray, bone: np.ndarray, spacing: np.ndarray, voxel_ml: float) -> np.ndarray:
    """The part of ``bone`` that is thick and has no bright shell."""
    found = np.zeros_like(bone)
    cores, count = ndimage.label(_erode(bone, spacing, _CORE_MM))
    sizes = np.bincount(cores.ravel(), minlength=count + 1) * voxel_ml
    for number in np.flatnonzero(sizes[1:] >= _CORE_ML) + 1:
        core = cores == number
        near = bone & _dilate(core, spacing, 2 * _CORE_MM)
        rim = near & ~_dilate(core, spacing, _CORE_MM / 2)
        typical = float(np.median(array[core]))
        bright = _SHELL_RATIO * typical
        if typical < _DENSE_HU and rim.any() and np.percentile(array[rim], 90) < bright:
            found |= near & (array < bright)
    return found


def _largest(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count else mask


def _pieces(mask: np.ndarray, minimum: float) -> np.ndarray:
    """The connected pieces of at least ``minimum`` voxels."""
    pieces, count = ndimage.label(mask)
    keep = np.bincount(pieces.ravel(), minlength=count + 1) >= minimum
    keep[0] = False
    return keep[pieces]


def _erode(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
    return _box_filter(ndimage.minimum_filter1d, mask, spacing, radius)


def _dilate(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
    return _box_filter(ndimage.maximum_filter1d, mask, spacing, radius)


def _close(mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
    return _erode(_dilate(mask, spacing, radius), spacing, radius)


def _box_filter(filter_1d: Callable[..., np.ndarray], mask: np.ndarray, spacing: np.ndarray, radius: float) -> np.ndarray:
    """Erosion or dilation by a box of ``radius`` mm, an axis at a time; the image's edge is repeated."""
    result = mask.astype(np.uint8)
    for axis, step in enumerate(spacing):
        result = filter_1d(result, 2 * round(radius / step) + 1, axis=axis, mode="nearest")
    return result.astype(bool)
