"""Landmarks of the skin of head and neck, from the outline of the body in its midline.

All stand on one profile: the foremost and the hindmost skin of each slice near the midline. The neck is the deepest recess of
the front between face and chest, the chin the point that a line leaning forward first meets above it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.signal import find_peaks

from XRayTo3DLib.parametrized.body import Body

#: Half the width of the band around the midline in which the profile is taken, and its smoothing along z, in mm.
_BAND_MM, _SMOOTH_MM = 12.0, 3.0
#: A recess between face and chest is at least this deep.
_LEAST_RECESS_MM = 12.0
#: The line that touches the chin leans forward: this many mm for each mm that it rises.
_CHIN_LEAN = 0.5
#: How far above the neck the chin is looked for, and above the chin the tip of the nose and the back of the head.
_CHIN_REACH_MM, _NOSE_MM, _OCCIPUT_MM, _NECK_MM = 150.0, (50.0, 110.0), (10.0, 190.0), (110.0, 10.0)
#: What ends nearer to the field's end than this may go on beyond it; a tip stands out by so much, and is flat within so much.
_END_MM, _STANDS_OUT_MM, _FLAT_MM = 8.0, 2.0, 1.0


def skin_points(body: Body, given: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """chin, nose_tip, nape, occiput, neck_left and neck_right in LPS mm; those that the field does not show are absent.

    A ``given`` chin (LPS mm) is taken as it is, and the others are measured from it.
    """
    profile = _Profile(body)
    chin = (given or {}).get("chin")
    row = profile.chin_row() if chin is None else int(np.argmin(np.abs(profile.z - chin[2])))
    if row is None:
        return {}
    found = {"chin": np.asarray(chin, dtype=np.float64) if chin is not None else profile.point(row, "front")}
    found["nape"] = np.array([profile.x, np.interp(found["chin"][2], profile.z, profile.back), found["chin"][2]])
    nose = profile.tip(row, _NOSE_MM, "front")
    if nose is not None:
        found["nose_tip"] = profile.point(nose, "front")
    occiput = profile.tip(row, _OCCIPUT_MM, "back")
    if occiput is not None:
        found["occiput"] = profile.point(occiput, "back")
    return found | profile.neck(row)


def wall_point(body: Body, x: float, z: float, wall: str) -> np.ndarray | None:
    """The foremost (``"front"``) or hindmost (``"back"``) skin at LPS x and z mm, or ``None`` outside the body."""
    profile = _Profile(body, x)
    if not profile.z[0] - 1e-6 <= z <= profile.z[-1] + 1e-6:
        return None
    y = float(np.interp(z, profile.z, profile.front if wall == "front" else profile.back))
    return np.array([profile.x, y, z])


class _Profile:
    """The skin near the midline: for each slice of the field its foremost and hindmost y, in LPS mm, from low to high z."""

    def __init__(self, body: Body, x: float | None = None) -> None:
        self.body = body
        self.x = _head_midline(body) if x is None else x
        grid = body.grid
        columns = np.abs(grid.origin[0] + np.arange(grid.size[0]) * grid.spacing[0] - self.x) <= max(_BAND_MM, grid.spacing[0])
        band = np.asarray(body.mask[:, :, columns].any(axis=2))
        rows = np.flatnonzero(band.any(axis=1))
        self.rows = np.arange(rows[0], rows[-1] + 1)
        self.z = body.z(self.rows)
        band = band[self.rows]
        shown = np.asarray(band.any(axis=1))
        first = _interpolated(band.argmax(axis=1).astype(float), shown)
        last = _interpolated((band.shape[1] - 1 - band[:, ::-1].argmax(axis=1)).astype(float), shown)
        sigma = _SMOOTH_MM / grid.spacing[2]
        # The skin is half a voxel outside the outermost centres.
        self.front = ndimage.gaussian_filter1d((first - 0.5) * grid.spacing[1] + grid.origin[1], sigma, mode="nearest")
        self.back = ndimage.gaussian_filter1d((last + 0.5) * grid.spacing[1] + grid.origin[1], sigma, mode="nearest")

    def point(self, row: int, wall: str) -> np.ndarray:
        return np.array([self.x, (self.front if wall == "front" else self.back)[row], self.z[row]])

    def chin_row(self) -> int | None:
        """The row of the chin; ``None`` when no recess of a neck is seen under a face."""
        # Below the field the front counts as far forward: a neck that the scan ends in is a recess too.
        peaks, about = find_peaks(np.concatenate([[-1e4], self.front]), prominence=_LEAST_RECESS_MM)
        if not len(peaks):
            return None
        recess = int(peaks[np.argmax(about["prominences"])]) - 1
        above = (self.z >= self.z[recess]) & (self.z <= self.z[recess] + _CHIN_REACH_MM)
        above &= self.front <= self.front[recess] - _LEAST_RECESS_MM
        if not above.any():
            return None
        lean = np.where(above, self.front + _CHIN_LEAN * (self.z - self.z[recess]), np.inf)
        chin = int(np.argmin(lean))
        return chin if self.z[-1] - self.z[chin] > _END_MM else None

    def tip(self, chin: int, reach: tuple[float, float], wall: str) -> int | None:
        """The row of the outermost skin between two heights above the chin; ``None`` at the ends of that stretch."""
        stretch = np.flatnonzero((self.z >= self.z[chin] + reach[0]) & (self.z <= self.z[chin] + reach[1]))
        if len(stretch) < 3:
            return None
        out = -self.front[stretch] if wall == "front" else self.back[stretch]
        row = int(np.median(stretch[out >= out.max() - _FLAT_MM]))  # the skin goes in steps of voxels
        # It must stand out from both ends of the stretch: what still rises there has its tip beyond.
        stands_out = float(out.max() - max(out[0], out[-1]))
        return row if stands_out >= _STANDS_OUT_MM and self.z[-1] - self.z[row] > 2 * _END_MM else None

    def neck(self, chin: int) -> dict[str, np.ndarray]:
        """The sides of the neck where it is narrowest, when that is inside the field."""
        grid, sides = self.body.grid, self.body.sides[self.rows]
        width = ndimage.gaussian_filter1d(sides.sum(axis=1) * grid.spacing[0], _SMOOTH_MM / grid.spacing[2], mode="nearest")
        stretch = np.flatnonzero((self.z >= self.z[chin] - _NECK_MM[0]) & (self.z <= self.z[chin] + _NECK_MM[1]))
        row = int(stretch[np.argmin(width[stretch])])
        if row in (stretch[0], stretch[-1]) or self.z[row] - self.z[0] < _END_MM:
            return {}
        columns = np.flatnonzero(sides[row])
        y = float(np.argwhere(self.body.mask[self.rows[row]])[:, 0].mean()) * grid.spacing[1] + grid.origin[1]
        ends = {"neck_right": columns[0] - 0.5, "neck_left": columns[-1] + 0.5}
        return {name: np.array([end * grid.spacing[0] + grid.origin[0], y, self.z[row]]) for name, end in ends.items()}


def _head_midline(body: Body) -> float:
    """LPS x in mm of the middle of head and neck: shoulders and arms, which are wider and seldom alike, do not count."""
    sides = body.sides
    rows = np.flatnonzero(sides.any(axis=1))
    first = sides[rows].argmax(axis=1)
    last = sides.shape[1] - 1 - sides[rows, ::-1].argmax(axis=1)
    slim = last - first <= 1.3 * np.median((last - first)[len(rows) // 2 :])
    middle = (first + last)[slim] / 2 if slim.any() else (first + last) / 2
    return float(np.median(middle)) * body.grid.spacing[0] + body.grid.origin[0]


def _interpolated(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    index = np.arange(len(values))
    return values if known.all() else np.interp(index, index[known], values[known])
