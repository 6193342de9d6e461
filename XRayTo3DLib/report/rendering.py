"""Surfaces as a shaded picture, drawn with numpy alone.

A report must be written on machines without a screen or an OpenGL driver, where VTK's off-screen windows end the
process. What a report needs is little: an orthographic view, the nearest point of each structure in each pixel,
shading by the normal, and structures seen through each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.catalogue import Colour, structure_colour
from XRayTo3DLib.anatomy.surfaces import Surface

#: Opacity seen face on; it rises towards the outline, as on glass.
_OPACITY = {"body": 0.18, "lungs": 0.55}
_BACKGROUND = np.array([0.09, 0.11, 0.14])
#: Towards the viewer, who stands in front of the patient (-y), to the left (+x) and a little above: LPS.
_TOWARDS = np.array([0.55, -1.0, 0.18])
#: Points handled at once; bounds the memory of a call, not its result.
_POINTS = 200_000
#: Pixels are drawn this much finer and averaged.
_FINER = 2


def render(groups: Sequence[Sequence[Surface]], side: int = 370) -> np.ndarray:
    """RGB from 0 to 1, shape (side, side * groups, 3): a panel a group of surfaces (LPS mm), on one scale."""
    forward = _TOWARDS / np.linalg.norm(_TOWARDS)
    right = np.cross([0, 0, 1.0], forward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    known = [vtk_to_numpy(s.polydata.GetPoints().GetData()) @ axes.T for surfaces in groups for s in surfaces]
    low = np.min([points.min(axis=0) for points in known], axis=0)
    high = np.max([points.max(axis=0) for points in known], axis=0)
    pixels = side * _FINER
    scale = 0.94 * pixels / max(high[0] - low[0], high[1] - low[1], 1e-6)
    panels = []
    for surfaces in groups:
        layers = [_layer(s, structure_colour(s.name, n), axes, (low + high) / 2, scale, pixels) for n, s in enumerate(surfaces)]
        panels.append(_blend(layers, pixels).reshape(side, _FINER, side, _FINER, 3).mean(axis=(1, 3)))
    return np.concatenate(panels, axis=1)


def _layer(
    surface: Surface, own: Colour, axes: np.ndarray, middle: np.ndarray, scale: float, pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (-inf where there is nothing), colour and opacity of a surface's nearest points, one a pixel."""
    points = (vtk_to_numpy(surface.polydata.GetPoints().GetData()) @ axes.T - middle) * scale
    points[:, 0] += pixels / 2
    points[:, 1] = pixels / 2 - points[:, 1]
    normals = vtk_to_numpy(surface.polydata.GetPointData().GetNormals()) @ axes.T
    triangles = vtk_to_numpy(surface.polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    triangles = triangles[normals[triangles, 2].max(axis=1) > 0]  # the others face away
    corners, turned = points[triangles].astype(np.float32), normals[triangles].astype(np.float32)
    extent = np.ptp(corners[:, :, :2], axis=1).max(axis=1)
    steps = np.ceil(1.2 * np.exp2(np.ceil(2 * np.log2(np.clip(extent, 1, 64))) / 2)).astype(int)
    depth = np.full(pixels * pixels, -np.inf, np.float32)
    facing = np.zeros((pixels * pixels, 3), np.float32)
    for number in np.unique(steps):
        rows = np.flatnonzero(steps == number)
        lattice = _lattice(int(number))
        for weights in np.array_split(lattice, 1 + len(lattice) * len(rows) // _POINTS):
            place = np.einsum("nc,tcd->ntd", weights, corners[rows]).reshape(-1, 3)
            column, row = np.rint(place[:, 0]).astype(np.int64), np.rint(place[:, 1]).astype(np.int64)
            index = np.clip(row, 0, pixels - 1) * pixels + np.clip(column, 0, pixels - 1)
            nearer = np.flatnonzero(place[:, 2] > depth[index])
            nearer = nearer[np.argsort(place[nearer, 2])]  # of several in one pixel the nearest is written last
            depth[index[nearer]] = place[nearer, 2]
            point, triangle = np.divmod(nearer, len(rows))
            facing[index[nearer]] = np.einsum("nc,ncd->nd", weights[point], turned[rows[triangle]])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-6)
    towards = np.clip(facing[:, 2], 0, 1)
    light = np.clip(facing @ np.array([-0.35, 0.45, 0.82], np.float32), 0, 1)
    colour = np.array(own) * (0.35 + 0.75 * light[:, None]) + 0.18 * light[:, None] ** 30
    base = _OPACITY.get(surface.name, 1.0)
    opacity = (base + (1 - base) * (1 - towards) ** 3) * np.isfinite(depth)
    return depth, np.clip(colour, 0, 1), opacity


def _lattice(steps: int) -> np.ndarray:
    """Barycentric weights (N, 3) of points spread over a triangle, ``steps`` along each side."""
    first, second = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    first, second = first[first + second <= steps], second[first + second <= steps]
    return np.stack([first, second, steps - first - second], axis=1).astype(np.float32) / steps


def _blend(layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]], pixels: int) -> np.ndarray:
    """The layers over the background, the farthest first in each pixel."""
    picture = np.broadcast_to(_BACKGROUND, (pixels * pixels, 3)).copy()
    if layers:
        order = np.argsort(np.stack([depth for depth, _, _ in layers]), axis=0)
        colours, opacities = np.stack([c for _, c, _ in layers]), np.stack([o for _, _, o in layers])
        every = np.arange(pixels * pixels)
        for rank in order:
            opacity = opacities[rank, every, None]
            picture = (1 - opacity) * picture + opacity * colours[rank, every]
    return picture.reshape(pixels, pixels, 3)
