"""The fast kernels of the projector for detectors that stand along the voxel axes (see ``alignment``), by numba.

Nothing outside ``integration`` uses this file, and everything works without it, slower.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from XRayTo3DLib.projection._numba.compiled import announce, jit, share

#: Planes of x that a sweep copies together: a cache line.
_BLOCK = 16
#: Pieces of work of a sweep, handed out to the threads.
_PIECES = 8
_F32 = np.float32


def sweep(
    volume: np.ndarray,
    axis: int,
    first: int,
    u: np.ndarray,
    v: np.ndarray,
    threads: int,
) -> np.ndarray:
    """Sums (V, U) of bilinear samples of the planes from ``first`` on, for a detector that stands along the voxel axes.

    ``u`` (K, U) and ``v`` (K, V) say where the columns and rows of pixels meet each plane, in voxels; both grow or fall
    evenly with the pixel. A row of voxels is resampled once for all the rows of pixels that it meets: the same sums as
    those of :func:`forward`, many times faster.
    """
    rows = volume.shape[1] if axis == 2 else volume.shape[0]
    # So many whatever the number of threads is: the sums are rounded in the same order.
    pieces = min(rows, _PIECES)
    edges = [rows * n // pieces for n in range(pieces + 1)]
    # A row of voxels reaches the rows of pixels less than 1 away: a piece of work holds no more of the picture than these.
    low, high = v.min(axis=0), v.max(axis=0)
    parts = []
    for begin, end in pairwise(edges):
        near = np.nonzero((high > begin - 1) & (low < end))[0]
        top, bottom = (int(near[0]), int(near[-1]) + 1) if len(near) else (0, 0)
        parts.append((begin, end, top, np.zeros((bottom - top, u.shape[1]), np.float32)))
    columns = _neighbours(u, volume.shape[1] if axis == 0 else volume.shape[2], _BLOCK if axis == 0 else 1)
    announce(_sweep)

    def work(part: tuple[int, int, int, np.ndarray]) -> None:
        _sweep(volume, axis, first, *columns, v, *part)

    share(work, parts, threads)
    total = np.zeros((v.shape[1], u.shape[1]), np.float32)
    for _, _, top, picture in parts:
        total[top : top + len(picture)] += picture
    return total


@jit
def _neighbours(u, size, stride):  # type: ignore[no-untyped-def]
    """Left neighbour, times the stride, and the weights of both neighbours; one that does not exist weighs 0."""
    index = np.zeros(u.shape, np.uint32)
    left, right = np.zeros(u.shape, np.float32), np.zeros(u.shape, np.float32)
    for k in range(u.shape[0]):
        for c in range(u.shape[1]):
            if -1 < u[k, c] < size:
                i = int(np.floor(u[k, c]))  # adding 1 first would round up just below a whole number
                fraction = u[k, c] - i
                if i < 0:
                    left[k, c] = fraction
                elif i < size - 1:
                    index[k, c], left[k, c], right[k, c] = i * stride, 1 - fraction, fraction
                else:
                    index[k, c], right[k, c] = max(i - 1, 0) * stride, 1 - fraction
    return index, left, right


@jit
def _sweep(volume, axis, first, index, left, right, v, begin, end, top, picture):  # type: ignore[no-untyped-def]
    """Add what the voxel rows [begin, end) of every plane give to the rows of pixels from ``top`` on."""
    planes, columns = index.shape
    size = volume.shape[1] if axis == 0 else volume.shape[2]
    block = _BLOCK if axis == 0 else 1
    beside = np.uint64(min(1, size - 1) * block)
    # Planes of x lie across memory: a block of them is copied together, voxels of one plane then a block apart.
    lines = np.zeros(size * block if axis == 0 else 0, np.float32)
    flat, out = volume.reshape(-1), picture.reshape(-1)
    index, left, right = index.reshape(-1), left.reshape(-1), right.reshape(-1)
    line = np.zeros(columns, np.float32)
    for r in range(begin, end):
        for k0 in range(0, planes, block):
            if axis == 0:
                count = min(block, planes - k0)
                for c in range(size):
                    base = (r * size + c) * volume.shape[2] + first + k0
                    if count == _BLOCK:
                        for n in range(_BLOCK):
                            lines[c * _BLOCK + n] = flat[base + n]
                    else:
                        for n in range(count):
                            lines[c * _BLOCK + n] = flat[base + n]
            for k in range(k0, min(planes, k0 + block)):
                # The rows of pixels within 1 of this row of voxels: v is linear in the pixel.
                low, high, width = top, top + len(picture), v[k, -1] - v[k, 0]
                if abs(width) > 1e-9:  # else they all meet in the source
                    a, b = (r - 1 - v[k, 0]) / width, (r + 1 - v[k, 0]) / width
                    low = max(low, int(max(min(a, b), 0) * (v.shape[1] - 1)) - 1)
                    high = min(high, int(min(max(a, b), 1) * (v.shape[1] - 1)) + 2)
                if high <= low:
                    continue
                table = np.uint64(k * columns)
                if axis == 0:
                    _resample(lines, np.uint64(k - k0), beside, index, left, right, table, line)
                else:
                    start = (r * volume.shape[1] + first + k) if axis == 1 else ((first + k) * volume.shape[1] + r)
                    _resample(flat, np.uint64(start * size), beside, index, left, right, table, line)
                for p in range(low, high):
                    weight = _F32(1 - abs(v[k, p] - r))
                    if weight > 0:
                        target = np.uint64((p - top) * columns)
                        for c in range(columns):
                            out[target + np.uint64(c)] += weight * line[c]


@jit
def _resample(voxels, base, beside, index, left, right, table, line):  # type: ignore[no-untyped-def]
    for c in range(len(line)):
        t = table + np.uint64(c)
        i = base + np.uint64(index[t])
        line[c] = left[t] * voxels[i] + right[t] * voxels[i + beside]
