"""The atlas: one labelled CT that all others are registered to, and every CT as it looks in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample, resample_labels
from XRayTo3DLib.images.volume import AIR_HU, Volume
from XRayTo3DLib.simulation.population.channels import Pictures, aligned_grid, pictures
from XRayTo3DLib.simulation.population.fields import displaced, exponential, node_points, sample
from XRayTo3DLib.simulation.population.registration import Registration

#: The velocity reaches beyond the atlas by this many mm on every side: samples move things there.
_MARGIN_MM = 40.0
#: Air in lungs is below and what touches them above these HU, where labels are made to agree with a CT.
_LUNG_HU, _TISSUE_HU = -500.0, -250.0
#: A label of lung is corrected this near to a voxel that is lung, in voxels.
_REACH = 6
#: Voxels at the end of a scan that are left out, and over which it passes into the atlas.
_RIM, _BLEND = 1.0, 4.0

#: Organs by name and the labels that make each, as in :mod:`XRayTo3DLib.shapes.organs`.
Groups = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Atlas:
    """``ct``: HU on an aligned grid; ``labels``: uint8 [z, y, x] there, ``groups`` what they are; ``landmarks``: LPS mm by name."""

    name: str
    ct: Volume
    labels: np.ndarray
    groups: dict[str, tuple[int, ...]]
    landmarks: dict[str, np.ndarray] = field(default_factory=dict)

    def mask(self, *organs: str) -> np.ndarray:
        """Where any of these organs is, bool [z, y, x]; organs without labels are nowhere."""
        return np.isin(self.labels, [number for organ in organs for number in self.groups.get(organ, ())])

    def velocity_grid(self, spacing: float) -> Grid:
        """The grid of velocities: the atlas and a margin, with nodes ``spacing`` mm apart."""
        grid = self.ct.grid
        low, high = grid.corners.min(axis=0) - _MARGIN_MM, grid.corners.max(axis=0) + _MARGIN_MM
        size = np.ceil((high - low) / spacing).astype(int) + 1
        return Grid(tuple(size), (spacing,) * 3, tuple(low))  # type: ignore[arg-type]


def make_atlas(
    name: str,
    ct: Volume,
    labels: np.ndarray,
    grid: Grid,
    groups: Groups,
    landmarks: Mapping[str, np.ndarray] | None = None,
    spacing: float = 3.0,
) -> Atlas:
    """An atlas of a CT in HU and its ``labels`` on ``grid``, at ``spacing`` mm.

    Raises :class:`InputError` where none of the groups has a voxel.
    """
    aligned = aligned_grid(ct.grid, spacing)
    own = resample_labels(labels.astype(np.uint8), grid, aligned)
    present = {organ: tuple(ids) for organ, ids in groups.items() if np.isin(own, ids).any()}
    if not present:
        raise InputError(f"The labels of {name} hold none of {', '.join(groups)}: give the scheme they are of with --labels.")
    small = resample(ct, aligned, smooth=True)
    points = {key: np.asarray(point, dtype=np.float64) for key, point in (landmarks or {}).items()}
    found = pictures(small)
    clean = np.where(np.isin(own, 0) & ~found_body(found, aligned), AIR_HU, small.array).astype(np.float32)
    return Atlas(name, Volume(clean, aligned), own, present, points)


def found_body(found: Pictures, grid: Grid) -> np.ndarray:
    """The filled body of pictures at the voxels of ``grid``, widened by about one voxel of the pictures: skin is partly air."""
    mask = torch.from_numpy(found.masks["body"].astype(np.float32))[None]
    near = torch.nn.functional.max_pool3d(mask, 3, 1, 1)
    return sample(near, found.grid, node_points(grid), "border").numpy()[..., 0] > 0.5


@dataclass(frozen=True, eq=False)
class Texture:
    """A subject in the place of the atlas: ``hounsfield`` int16 and ``labels`` uint8 [z, y, x] on the atlas' grid, ``known`` bool
    where the subject has a field; elsewhere it is filled from the atlas."""

    name: str
    hounsfield: np.ndarray
    labels: np.ndarray
    known: np.ndarray


def texture_of(
    name: str,
    atlas: Atlas,
    ct: Volume,
    found: Pictures,
    registration: Registration,
    labels: tuple[np.ndarray, Grid] | None = None,
) -> Texture:
    """The CT of a subject pulled back to the atlas, with its own ``labels`` (and their grid) where it has any, or those of the
    atlas, in which lungs then follow the air that is really there."""
    grid = atlas.ct.grid
    displacement = exponential(torch.from_numpy(registration.velocity), registration.grid)
    there = displaced(node_points(grid), displacement, registration.grid).numpy()
    points = (there @ registration.affine[:3, :3].T + registration.affine[:3, 3]).astype(np.float32)
    own = aligned_grid(ct.grid, grid.spacing[0])
    small = resample(ct, own, smooth=True)
    body = found_body(found, own)
    clean = torch.from_numpy(np.where(body, small.array, AIR_HU).astype(np.float32))
    where = torch.from_numpy(points)
    pulled = sample(clean[None], own, where)[..., 0].numpy()
    # The outermost voxels of a scan are mixed with what is outside, and a seam is blended.
    inside = sample(found.known[None], found.grid, where, "zeros")[..., 0].numpy() > 0.99
    depth = np.full(inside.shape, np.inf) if inside.all() else ndimage.distance_transform_edt(inside)
    known = depth > _RIM
    share = np.clip((depth - _RIM) / _BLEND, 0, 1)
    if labels is None:
        carried = agreeing_lungs(atlas.labels, atlas.groups, pulled, known)
    else:
        carried = np.where(known, _nearest(*labels, points), atlas.labels)
    return Texture(name, np.rint(share * pulled + (1 - share) * atlas.ct.array).astype(np.int16), carried, known)


def _nearest(labels: np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    """The label of the voxel that holds each point (..., 3) LPS mm, 0 outside, uint8."""
    index = np.rint(points @ grid.to_index[:3, :3].T + grid.to_index[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < grid.size)).all(axis=-1)
    x, y, z = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    return np.where(inside, labels[z, y, x], 0).astype(np.uint8)


def agreeing_lungs(labels: np.ndarray, groups: Groups, hounsfield: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Labels in which lung is where the air is: air next to lung becomes the nearest part of the lungs, and tissue labelled lung
    the nearest organ beside it that is none, or nothing. Vessels and what lies deep inside stay lung."""
    ids = sorted({n for name in ("lungs", "lung_left", "lung_right") for n in groups.get(name, ())})
    lung = np.isin(labels, ids)
    if not lung.any():
        return labels
    air = (hounsfield < _LUNG_HU) & known
    filled = ndimage.binary_closing(np.pad(air, 3), iterations=3)[3:-3, 3:-3, 3:-3]
    grow = air & ~lung & (ndimage.distance_transform_edt(~lung) <= _REACH) & (hounsfield > AIR_HU + 20)
    shrink = lung & known & ~filled & (hounsfield > _TISSUE_HU)
    made = labels.copy()
    if grow.any():
        nearest = ndimage.distance_transform_edt(~lung, return_distances=False, return_indices=True)
        made[grow] = labels[tuple(nearest)][grow]
    if shrink.any():
        other = ndimage.distance_transform_edt(lung, return_distances=False, return_indices=True)
        made[shrink] = labels[tuple(other)][shrink]
    return made
