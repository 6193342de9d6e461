"""The frame in which one-view shape models see and give an organ: a parallel picture and a cube about a point.

A model is shown the radiograph as a parallel beam along the patient's own axis would give it on the plane through the organ's
middle, and gives the organ in a cube around that point, so that any frontal (or lateral) geometry is told from the picture: a
topogram's scanned beam, a C-arm's cone, AP or PA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.reconstruction.grids import common_centre

#: The picture that models take: pixels a side and mm a pixel; and voxels a side of the cube that they give.
PICTURE_SIZE, PICTURE_MM = 256, 1.5
SHAPE_SIZE = 64
#: The pixels of the pictures that models learn from.
_SHARPEST_MM = 4.0
#: The LPS axis along the beam, and that along the picture's columns.
DEPTH_AXIS = {"frontal": 1, "lateral": 0}
ACROSS_AXIS = {"frontal": 0, "lateral": 1}
#: Looks at a picture: the first may be far from the organ; its place is found when it moves by less than this many mm.
_LOOKS, _SETTLED_MM = 12, 1.0
#: A beam farther from the patient's axis, in degrees, shows the organ from another side than the models know.
_LARGEST_TILT = 15.0


def view_of(radiograph: Radiograph) -> str:
    """ "frontal" or "lateral"; :class:`InputError` for a beam that is farther than 15 degrees from both."""
    direction = np.abs(radiograph.projection.beam_direction)
    view = max(DEPTH_AXIS, key=lambda v: float(direction[DEPTH_AXIS[v]]))
    tilt = np.degrees(np.arccos(np.clip(direction[DEPTH_AXIS[view]], 0, 1)))
    if tilt > _LARGEST_TILT:
        raise InputError(
            f"The beam of {radiograph.name or 'the view'} is {tilt:.0f} degrees from the patient's {view} axis and this model "
            f"takes up to {_LARGEST_TILT:g}: give a frontal or lateral view, or choose a model for any direction."
        )
    return view


def plane_points(view: str, centre: np.ndarray, size: int, pixel: float) -> np.ndarray:
    """LPS mm (size, size, 3) of the pixels of a picture about ``centre``: rows down the patient, columns to LPS +x or +y."""
    offset = (np.arange(size) - (size - 1) / 2) * pixel
    points = np.empty((size, size, 3))
    points[:] = centre
    points[..., 2] -= offset[:, None]
    points[..., ACROSS_AXIS[view]] += offset[None, :]
    return points


def seen_at(values: np.ndarray, radiograph: Radiograph, points: np.ndarray) -> np.ndarray:
    """A picture of the radiograph's detector where it shows ``points`` (..., 3), float32; 0 beside the detector."""
    places = radiograph.projection.project(points.reshape(-1, 3))  # column, row
    found = ndimage.map_coordinates(np.asarray(values, dtype=np.float32), places[:, ::-1].T, order=1, mode="constant")
    return found.reshape(points.shape[:-1]).astype(np.float32)


def picture_about(radiograph: Radiograph, view: str, centre: np.ndarray) -> np.ndarray:
    """What a model is shown: line integrals [256, 256] on the plane through ``centre`` (LPS mm), no sharper than it learned."""
    values = radiograph.line_integrals
    if radiograph.valid is not None:
        values = np.where(radiograph.valid, values, 0)
    projection = radiograph.projection
    larger = projection.magnification(centre)
    blocks = [max(1, round(_SHARPEST_MM * m / s)) for m, s in zip(larger, projection.spacing, strict=True)]
    if max(blocks) > 1:
        values = ndimage.uniform_filter(np.asarray(values, dtype=np.float32), blocks, mode="nearest")
    return seen_at(values, radiograph, plane_points(view, centre, PICTURE_SIZE, PICTURE_MM))


def mask_about(mask: np.ndarray, radiograph: Radiograph, view: str, centre: np.ndarray, spacing: float) -> np.ndarray:
    """A drawn mask as the cube's shadow [64, 64], 0 or 1, on the plane through ``centre``."""
    points = plane_points(view, centre, SHAPE_SIZE, spacing)
    return (seen_at(mask, radiograph, points) >= 0.5).astype(np.float32)


def mask_centre(mask: np.ndarray, radiograph: Radiograph, view: str, start: np.ndarray) -> np.ndarray:
    """``start`` moved within its plane to the middle of the box around a drawn mask."""
    rows, columns = np.nonzero(mask)
    place = 0.5 * np.array([[rows.min() + rows.max(), columns.min() + columns.max()]])
    projection, axis = radiograph.projection, DEPTH_AXIS[view]
    pixel = projection.pixel_positions(place)[0]
    parallel = projection.source is None
    along = projection.beam_direction if parallel else pixel - projection.source_positions(place)[0]
    return pixel + (start[axis] - pixel[axis]) / along[axis] * along


def cube_at(centre: np.ndarray, spacing: float) -> Grid:
    """The grid of the cube that a model gives around a point."""
    return Grid.centred(centre, SHAPE_SIZE, spacing)


@dataclass(frozen=True)
class Place:
    """Where an organ was found (``centre``, LPS mm), about which point the last picture was, and what the model said of it."""

    view: str
    centre: np.ndarray
    seen_about: np.ndarray
    answer: Any


#: A model's answer about a picture (1, 1, 256, 256) and a mask (1, 1, 64, 64) or ``None``, with the offset (3,) to the organ in mm.
Look = Callable[[torch.Tensor, torch.Tensor | None], tuple[Any, np.ndarray]]


def find_place(radiograph: Radiograph, look: Look, mask: np.ndarray | None, spacing: float, progress: Progress) -> Place:
    """Look at a radiograph about where the organ is taken to be, again and again, until its place stays.

    A drawn mask tells the place but for the depth; its shadow has pixels of ``spacing`` mm.
    """
    view, middle = view_of(radiograph), common_centre([radiograph.projection])
    centre = middle.copy() if mask is None else mask_centre(mask, radiograph, view, middle)
    for number in range(_LOOKS):
        progress(number / _LOOKS, "looking for the organ")
        picture = torch.from_numpy(picture_about(radiograph, view, centre))[None, None]
        drawn = None if mask is None else torch.from_numpy(mask_about(mask, radiograph, view, centre, spacing))[None, None]
        answer, offset = look(picture, drawn)
        found = middle + offset
        if mask is None:
            across = [ACROSS_AXIS[view], 2]
            found[across] = centre[across] + offset[across]
        else:
            found = mask_centre(mask, radiograph, view, found)
        moved = float(np.linalg.norm(found - centre))
        centre, seen_about = found, centre
        if moved < _SETTLED_MM:
            break
    return Place(view, centre, seen_about, answer)


def check_view(card: dict[str, Any], radiograph: Radiograph) -> None:
    """Raise :class:`InputError` unless the radiograph is of the view that a model's card names."""
    wanted, view = card["inputs"].get("view"), view_of(radiograph)
    if wanted is not None and view != wanted:
        raise InputError(
            f"The model {card['name']} takes a {wanted} view, and {radiograph.name or 'the view'} is {view}: give the other "
            "view or choose another model."
        )
