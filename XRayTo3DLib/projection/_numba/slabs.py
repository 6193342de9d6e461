"""The fast kernel for many rays through a volume larger than the processor's cache, by numba.

The planes that the rays cross are copied, a slab at a time, and all rays go through a slab before the next is copied. A slab
stays in the cache; its voxels lie in the order in which rays read them; and zeros around it make checks at the borders
needless. Nothing outside ``_joseph`` uses this file.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.projection._numba.compiled import jit, run

_CACHE_BYTES = 12_000_000
#: Samples of a plane, in voxels of it, from which on copying it pays; planes of x lie across memory.
_WORTH, _WORTH_ACROSS = 0.75, 1.5
#: Planes of a slab. The compiler makes vectors of so many samples of a ray.
_DEPTH, _LEAST_DEPTH = 32, 8
#: Zeros on either side: a ray's span may end at samples that lie up to 2 voxels outside.
_BORDER = 2
#: Voxels of a slab are counted in float32, which is quicker, and exact so far.
_MOST_VOXELS = 2**24
#: Floats of a cache line.
_LINE = 16
_F32, _I32, _U32 = np.float32, np.int32, np.uint32


def pay(volume: np.ndarray, axis: int, samples: int) -> bool:
    """Whether so many samples of every plane across an axis are worth copying the planes."""
    rows, row = _plane(volume, axis)
    worth = samples > rows * row * (_WORTH_ACROSS if axis == 0 else _WORTH)
    return worth and volume.nbytes > _CACHE_BYTES and rows * row * _LEAST_DEPTH <= _MOST_VOXELS


def forward(
    volume: np.ndarray,
    axis: int,
    shifts: np.ndarray,
    lines: np.ndarray,
    spans: np.ndarray,
    order: np.ndarray,
    values: np.ndarray,
    threads: int,
) -> None:
    """Set ``values`` of the rays ``order``, all of one kind, to their line integrals; the rest is as in ``_joseph``."""
    rows, row = _plane(volume, axis)
    depth = min(_DEPTH, _MOST_VOXELS // (rows * row))
    slab = np.zeros((depth, rows, row), np.float32)
    first, end = int(spans[order, 0].min()), int(spans[order, 3].max())
    for begin in range(first, end, depth):
        planes = begin, min(end, begin + depth)
        run(_copy, (volume, axis, *planes, slab), volume.shape[1 if axis == 2 else 0], threads)
        run(_trace, (slab.reshape(-1), rows * row, row, *planes, shifts, lines, spans, order, values), len(order), threads)


def _plane(volume: np.ndarray, axis: int) -> tuple[int, int]:
    """Rows and columns of a plane of a slab: both odd, in cache lines along a row.

    Rows of a power of two, as CTs have them, would put all the planes that a ray crosses into the same few places of the cache.
    """
    u_size, v_size = volume.shape[1 if axis == 0 else 2], volume.shape[1 if axis == 2 else 0]
    return (v_size + 2 * _BORDER) | 1, (-(-(u_size + 2 * _BORDER) // _LINE) | 1) * _LINE


@jit
def _copy(volume, axis, first, last, slab, begin, end):  # type: ignore[no-untyped-def]
    """The planes [first, last) of an axis, for some of their rows."""
    if axis != 0:
        for v in range(begin, end):
            for k in range(first, last):
                source = volume[v, k] if axis == 1 else volume[k, v]
                target = slab[k - first, v + _BORDER]
                for x in range(len(source)):
                    target[_BORDER + x] = source[x]
        return
    for z in range(begin, end):
        for y in range(0, volume.shape[1], _LINE):
            for k in range(first, last):
                target = slab[k - first, z + _BORDER]
                for u in range(y, min(volume.shape[1], y + _LINE)):
                    target[_BORDER + u] = volume[z, u, k]


@jit
def _sum(slab, base, k_stride, v_stride, u, v, du, dv, planes):  # type: ignore[no-untyped-def]
    """Bilinear samples of consecutive planes, added up; the compiler makes vectors of this loop."""
    total = _F32(0)
    sv, sk, down = _I32(v_stride), _F32(k_stride), _F32(v_stride)
    for n in range(planes):
        k = _F32(_I32(n))
        x, y = u + k * du, v + k * dv
        i, j = np.floor(x), np.floor(y)
        at = _U32(_I32(base) + _I32(k * sk + (i + j * down)))
        a, b = slab[at], slab[_U32(at + _U32(1))]
        c, d = slab[_U32(at + sv)], slab[_U32(at + sv + 1)]
        p, q = a + (x - i) * (b - a), c + (x - i) * (d - c)
        total += p + (y - j) * (q - p)
    return total


@jit
def _trace(slab, k_stride, v_stride, first, last, shifts, lines, spans, order, values, begin, end):  # type: ignore[no-untyped-def]
    """Add what the planes [first, last) give to some of the rays."""
    for i in order[begin:end]:
        low, high = max(spans[i, 0], first), min(spans[i, 3], last)
        if high <= low:
            continue
        u, v, du, dv = lines[i, 0] + _BORDER, lines[i, 1] + _BORDER, lines[i, 2], lines[i, 3]
        total = _F32(0)
        for shift in shifts:
            at = low + shift
            total += _sum(
                slab, (low - first) * k_stride, k_stride, v_stride,
                _F32(u + at * du), _F32(v + at * dv), _F32(du), _F32(dv), high - low,
            )  # fmt: skip
        values[i] += total * lines[i, 4] / len(shifts)
