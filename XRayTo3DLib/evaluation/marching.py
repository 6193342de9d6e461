"""Line integrals by marching along rays: slow, simple and unlike the projector, so that a method is not tested with its own sums.

A method that fuses with the projector that also made its X-rays is told the answer in part (the inverse crime of Kaipio and
Somersalo, Statistical and Computational Inverse Problems, 2005, ch. 1). The projector goes plane by plane through the voxels of
its volume; here samples stand at equal steps along every ray, wherever the voxels are, and torch interpolates.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

#: Samples computed at once; bounds the memory of a call, not its result.
_CHUNK = 4_000_000


def march(channels: np.ndarray, grid: Grid, projection: Projection, box: Grid, step: float = 1.0) -> np.ndarray:
    """Line integrals (channels, rows, columns), float32, of volumes (channels, z, y, x) on ``grid``, in their unit times mm.

    Only what lies inside the outer faces of ``box`` counts, sharply cut. Samples of the trilinear interpolation, which fades to
    zero one voxel beyond the outermost centres, stand in the middle of equal steps of at most ``step`` mm.
    """
    points, directions = projection.rays()
    near, far = _inside(points, directions, box)
    own_near, own_far = _inside(points, directions, grid, 1.0)
    near, far = np.maximum(near, own_near), np.minimum(far, own_far)
    length = np.maximum(far - near, 0)
    steps = int(np.ceil(length.max() / step))
    count = len(channels)
    found = np.zeros((count, len(points)), dtype=np.float32)
    if steps == 0:
        return found.reshape(count, *projection.size)
    volume = torch.as_tensor(np.ascontiguousarray(channels, dtype=np.float32))[None]
    scale = 2.0 / np.maximum(np.array(grid.size) - 1, 1)
    turn = grid.to_index[:3, :3]
    first = (((points + directions * near[:, None]) @ turn.T + grid.to_index[:3, 3]) * scale - 1).astype(np.float32)
    along = (directions * (length / steps)[:, None] @ turn.T * scale).astype(np.float32)
    middles = torch.arange(steps, dtype=torch.float32) + 0.5
    crossing = np.flatnonzero(length > 0)
    for rays in np.array_split(crossing, max(1, int(np.ceil(len(crossing) * steps / _CHUNK)))):
        start, move = torch.as_tensor(first[rays]), torch.as_tensor(along[rays])
        # (1, 1, steps, rays, 3): neighbouring rays stay neighbours in memory.
        places = (start + middles[:, None, None] * move)[None, None]
        values = functional.grid_sample(volume, places, align_corners=True)[0, :, 0].sum(dim=1)
        found[:, rays] = values.numpy() * (length[rays] / steps).astype(np.float32)
    return found.reshape(count, *projection.size)


def _inside(points: np.ndarray, directions: np.ndarray, box: Grid, beyond: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """How far along each line (mm) the box begins and ends, ``beyond`` voxels outside the outermost centres of a grid."""
    start = points @ box.to_index[:3, :3].T + box.to_index[:3, 3]
    along = directions @ box.to_index[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(-beyond - start) / along, (np.array(box.size) - 1 + beyond - start) / along])
    return np.nanmax(ends.min(axis=0), axis=1), np.nanmin(ends.max(axis=0), axis=1)
