"""The fast kernel of the projector, for float32 volumes on a processor: numba, compiled once and cached on disk.

Nothing outside ``integration`` uses this file, and everything works without it, slower: it does what ``integration`` does in
torch, sample by sample, in the same order of ideas. A ray is walked plane by plane along its index axis (0 x, 1 y, 2 z);
in the middle, where all four neighbours exist, without checks; at the borders with them. Threads share out the rays, those of
a tile of the detector one after the other, as they read the same memory; or, for the adjoint, planes, so that no two
threads write one voxel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from XRayTo3DLib.projection._numba import slabs as _slabs
from XRayTo3DLib.projection._numba.compiled import inline, jit, run

_TILE_ROWS, _TILE_COLUMNS = 4, 64
#: Planes that a ray samples before it goes back for their second samples: their memory is still near.
_NEAR = 64
#: Planes of one piece of work of the adjoint: a multiple of a cache line, so that threads do not share one.
_PLANES = 32
_F32, _I32, _U32 = np.float32, np.int32, np.uint32


def forward(
    volume: np.ndarray,
    points: np.ndarray,
    directions: np.ndarray,
    kinds: np.ndarray,
    shifts: Sequence[Sequence[float]],
    half_line: bool,
    width: int,
    threads: int,
    slopes: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (N,) and their derivatives.

    - ``volume``: float32 [z, y, x], contiguous;
    - ``points`` (N, 3) or (1, 3), ``directions`` (N, 3): float64, voxel index coordinates (x, y, z), per mm of ray;
    - ``kinds``: int8 (N,), the axis whose planes a ray crosses, plus 3 times the number of its ``shifts``: where around a
      plane, in gaps between planes, it is sampled; samples of one plane weigh the same;
    - ``width``: rays in a row of the detector, for tiles of neighbours;
    - with ``slopes`` the second array (N, 6) is the derivative by point and direction, else it is empty.
    """
    rays = len(directions)
    values = np.zeros(rays, np.float32)
    # Those of a far source are large and nearly cancel in those of a pose: double precision.
    derivatives = np.zeros((rays if slopes else 0, 6))
    lines, spans = _prepared(volume.shape, points, directions, kinds, shifts, half_line, threads)
    for axis, around, order in _sorted(kinds, shifts, spans, width):
        layout = volume.reshape(-1), volume.shape, _strides_of(volume.shape), axis, around, lines, spans, order
        if slopes:
            run(_forward_slopes, (*layout, points, directions, values, derivatives), len(order), threads)
        elif _slabs.pay(volume, axis, len(around) * len(order)):
            _slabs.forward(volume, axis, around, lines, spans, order, values, threads)
        else:
            run(_forward, (*layout, values), len(order), threads)
    return values, derivatives


