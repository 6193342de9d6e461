"""What a registration compares: a CT as a few smooth pictures that mean the same in every patient.

Contrast agent and reconstruction kernels change HU, so the pictures saturate: soft tissue against fat, bone, and the edges of lungs
and body as distances, which pull from afar. Labels that both CTs have become pictures of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import AIR_HU, Volume

#: Fat is below and all other soft tissue above the middle of this window, with contrast agent or without.
_SOFT_HU = (-110.0, 40.0)
NAMES = ("soft", "lungs", "bone", "body")
#: Weights of the pictures in the squared difference.
WEIGHTS = {"soft": 0.5, "lungs": 4.0, "bone": 1.5, "body": 2.0}
LABEL_WEIGHT = 1.5
#: Distances from an edge that count.
_FAR_MM = 30.0
#: Smoothing of masks in voxels: an edge gives a slope to follow.
_EDGE = 0.8


@dataclass(frozen=True, eq=False)
class Pictures:
    """A CT for registration, aligned with LPS.

    ``values``: float32 (channels, z, y, x) in [0, 1], ``names`` of the channels, ``known``: float32 (z, y, x), 1 inside the scan's
    field; ``masks``: bool (z, y, x) of body, lungs and bone by :func:`segment_ct`, the body filled.
    """

    values: torch.Tensor
    names: tuple[str, ...]
    known: torch.Tensor
    masks: dict[str, np.ndarray]
    grid: Grid

    def channels(self, names: tuple[str, ...]) -> torch.Tensor:
        """Those channels, in that order."""
        return self.values[[self.names.index(name) for name in names]]


def aligned_grid(grid: Grid, spacing: float) -> Grid:
    """The box of ``grid`` along the LPS axes with voxels of ``spacing`` mm."""
    low, high = grid.corners.min(axis=0), grid.corners.max(axis=0)
    size = np.maximum(np.round((high - low) / spacing), 2).astype(int)
    origin = (low + high) / 2 - (size - 1) / 2 * spacing
    return Grid(tuple(size), (spacing,) * 3, tuple(origin))  # type: ignore[arg-type]


def pictures(
    ct: Volume, labels: Mapping[str, np.ndarray] | None = None, spacing: float = 4.0, known: np.ndarray | None = None
) -> Pictures:
    """The pictures of a CT in HU at ``spacing`` mm; ``labels``: masks by name, and ``known`` the field, on the grid of the CT.

    Raises :class:`InputError` where no body is found.
    """
    grid = aligned_grid(ct.grid, spacing)
    inside = np.ones(ct.grid.shape, dtype=np.float32) if known is None else known.astype(np.float32)
    field = resample(Volume(inside, ct.grid, "1/mm"), grid).array
    small = resample(ct, grid, smooth=True)
    hounsfield = np.where(field > 0.5, small.array, AIR_HU)
    found = segment_ct(Volume(hounsfield.astype(np.float32), grid)).array
    masks = {"body": found > 0, "lungs": found == 2, "bone": found == 3}
    if masks["body"].sum() < 100:
        raise InputError("Hardly any body is in the CT: leave it out of the folder.")
    soft = np.clip((hounsfield - _SOFT_HU[0]) / (_SOFT_HU[1] - _SOFT_HU[0]), 0, 1) * masks["body"]
    made = [ndimage.gaussian_filter(soft.astype(np.float32), _EDGE)]
    made += [_distance(masks["lungs"], spacing), ndimage.gaussian_filter(masks["bone"].astype(np.float32), _EDGE)]
    made += [_distance(masks["body"], spacing)]
    names = list(NAMES)
    for name, mask in sorted((labels or {}).items()):
        part = resample(Volume(mask.astype(np.float32), ct.grid, "1/mm"), grid, smooth=True).array
        made.append(ndimage.gaussian_filter(part, _EDGE))
        names.append(f"label:{name}")
    values = torch.from_numpy(np.ascontiguousarray(np.stack(made), dtype=np.float32))
    return Pictures(values, tuple(names), torch.from_numpy((field > 0.99).astype(np.float32)), masks, grid)


def _distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """0 far outside, 1/2 on the edge, 1 far inside, float32: signed distances in each axial slice, clipped. A scan that ends in the
    middle of an organ cuts no distances short then."""
    made = np.zeros(mask.shape, dtype=np.float32)
    for z, plane in enumerate(mask):
        if plane.any():
            inside = ndimage.distance_transform_edt(np.pad(plane, 1, mode="edge"))[1:-1, 1:-1]
            outside = ndimage.distance_transform_edt(~plane)
            signed = np.where(plane, inside - 0.5, 0.5 - outside) * spacing
            made[z] = np.clip(signed / (2 * _FAR_MM) + 0.5, 0, 1)
    return made


def weights_of(names: tuple[str, ...]) -> torch.Tensor:
    """The weight of each channel."""
    return torch.tensor([WEIGHTS.get(name, LABEL_WEIGHT) for name in names], dtype=torch.float32)
