"""The surface image: depth and thickness of the body as seen along parallel rays, in mm, placed by two landmarks of the skin.

Two channels as in Teixeira et al. (CVPR 2018): how far the nearest skin lies behind a plane before the body, and how far apart the
nearest and the farthest skin are; both in units of 100 mm, 0 outside the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.parametrized.body import Body
from XRayTo3DLib.parametrized.regions import Region

#: mm that count as 1 in both channels.
UNIT_MM = 100.0
#: Steps along the rays in mm; the skin is put where the linearly interpolated mask crosses one half, between steps.
_STEP_MM = 2.0


@dataclass(frozen=True, eq=False)
class SurfaceImage:
    """What a region's networks see of a body.

    - ``array``: float32 [2, row, column]: depth and thickness in units of 100 mm of the frame, 0 outside the body;
    - ``projection``: where the picture stands (parallel, LPS mm);
    - ``region`` and ``view``: the names they were made for;
    - ``points``: the two landmarks (LPS mm) that placed it;
    - ``field``: bool [row, column], false where the scan of the surface does not reach;
    - ``notes``: sentences for the user.
    """

    array: np.ndarray
    projection: Projection
    region: str
    view: str
    points: Mapping[str, np.ndarray]
    field: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def silhouette(self) -> np.ndarray:
        """bool [row, column]: the pixels whose rays meet the body."""
        return self.array[1] > 0


def surface_image(body: Body, region: Region, view: str, points: Mapping[str, np.ndarray]) -> SurfaceImage:
    """The surface image of a body in a view of a region; ``points`` (LPS mm by name) hold the frame's two landmarks.

    Raises :class:`InputError` when one is missing or the view is unknown.
    """
    projection = region.projection(view, points)
    scale = region.placed(points)[1]
    reach = 2 * region.frame.camera_mm * scale
    steps = int(np.ceil(reach / _STEP_MM)) + 1
    ray = projection.beam_direction
    directions = np.stack([projection.row_direction, projection.column_direction, ray], axis=1)
    start = projection.origin - reach / 2 * ray - region.frame.camera_mm * scale * ray
    rows, columns = projection.size
    grid = Grid((columns, rows, steps), (projection.spacing[1], projection.spacing[0], _STEP_MM), tuple(start), directions)
    depth, thickness = _crossings(_sampled(body, grid))
    array = np.stack([depth, thickness]) / (UNIT_MM * scale)
    placed = {name: np.asarray(points[name], dtype=np.float64) for name in region.frame.landmarks}
    seen = _field(body, projection)
    return SurfaceImage(
        array.astype(np.float32), projection, region.name, region.view_word(view), placed, seen, _notes(body, projection, seen)
    )


def _sampled(body: Body, grid: Grid) -> np.ndarray:
    """The mask, linearly interpolated on a grid; its first and last slices reach half a voxel past their centres."""
    ends = np.pad(np.pad(body.mask, ((1, 1), (0, 0), (0, 0)), mode="edge"), ((0, 0), (1, 1), (1, 1)))
    image = to_sitk(ends.astype(np.float32), body.grid.padded(1))
    low, high = body.field_mm
    found = sitk.GetArrayFromImage(
        sitk.Resample(
            image, grid.size, sitk.Transform(), sitk.sitkLinear, grid.origin, grid.spacing, grid.direction.ravel().tolist(), 0.0
        )
    )
    if body.grid.size[2] > 1 and (abs(grid.direction[2, 1]) > 0.999):  # upright rows: the field ends between two of them
        z = grid.origin[2] + np.arange(grid.size[1]) * grid.spacing[1] * grid.direction[2, 1]
        found[:, (z < low) | (z > high)] = 0
    return found


def _crossings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First crossing of one half along axis 0, and from it to the last one, in mm; 0 where there is none."""
    inside = values >= 0.5
    hit = inside.any(axis=0)
    first = inside.argmax(axis=0)
    last = len(values) - 1 - inside[::-1].argmax(axis=0)

    def between(index: np.ndarray, step: int) -> np.ndarray:
        """How far before ``index`` (against ``step``) the value is one half, in steps."""
        other = np.clip(index - step, 0, len(values) - 1)
        here = np.take_along_axis(values, index[None], axis=0)[0]
        there = np.take_along_axis(values, other[None], axis=0)[0]
        return np.where(other == index, 0.0, (here - 0.5) / np.maximum(here - there, 1e-6))

    near = (first - between(first, 1)) * _STEP_MM
    far = (last + between(last, -1)) * _STEP_MM
    return np.where(hit, near, 0.0), np.where(hit, np.maximum(far - near, _STEP_MM / 100), 0.0)


def _field(body: Body, projection: Projection) -> np.ndarray:
    """The pixels whose height lies in the field of the scan."""
    rows, columns = np.meshgrid(*(np.arange(n) for n in projection.size), indexing="ij")
    z = projection.pixel_positions(np.column_stack([rows.ravel(), columns.ravel()]))[:, 2].reshape(projection.size)
    low, high = body.field_mm
    return (z >= low if body.open_ends[0] else True) & (z <= high if body.open_ends[1] else True) & np.ones(z.shape, dtype=bool)


def _notes(body: Body, projection: Projection, seen: np.ndarray) -> tuple[str, ...]:
    """What the picture does not show, for the user."""
    notes = list(body.notes)
    rows = np.asarray(seen.any(axis=1))
    step = projection.spacing[0]
    above, below = int(rows.argmax()) if rows.any() else 0, int(rows[::-1].argmax()) if rows.any() else 0
    for count, where in ((above, "upper"), (below, "lower")):
        if count:
            notes.append(f"The surface ends inside the picture: the {where} {count * step:.0f} mm are outside its field.")
    corners = projection.project(body.points(np.argwhere(body.mask)[:: max(1, body.mask.sum() // 5000)]))
    sides = (corners[:, 0] < -0.5) | (corners[:, 0] > projection.size[1] - 0.5)
    if sides.mean() > 0.01:
        notes.append("The body is wider than the picture: its sides are cut off.")
    return tuple(notes)