def _sorted(
    kinds: np.ndarray, shifts: Sequence[Sequence[float]], spans: np.ndarray, width: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For every kind of ray its axis, its shifts and the numbers of the rays that meet the volume, tile by tile."""
    down, across = -(-len(kinds) // (width * _TILE_ROWS)), -(-width // _TILE_COLUMNS)
    row, column = (np.arange(n, dtype=np.int32) for n in (down * _TILE_ROWS, across * _TILE_COLUMNS))
    numbers = np.where(column < width, row[:, None] * width + column, len(kinds))
    order = numbers.reshape(down, _TILE_ROWS, across, _TILE_COLUMNS).transpose(0, 2, 1, 3).reshape(-1)
    order = order[order < len(kinds)]
    found = np.where(spans[:, 3] > spans[:, 0], kinds, -1)[order]
    for kind in range(3 * len(shifts)):
        mine = order[found == kind]
        if len(mine):
            yield kind % 3, np.array(shifts[kind // 3]), mine


def adjoint(
    pixels: np.ndarray,
    volume: np.ndarray,
    points: np.ndarray,
    directions: np.ndarray,
    kinds: np.ndarray,
    shifts: Sequence[Sequence[float]],
    half_line: bool,
    threads: int,
) -> None:
    """Add to ``volume`` what every pixel (N,) spreads along its ray, with the weights of :func:`forward`."""
    lines, spans = _prepared(volume.shape, points, directions, kinds, shifts, half_line, threads)
    for axis, around, order in _sorted(np.where(pixels == 0, -1, kinds), shifts, spans, len(kinds)):
        pieces = -(-volume.shape[2 - axis] // _PLANES)
        layout = volume.reshape(-1), volume.shape, _strides_of(volume.shape), axis, around, lines, spans, order
        run(_adjoint, (*layout, pixels), pieces, threads)


def _prepared(
    shape: tuple[int, ...],
    points: np.ndarray,
    directions: np.ndarray,
    kinds: np.ndarray,
    shifts: Sequence[Sequence[float]],
    half_line: bool,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Of every ray its line (N, 5) and its span (N, 4), as :func:`_prepare` fills them in."""
    rays = len(directions)
    lines, spans = np.empty((rays, 5)), np.empty((rays, 4), np.int32)
    reach = np.array([max(around) for around in shifts])
    run(_prepare, (shape, points, directions, kinds, reach, half_line, lines, spans), rays, threads)
    return lines, spans


def _strides_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Voxels from one x, y and z to the next in a contiguous volume."""
    return 1, shape[2], shape[1] * shape[2]


@inline
def _axes(axis):  # type: ignore[no-untyped-def]
    """The minor axes: u, which varies faster in memory, and v. The array axis of x is 2, of y 1, of z 0."""
    return 1 if axis == 0 else 0, 1 if axis == 2 else 2


@inline
def _clipped(spans, i, begin, end):  # type: ignore[no-untyped-def]
    """The span of a ray, as far as it lies in the planes [begin, end)."""
    low, high = max(spans[i, 0], begin), min(spans[i, 3], end)
    first = min(max(spans[i, 1], low), max(low, high))
    return low, first, max(first, min(spans[i, 2], high)), high


@jit
def _prepare(shape, points, directions, kinds, reach, half_line, lines, spans, begin, end):  # type: ignore[no-untyped-def]
    """Start and slope of rays in u and v, and the millimetres from one plane to the next; and where they meet planes.

    A ray can touch the planes [low, high); in those of [first, last) all its samples have all their neighbours, so that they
    need no checks. Every sample lies within ``reach`` gaps of its plane. A margin keeps what is computed in float32 inside.
    """
    margin = 1e-3 + 5e-7 * max(shape[0], shape[1], shape[2])
    for i in range(begin, end):
        axis, p = kinds[i] % 3, i if len(points) > 1 else 0
        u_axis, v_axis = _axes(axis)
        step = directions[i, axis]
        low, high = 0.0, float(shape[2 - axis])
        if half_line:
            if step > 0:
                low = max(low, np.floor(points[p, axis]) + 1)
            else:
                high = min(high, np.ceil(points[p, axis]))
        first, last = low, high
        for n, a in ((0, u_axis), (1, v_axis)):
            slope, size = directions[i, a] / step, shape[2 - a]
            start = points[p, a] - slope * points[p, axis]
            lines[i, n], lines[i, 2 + n] = start, slope
            near = abs(slope) * reach[kinds[i] // 3] + margin
            if abs(slope) > 1e-9:
                a0, a1 = (-1 - near - start) / slope, (size + near - start) / slope
                b0, b1 = (near - start) / slope, (size - 1 - near - start) / slope
                low, high = max(low, min(a0, a1)), min(high, max(a0, a1) + 1)
                first, last = (max(first, min(b0, b1)), min(last, max(b0, b1) + 1)) if size > 1 + 2 * near else (1.0, 0.0)
            else:
                if start <= -1 or start >= size:
                    high = low
                if not near <= start <= size - 1 - near:
                    last = first
        lines[i, 4] = 1 / abs(step)
        # A ray far beside the volume meets it, if at all, at planes whose numbers no integer holds.
        low, high = min(low, float(shape[2 - axis])), max(high, 0.0)
        start, stop = int(np.ceil(low)), max(int(np.ceil(low)), int(np.floor(high)))
        first = min(max(first, float(start)), float(stop))
        last = min(max(last, float(start)), float(stop))
        inner = int(np.ceil(first))
        spans[i, 0], spans[i, 1], spans[i, 3] = start, inner, stop
        spans[i, 2] = max(inner, int(np.floor(last)))


@inline
def _ordered(strides, axis):  # type: ignore[no-untyped-def]
    """Voxels from one plane, u and v to the next."""
    x, y, z = strides
    if axis == 0:
        return x, y, z
    return (y, x, z) if axis == 1 else (z, x, y)


@jit
def _checked(volume, shape, strides, axis, k, u, v):  # type: ignore[no-untyped-def]
    """The four neighbours in plane k, 0 where there is none, and the position between them."""
    i, j = int(np.floor(u)), int(np.floor(v))
    k_stride, u_stride, v_stride = _ordered(strides, axis)
    u_size = shape[1] if axis == 0 else shape[2]
    v_size = shape[1] if axis == 2 else shape[0]
    a = b = c = d = _F32(0)
    offset = k * k_stride + i * u_stride + j * v_stride
    if 0 <= j < v_size:
        if 0 <= i < u_size:
            a = volume[offset]
        if 0 <= i + 1 < u_size:
            b = volume[offset + u_stride]
    if 0 <= j + 1 < v_size:
        if 0 <= i < u_size:
            c = volume[offset + v_stride]
        if 0 <= i + 1 < u_size:
            d = volume[offset + u_stride + v_stride]
    return a, b, c, d, _F32(u - i), _F32(v - j)


@jit
def _sum(volume, base, k_stride, u_stride, v_stride, u, v, du, dv, planes):  # type: ignore[no-untyped-def]
    """Bilinear samples of consecutive planes, added up, without checks; the compiler makes vectors of this loop."""
    total = _F32(0)
    sk, su, sv, o = _I32(k_stride), _I32(u_stride), _I32(v_stride), _I32(base)
    for n in range(planes):
        k = _I32(n)
        x, y = u + _F32(k) * du, v + _F32(k) * dv
        i, j = _I32(x), _I32(y)
        # Unsigned: an index that cannot be negative needs no check for Python's counting from the end.
        at = _U32(o + _I32(k * sk) + _I32(i * su) + _I32(j * sv))
        a, b = volume[at], volume[_U32(at + su)]
        c, d = volume[_U32(at + sv)], volume[_U32(at + su + sv)]
        p, q = a + (x - _F32(i)) * (b - a), c + (x - _F32(i)) * (d - c)
        total += p + (y - _F32(j)) * (q - p)
    return total


@jit
def _forward(flat, shape, strides, axis, shifts, lines, spans, order, values, begin, end):  # type: ignore[no-untyped-def]
    k_stride, u_stride, v_stride = _ordered(strides, axis)
    for i in order[begin:end]:
        low, first, last, high = spans[i, 0], spans[i, 1], spans[i, 2], spans[i, 3]
        u, v, du, dv, length = lines[i, 0], lines[i, 1], lines[i, 2], lines[i, 3], lines[i, 4]
        total = 0.0
        for k in range(first, last, _NEAR):
            for shift in shifts:
                total += _sum(
                    flat, k * k_stride, k_stride, u_stride, v_stride,
                    _F32(u + (k + shift) * du), _F32(v + (k + shift) * dv), _F32(du), _F32(dv), min(_NEAR, last - k),
                )  # fmt: skip
        for shift in shifts:
            for start, stop in ((low, first), (last, high)):
                for k in range(start, stop):
                    a, b, c, d, fu, fv = _checked(flat, shape, strides, axis, k, u + (k + shift) * du, v + (k + shift) * dv)
                    p, q = a + fu * (b - a), c + fu * (d - c)
                    total += p + fv * (q - p)
        values[i] = total * length / len(shifts)


@jit
def _sums(volume, base, k_stride, u_stride, v_stride, u, v, du, dv, planes):  # type: ignore[no-untyped-def]
    """As ``_sum``, with the sums of the derivatives by u and v, and of these times the number of the plane."""
    total = by_u = by_v = by_ku = by_kv = _F32(0)
    sk, su, sv, o = _I32(k_stride), _I32(u_stride), _I32(v_stride), _I32(base)
    for n in range(planes):
        k = _I32(n)
        x, y = u + _F32(k) * du, v + _F32(k) * dv
        i, j = _I32(x), _I32(y)
        fu, fv = x - _F32(i), y - _F32(j)
        at = _U32(o + _I32(k * sk) + _I32(i * su) + _I32(j * sv))
        a, b = volume[at], volume[_U32(at + su)]
        c, d = volume[_U32(at + sv)], volume[_U32(at + su + sv)]
        p, q = a + fu * (b - a), c + fu * (d - c)
        g, h = (b - a) + fv * ((d - c) - (b - a)), q - p
        total += p + fv * h
        by_u += g
        by_v += h
        by_ku += _F32(k) * g
        by_kv += _F32(k) * h
    return total, by_u, by_v, by_ku, by_kv


@jit
def _forward_slopes(  # type: ignore[no-untyped-def]
    flat, shape, strides, axis, shifts, lines, spans, order, points, directions, values, derivatives, begin, end
):
    k_stride, u_stride, v_stride = _ordered(strides, axis)
    u_axis, v_axis = _axes(axis)
    for i in order[begin:end]:
        low, first, last, high = spans[i, 0], spans[i, 1], spans[i, 2], spans[i, 3]
        u, v, du, dv, length = lines[i, 0], lines[i, 1], lines[i, 2], lines[i, 3], lines[i, 4]
        total = by_u = by_v = by_du = by_dv = 0.0
        for shift in shifts:
            u0, v0 = u + shift * du, v + shift * dv
            if last > first:
                s, g, h, kg, kh = _sums(
                    flat, first * k_stride, k_stride, u_stride, v_stride,
                    _F32(u0 + first * du), _F32(v0 + first * dv), _F32(du), _F32(dv), last - first,
                )  # fmt: skip
                total, by_u, by_v = total + s, by_u + g, by_v + h
                by_du += kg + (first + shift) * g
                by_dv += kh + (first + shift) * h
            for start, stop in ((low, first), (last, high)):
                for k in range(start, stop):
                    a, b, c, d, fu, fv = _checked(flat, shape, strides, axis, k, u0 + k * du, v0 + k * dv)
                    p, q = a + fu * (b - a), c + fu * (d - c)
                    g, h = (b - a) + fv * ((d - c) - (b - a)), q - p
                    total, by_u, by_v = total + p + fv * h, by_u + g, by_v + h
                    by_du += (k + shift) * g
                    by_dv += (k + shift) * h
        weight = length / len(shifts)
        values[i] = total * weight
        # start = p_minor - slope p_axis, slope = d_minor / d_axis, length = 1 / |d_axis|: the chain rule.
        along, step = points[i if len(points) > 1 else 0, axis], directions[i, axis]
        by_du, by_dv = by_du - along * by_u, by_dv - along * by_v
        derivatives[i, u_axis] = weight * by_u
        derivatives[i, v_axis] = weight * by_v
        derivatives[i, axis] = -weight * (by_u * du + by_v * dv)
        derivatives[i, 3 + u_axis] = weight * by_du / step
        derivatives[i, 3 + v_axis] = weight * by_dv / step
        derivatives[i, 3 + axis] = -weight * (by_du * du + by_dv * dv + total) / step


@jit
def _spread(volume, base, k_stride, u_stride, v_stride, u, v, du, dv, planes, value):  # type: ignore[no-untyped-def]
    """The transpose of ``_sum``: the value goes to the voxels that were read."""
    sk, su, sv, o = _I32(k_stride), _I32(u_stride), _I32(v_stride), _I32(base)
    for n in range(planes):
        k = _I32(n)
        x, y = u + _F32(k) * du, v + _F32(k) * dv
        i, j = _I32(x), _I32(y)
        fu, fv = x - _F32(i), y - _F32(j)
        at = _U32(o + _I32(k * sk) + _I32(i * su) + _I32(j * sv))
        q = fv * value
        p = value - q
        volume[at] += p - fu * p
        volume[_U32(at + su)] += fu * p
        volume[_U32(at + sv)] += q - fu * q
        volume[_U32(at + su + sv)] += fu * q


@jit
def _spread_checked(volume, shape, strides, axis, k, u, v, value):  # type: ignore[no-untyped-def]
    i, j = int(np.floor(u)), int(np.floor(v))
    fu, fv = _F32(u - i), _F32(v - j)
    k_stride, u_stride, v_stride = _ordered(strides, axis)
    u_size = shape[1] if axis == 0 else shape[2]
    v_size = shape[1] if axis == 2 else shape[0]
    offset = k * k_stride + i * u_stride + j * v_stride
    for down in range(2):
        for right in range(2):
            if 0 <= i + right < u_size and 0 <= j + down < v_size:
                weight = (fu if right else 1 - fu) * (fv if down else 1 - fv)
                volume[offset + right * u_stride + down * v_stride] += _F32(weight * value)


@jit
def _adjoint(flat, shape, strides, axis, shifts, lines, spans, order, pixels, begin, end):  # type: ignore[no-untyped-def]
    k_stride, u_stride, v_stride = _ordered(strides, axis)
    for piece in range(begin, end):
        for i in order:
            low, first, last, high = _clipped(spans, i, piece * _PLANES, (piece + 1) * _PLANES)
            if high <= low:
                continue
            u, v, du, dv, length = lines[i, 0], lines[i, 1], lines[i, 2], lines[i, 3], lines[i, 4]
            value = _F32(pixels[i] * length / len(shifts))
            for shift in shifts:
                u0, v0 = u + shift * du, v + shift * dv
                if last > first:
                    _spread(
                        flat, first * k_stride, k_stride, u_stride, v_stride,
                        _F32(u0 + first * du), _F32(v0 + first * dv), _F32(du), _F32(dv), last - first, value,
                    )  # fmt: skip
                for start, stop in ((low, first), (last, high)):
                    for k in range(start, stop):
                        _spread_checked(flat, shape, strides, axis, k, u0 + k * du, v0 + k * dv, value)
