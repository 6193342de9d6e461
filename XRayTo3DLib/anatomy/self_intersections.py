"""Whether a triangle surface passes through itself: pairs of triangles that share no vertex and intersect."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

#: Lengths below this share of an edge are rounding.
_TOLERANCE = 1e-9


def self_intersections(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The pairs (N, 2) of triangles of a surface that intersect; ``points`` (V, 3), ``triangles`` (F, 3) indices of points.

    Triangles that share a vertex touch, and are left out; so are pairs in one plane. Two triangles intersect when an edge of one
    passes through the other (Moeller and Trumbore, Journal of Graphics Tools 2, 1997).
    """
    corners = np.asarray(points, dtype=np.float64)[np.asarray(triangles)]
    pairs = _near(corners)
    shared = (np.asarray(triangles)[pairs[:, 0], :, None] == np.asarray(triangles)[pairs[:, 1], None, :]).any(axis=(1, 2))
    pairs = pairs[~shared]
    hit = np.zeros(len(pairs), dtype=bool)
    for one, other in ((0, 1), (1, 0)):
        for edge in range(3):
            start = corners[pairs[:, one], edge]
            hit |= _passes(start, corners[pairs[:, one], (edge + 1) % 3] - start, corners[pairs[:, other]])
    return pairs[hit]


def _near(corners: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) of triangles whose boxes overlap."""
    middle = corners.mean(axis=1)
    radius = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)
    pairs = cKDTree(middle).query_pairs(2 * float(radius.max(initial=0)), output_type="ndarray")
    low, high = corners.min(axis=1), corners.max(axis=1)
    apart = (low[pairs[:, 0]] > high[pairs[:, 1]]) | (low[pairs[:, 1]] > high[pairs[:, 0]])
    return pairs[~apart.any(axis=1)]


def _passes(start: np.ndarray, along: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Whether the segments (N, 3) from ``start`` along ``along`` pass through the triangles (N, 3, 3), one to one."""
    first, second = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    cross = np.cross(along, second)
    volume = np.einsum("ij,ij->i", first, cross)
    scale = np.linalg.norm(along, axis=1) * np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    flat = np.abs(volume) <= _TOLERANCE * scale
    inverse = 1 / np.where(flat, 1, volume)
    away = start - triangle[:, 0]
    u = np.einsum("ij,ij->i", away, cross) * inverse
    turned = np.cross(away, first)
    v = np.einsum("ij,ij->i", along, turned) * inverse
    t = np.einsum("ij,ij->i", second, turned) * inverse
    return ~flat & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
