"""Breathing as a velocity field of the atlas: the diaphragm descends, and what hangs on it follows.

Positive is inspiration. The domes move towards the feet by up to 20 mm a unit, liver, spleen, stomach and kidneys with them and
less with their distance below, the lungs above less towards their tops, and the front of the chest and abdomen comes forward by 3
mm. Spine and back stand still. (Seppenwoolde et al., IJROBP 53, 2002: 12 mm at the base of the lungs, 2 mm at the top, in quiet
breathing.)
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.simulation.population.atlas import Atlas
from XRayTo3DLib.simulation.population.fields import node_points, sample

_LUNGS = ("lungs", "lung_left", "lung_right")
_BELOW = ("liver", "spleen", "stomach", "kidney_left", "kidney_right")
_DOWN_MM, _FORWARD_MM = 20.0, 3.0
#: The motion fades over this many mm below the domes. The wall of the body is this thick, and the motion begins over a slope.
_FADE_MM, _WALL_MM, _SLOPE_MM, _SMOOTH_MM = 140.0, 12.0, 15.0, 6.0
_BONE_HU = 250.0


def breathing_velocity(atlas: Atlas, grid: Grid) -> np.ndarray | None:
    """The velocity (3, z, y, x) in mm of one unit of inspiration on ``grid``; ``None`` for an atlas without lungs and liver."""
    lungs = atlas.mask(*_LUNGS)
    below = atlas.mask(*_BELOW)
    if not lungs.any() or not below.any():
        return None
    own = atlas.ct.grid
    z = own.origin[2] + np.arange(own.size[2]) * own.spacing[2]
    top = z[np.flatnonzero(lungs.any(axis=(1, 2)))[-1]]
    columns = below.any(axis=0)
    dome = float(np.quantile(z[below.shape[0] - 1 - np.argmax(below[::-1], axis=0)][columns], 0.95))
    profile = np.where(z >= dome, np.clip((top - z) / max(top - dome, 1.0), 0, 1), np.exp(-(((dome - z) / _FADE_MM) ** 2)))
    weight = ndimage.gaussian_filter(_cavity(atlas), _SMOOTH_MM / own.spacing[0]).astype(np.float32)
    down = torch.from_numpy((weight * profile[:, None, None]).astype(np.float32))
    points = node_points(grid)
    velocity = np.zeros((3, *grid.shape), dtype=np.float32)
    velocity[2] = -_DOWN_MM * sample(down[None], own, points, "zeros")[..., 0].numpy()
    y = points[..., 1].numpy()
    body = np.flatnonzero((atlas.ct.array > -300).any(axis=(0, 2)))
    front, back = (own.origin[1] + own.spacing[1] * body[k] for k in (0, -1))
    height = np.interp(points[..., 2].numpy(), z, profile)
    velocity[1] = -_FORWARD_MM * height * np.clip((back - y) / max(back - front, 1.0) * 1.6 - 0.6, 0, 1)
    return velocity


def _cavity(atlas: Atlas) -> np.ndarray:
    """1 where organs slide, 0 in the wall of the body and near thick bone (the spine), float [z, y, x]; distances are those in the
    axial slice, because the cavity goes on above and below."""
    bone = ndimage.binary_opening(atlas.ct.array > _BONE_HU, iterations=1)
    made = np.zeros(bone.shape)
    sampling = atlas.ct.grid.spacing[1::-1]
    for k, plane in enumerate(atlas.ct.array > -300):
        filled = ndimage.binary_fill_holes(plane)
        wall = ndimage.distance_transform_edt(np.pad(filled, 1), sampling=sampling)[1:-1, 1:-1]
        made[k] = np.clip((wall - _WALL_MM) / _SLOPE_MM, 0, 1)
        if bone[k].any():
            made[k] *= np.clip(ndimage.distance_transform_edt(~bone[k], sampling=sampling) / _SLOPE_MM, 0, 1)
    return made
