"""Parametrized X-rays for the eye: with their markers, and moving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from XRayTo3DLib.files import writing
from XRayTo3DLib.parametrized.loop import State
from XRayTo3DLib.parametrized.regions import Region

#: Pictures of 128 pixels are shown at twice their size, each frame of an animation for so many milliseconds.
_SCALE, _MILLISECONDS = 2, 80
_RADIUS = 3
_GAMMA = 0.7
#: Things that were found are tinted so.
_FOUND = np.array([235, 77, 38], dtype=np.float64)


def shade(xray: np.ndarray, range_: float) -> np.ndarray:
    """Line integrals [row, column] as bytes, bone bright: 0 to ``range_`` with a gamma that shows soft tissue."""
    return (255 * np.clip(xray / range_, 0, 1) ** _GAMMA).astype(np.uint8)


def picture(
    xray: np.ndarray, region: Region, range_: float, points: np.ndarray | None = None, mask: np.ndarray | None = None
) -> Image.Image:
    """An X-ray at twice its size; ``points`` [landmark, 2] are drawn in the landmarks' colours, ``mask`` [row, column] tinted."""
    grey = np.repeat(shade(xray, range_)[..., None], 3, axis=2).astype(np.float64)
    if mask is not None:
        grey[mask] = 0.5 * grey[mask] + 0.5 * _FOUND
    image = Image.fromarray(grey.astype(np.uint8)).resize(tuple(_SCALE * n for n in xray.shape[::-1]), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for landmark, point in zip(region.landmarks, points if points is not None else [], strict=points is not None):
        if np.isfinite(point).all():
            row, column = (_SCALE * (value + 0.5) - 0.5 for value in point)
            colour = tuple(round(255 * part) for part in landmark.colour)
            box = (column - _RADIUS, row - _RADIUS, column + _RADIUS, row + _RADIUS)
            draw.ellipse(box, outline=colour)
            draw.point((column, row), fill=colour)
    return image


def state_picture(state: State, region: Region) -> Image.Image:
    """A state's X-ray with its markers."""
    range_ = region.frame.range.get(state.surface.view, max(float(state.xray.max()), 1e-3))
    return picture(state.xray, region, range_, state.points)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row."""
    width, height = sum(one.width for one in pictures), max(one.height for one in pictures)
    whole = Image.new("RGB", (width, height))
    left = 0
    for one in pictures:
        whole.paste(one, (left, 0))
        left += one.width
    return whole


def write_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """An animated GIF that runs for ever, there and back."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    with writing(path) as temporary:
        there_and_back[0].save(
            temporary, format="GIF", save_all=True, append_images=there_and_back[1:], duration=_MILLISECONDS, loop=0
        )
