"""The virtual detector: every radiograph as it would look on one standard detector in the middle of the volume.

It stands at the centre of the reconstruction grid, at right angles to the ray through that centre, upright, with pixels of one
voxel. Magnification, pixel size, rotation in the plane and off-centre detectors disappear; what remains is the view. The
network sees radiographs only like this; fusion always uses the real detector. A scanned beam has no matrix: a beam that stands
still takes its place here (:mod:`.scanned_views`).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import unit
from XRayTo3DLib.images.volume import MU_WATER

#: Pixels along a side of the virtual detector for each voxel along the grid's longest side (the diagonal needs 1.41).
_MARGIN = 1.5


def voxel_size(grid: Grid) -> float:
    """The side in mm of a cube of one voxel's volume."""
    return float(grid.voxel_volume ** (1 / 3))


def _axis(projection: Projection, grid: Grid) -> np.ndarray:
    """Unit vector of the ray through the grid's centre, from the tube on."""
    return projection.beam_direction if projection.source is None else unit(grid.centre - projection.source)


def virtual_projection(projection: Projection, grid: Grid) -> Projection:
    """The virtual detector of a view (cone or parallel) over a grid: the same source or beam, as seen from the tube."""
    centre = grid.centre
    axis = _axis(projection, grid)
    up = grid.direction[:, 2] / np.linalg.norm(grid.direction[:, 2])
    if abs(up @ axis) > 0.99:
        up = -grid.direction[:, 1] / np.linalg.norm(grid.direction[:, 1])
    column_direction = -unit(up - (up @ axis) * axis)
    row_direction = np.cross(column_direction, axis)
    side = int(np.ceil(_MARGIN * max(grid.size) / 16) * 16)
    pitch = voxel_size(grid)
    origin = centre - (side - 1) / 2 * pitch * (row_direction + column_direction)
    return Projection(
        origin,
        row_direction,
        column_direction,
        (pitch, pitch),
        (side, side),
        source=projection.source,
        ray_direction=projection.ray_direction,
    )


def to_virtual(line_integrals: np.ndarray, projection: Projection, grid: Grid, virtual: Projection | None = None) -> np.ndarray:
    """A radiograph (rows, columns) resampled onto its virtual detector, float32; outside the real detector it is 0.

    Pixels smaller than the virtual ones are averaged first (a Gaussian of the missing width), then interpolated linearly.
    ``virtual`` is the detector of another beam: what is measured lands where both beams meet in the grid's middle plane.
    """
    virtual = virtual_projection(projection, grid) if virtual is None else virtual
    pixels = np.stack(np.meshgrid(*map(np.arange, virtual.size), indexing="ij"), axis=-1).reshape(-1, 2)
    landing = projection.project(virtual.pixel_positions(pixels))
    step = np.array([virtual.spacing[0] / projection.spacing[0], virtual.spacing[1] / projection.spacing[1]])
    if projection.is_scanned:
        step = step * projection.magnification(grid.centre)
    elif projection.source is not None:
        depth = float(np.linalg.norm(grid.centre - projection.source))
        step = step * float(projection.source_to_detector or 0) / depth
    sigma = 0.42 * np.sqrt(np.maximum(step**2 - 1, 0))
    smooth = ndimage.gaussian_filter(np.asarray(line_integrals, dtype=np.float32), sigma, mode="nearest")
    rows_columns = np.nan_to_num(landing[:, ::-1], nan=-1e6).T
    return ndimage.map_coordinates(smooth, rows_columns, order=1, cval=0.0).reshape(virtual.size).astype(np.float32)


def matrix(virtual: Projection, grid: Grid) -> np.ndarray:
    """4x4: LPS mm to (column w, row w, depth, w), depth in pixels along the beam axis from the grid's centre, w 1 there."""
    axis = _axis(virtual, grid)
    depth = np.append(axis, -axis @ grid.centre) / virtual.spacing[0]
    w_at_centre = float(virtual.matrix[2] @ np.append(grid.centre, 1.0))
    rows = virtual.matrix / w_at_centre
    return np.vstack([rows[:2], depth, rows[2:]])


def beam(virtual: Projection, grid: Grid) -> np.ndarray:
    """What the network is told of a view: the beam axis in the grid's own axes, and grid width over source distance."""
    axis = _axis(virtual, grid)
    width = 0.0
    if virtual.source is not None:
        width = voxel_size(grid) * max(grid.size) / float(np.linalg.norm(grid.centre - virtual.source))
    return np.append(np.linalg.inv(grid.direction) @ axis, width)


def mirrored(matrices: np.ndarray, beams: np.ndarray, grid: Grid, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices and beams of the same views of the patient mirrored along the grid's x axis, whose pictures mirror in columns.

    ``matrices`` (V, 4, 4), ``beams`` (V, 4), ``width`` of the virtual pictures in pixels.
    """
    axis = grid.direction[:, 0] / np.linalg.norm(grid.direction[:, 0])
    reflection = np.eye(4)
    reflection[:3, :3] -= 2 * np.outer(axis, axis)
    reflection[:3, 3] = 2 * (axis @ grid.centre) * axis
    turned = matrices @ reflection
    turned[:, 0] = (width - 1) * turned[:, 3] - turned[:, 0]
    return turned, beams * np.array([-1.0, 1.0, 1.0, 1.0])


def scale(grid: Grid) -> float:
    """The line integral of 32 voxels of water: radiographs are divided by it before the network sees them."""
    return 32 * voxel_size(grid) * MU_WATER
