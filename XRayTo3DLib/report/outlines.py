"""Outlines of structures, drawn over the picture of a radiograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from XRayTo3DLib.anatomy.catalogue import COLOURS

#: Small pictures are enlarged to about this many pixels along their longer side, so that outlines look smooth.
_SIDE = 900
#: Outlines are this wide in pixels, and drawn this much finer and averaged, but not in pictures larger than that.
_WIDTH, _FINER, _LARGE = 1.7, 3, 2048


def colour_names(structures: Sequence[str]) -> dict[str, str]:
    """The colour of each structure in :func:`draw_outlines`, in words."""
    words = list(COLOURS)
    return {name: words[index % len(words)] for index, name in enumerate(structures)}


def draw_outlines(picture: np.ndarray, outlines: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The grey ``picture`` [row, column] (0 to 1) in colour [row, column, 3], with outlines over it.

    ``outlines`` holds for each structure polylines (N, 2) of (row, column). A small picture is enlarged by a whole number.
    """
    factor = max(1, -(-_SIDE // max(picture.shape)))
    large = ndimage.zoom(picture, factor, order=1, mode="nearest", grid_mode=True) if factor > 1 else picture
    drawn = np.repeat(np.clip(large, 0, 1)[..., np.newaxis], 3, axis=2)
    colours = list(COLOURS.values())
    for index, polylines in enumerate(outlines):
        for polyline in polylines:
            # Pixel centres are whole numbers; the first pixel of the enlarged picture begins at the same edge.
            _draw(drawn, (polyline + 0.5) * factor - 0.5, colours[index % len(colours)])
    return drawn


def _draw(picture: np.ndarray, polyline: np.ndarray, colour: tuple[float, float, float]) -> None:
    """One line over a picture, smoothed at its sides; only the part of the picture around it is touched."""
    finer = _FINER if max(picture.shape) <= _LARGE else 1
    margin = int(np.ceil(_WIDTH)) + 1
    low = np.maximum(np.floor(polyline.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(polyline.max(axis=0)).astype(int) + margin + 1, picture.shape[:2])
    part = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    fine = np.zeros((high - low) * finer, dtype=bool)
    radius = _WIDTH * finer / 2
    reach = np.arange(-int(radius), int(radius) + 1)
    brush = [(row, column) for row in reach for column in reach if np.hypot(row, column) <= radius]
    places = np.unique(np.rint((_dense(polyline, 2 * finer) - low + 0.5) * finer - 0.5).astype(int), axis=0)
    for offset in brush:
        place = places + offset
        place = place[((place >= 0) & (place < fine.shape)).all(axis=1)]
        fine[place[:, 0], place[:, 1]] = True
    cover = fine.reshape(high[0] - low[0], finer, high[1] - low[1], finer).mean(axis=(1, 3))[..., np.newaxis]
    picture[part] = (1 - cover) * picture[part] + cover * np.array(colour)


def _dense(polyline: np.ndarray, each: int) -> np.ndarray:
    """Points along a polyline, ``each`` of them a pixel."""
    steps = np.linalg.norm(np.diff(polyline, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], int(along[-1] * each) + 2)
    return np.stack([np.interp(wanted, along, polyline[:, axis]) for axis in (0, 1)], axis=1)
