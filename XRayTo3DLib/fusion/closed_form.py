"""Fusion: a reconstruction is corrected until it agrees with the radiographs it came from.

One ray that measures ``p`` and sees ``P = sum(mu_i) * step`` in the reconstruction spreads what is missing over its voxels by the
weights ``mu_i ** beta``: ``mu_i += (p - P) / step * mu_i**beta / sum(mu**beta)`` (Henzler et al., Computer Graphics Forum 37, 2018,
section 4.2; the closed form in line integrals re-projects exactly, the printed one in transparencies does not). A single parallel
view is solved by that in one step, slab by slab if the volume is large. Several views and cone beams use the same weights in
an iteration, with the projector's own adjoint, until every view agrees.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, Volume

#: The default weight's exponent. With the bundled weights, two views of the validation heads and necks gave 25.98 dB with 1, 26.01
#: with 0.8 and 26.02 with 0.6 and 0.4 (`xrayto3d evaluate --beta`); the lateral turned by 10 degrees 25.45, 25.52, 25.61, 25.65.
BETA = 0.5
#: Attenuation in 1/mm below which a ray counts as empty: a thousandth of water along its whole way.
EMPTY = 1e-3 * MU_WATER

#: The largest exponent: with more the weights of air and bone no longer fit into single precision, and nothing would be corrected.
_LARGEST_BETA = 8.0


def check_beta(beta: float) -> None:
    """Raise :class:`InputError` unless ``beta`` is an exponent that weights can have."""
    if not 0 <= beta <= _LARGEST_BETA:  # NaN too
        raise InputError(f"The exponent beta of the fusion's weights is {beta}: give a number from 0 to {_LARGEST_BETA:g}.")


def distribute(
    values: np.ndarray,
    measured: np.ndarray,
    step: float,
    beta: float = BETA,
    inside: np.ndarray | None = None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """Attenuation corrected so that each ray's sum is the measured one; rays run along the first axis.

    ``values`` (depth, rows, columns) in 1/mm, not negative; ``measured`` line integrals (rows, columns); ``step`` mm between
    samples; ``inside`` (depth, rows, columns) where an empty ray may be filled, everywhere by default; ``valid`` (rows, columns)
    which rays were measured: others stay as they are. Returns float64 of the same shape whose ``sum(axis=0) * step`` is
    ``measured`` (0 where that is negative) to rounding. What clipping at zero takes away is taken from the rest of the ray.
    """
    check_beta(beta)
    _check_step(step)
    if valid is not None:
        measured = np.where(valid, measured, 0)
    if not (np.isfinite(values).all() and np.isfinite(measured).all()):
        raise InputError("The volume or the image holds NaN or infinite values: fusion needs finite ones.")
    result = np.maximum(np.asarray(values, dtype=np.float64), 0)
    target = np.maximum(np.asarray(measured, dtype=np.float64), 0) / step
    if result.shape[1:] != target.shape:
        raise InputError(f"The image has {target.shape} rays but the volume {result.shape[1:]}: resample one to the other.")
    empty = (result.max(axis=0) <= EMPTY) & (target > 0)
    room = np.ones(result.shape, bool) if inside is None else np.asarray(inside, bool)
    fill = np.where(room.any(axis=0), room, True)
    result = np.where(empty, fill * (target / fill.sum(axis=0)), result)
    for _ in range(len(result) + 1):
        missing = target - result.sum(axis=0)
        if valid is not None:
            missing = np.where(valid, missing, 0)
        if np.abs(missing).max() <= 1e-12 * max(1.0, float(target.max())):
            break
        weights = np.where(result > 0, np.maximum(result, 1e-300) ** beta, 0.0)
        total = weights.sum(axis=0)
        share = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        result = np.maximum(result + missing * share, 0)
    return result


def fuse_slabs(volume: Volume, radiograph: Radiograph, step: float, beta: float = BETA, rows: int = 64) -> Iterator[Volume]:
    """Fusion with one parallel view at the radiograph's own resolution, a slab of detector rows at a time.

    ``volume`` (1/mm, any grid) is sampled linearly on slabs whose voxels are the detector's pixels, ``step`` mm deep along the
    beam; each is corrected in closed form and yielded as a :class:`Volume` in its place (LPS). Together they are the
    reconstruction at full resolution, which is never held whole here.
    """
    check_beta(beta)
    _check_step(step)
    if rows < 1:
        raise InputError(f"Slabs of {rows} detector rows cannot be made: give at least 1.")
    projection = radiograph.projection
    if projection.ray_direction is None:
        raise InputError(f"Slabs need a parallel view; use fuse() for a {projection.beam} beam.")
    ray = projection.beam_direction
    if abs(ray @ projection.row_direction) > 1e-6 or abs(ray @ projection.column_direction) > 1e-6:
        raise InputError("Slabs need a detector at right angles to the beam; resample the radiograph first.")
    depths = (volume.grid.corners - projection.origin) @ ray
    count = int(np.ceil((depths.max() - depths.min()) / step))
    direction = np.stack([projection.row_direction, projection.column_direction, ray], axis=1)
    for first in range(0, projection.size[0], rows):
        part = radiograph.line_integrals[first : first + rows]
        valid = None if radiograph.valid is None else radiograph.valid[first : first + rows]
        corner = projection.origin + first * projection.spacing[0] * projection.column_direction + (depths.min() + step / 2) * ray
        grid = Grid(
            (part.shape[1], part.shape[0], count),
            (projection.spacing[1], projection.spacing[0], step),
            tuple(corner),
            direction,
        )
        coarse = resample(volume, grid).array
        yield Volume(distribute(coarse, part, step, beta, valid=valid).astype(np.float32), grid, "1/mm")


def _check_step(step: float) -> None:
    if not (np.isfinite(step) and step > 0):
        raise InputError(f"Samples {step} mm apart cannot be fused: give a positive number of mm.")
