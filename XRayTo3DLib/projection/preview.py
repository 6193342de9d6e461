"""Fast previews: line integrals at many frames a second on a processor, at a relative error of some tenths of a percent.

Neighbouring planes of the volume are merged, once for each axis, so that a frame reads a quarter of it. A frame of any pose is
then a shear-warp (Lacroute and Levoy, SIGGRAPH 1994): the sums for a detector that stands along the voxel axes, which
the fast kernel sweeps up plane by plane, and one interpolation of that picture at the rays of the real detector.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.projection.alignment import SPARSE_SIDE, AlignedDetector
from XRayTo3DLib.projection.rays import Rays, has_kernel, integrate, integrate_aligned, sweep

#: Merged are at most so many planes, and as many as keep the slope of the rays times the number of planes below this.
_MOST_MERGED = 4
_MOST_SHEAR = 2.2
#: Steeper rays than this against the planes' normal are integrated one by one instead.
_STEEPEST = 4.0
#: Pixels of the picture that is warped, in voxels of the plane farthest from the source.
_STEP = 0.8


class MergedPlanes:
    """A volume, float [z, y, x] in 1/mm, with its merged planes of each axis, kept as they come up."""

    def __init__(self, volume: torch.Tensor) -> None:
        self.volume = volume
        self._thin: dict[tuple[int, int], torch.Tensor] = {}

    def integrate_aligned(self, aligned: AlignedDetector) -> torch.Tensor | None:
        """As :func:`XRayTo3DLib.projection.rays.integrate_aligned`, faster and less exact."""
        if any(self._is_near(aligned.axis, end) for end in aligned.planes):
            return integrate_aligned(self.volume, aligned)
        count = _planes_together(aligned.slope)
        return integrate_aligned(self.thin(aligned.axis, count), aligned.merged(count), twice=False)

    def integrate(self, points: torch.Tensor, directions: torch.Tensor, half_line: bool, width: int) -> torch.Tensor:
        """Line integrals (N,) along rays as those of :class:`XRayTo3DLib.projection.rays.Rays`, faster and less exact."""
        rows, columns = (torch.linspace(0, n - 1, min(n, SPARSE_SIDE)).round().long() for n in (len(directions) // width, width))
        few = directions.detach()[(rows[:, None] * width + columns).reshape(-1)]
        axis = int(few.square().sum(dim=0).argmax())
        tilt = (few.square().sum(dim=1) / few[:, axis].square() - 1).clamp(max=1e6)
        count = _planes_together(float(tilt.mean().sqrt()))
        nearest = [float(end) for end in torch.aminmax(points[:, axis].detach())] if half_line else []
        if any(self._is_near(axis, end) for end in nearest) or float(tilt.max().sqrt()) > _STEEPEST:
            return integrate(self.volume, Rays.of_view(points, directions, half_line, width, twice=(True, True, True)))
        thin = self.thin(axis, count)
        scale, shift = torch.ones_like(directions[0]), torch.zeros_like(directions[0])
        scale[axis], shift[axis] = 1 / count, (count - 1) / 2
        points, directions = (points - shift) * scale, directions * scale
        graded = torch.is_grad_enabled() and any(t.requires_grad for t in (thin, points, directions))
        spreads = _spreading(points, directions, [a for a in (0, 1, 2) if a != axis], half_line)
        if graded or not has_kernel(thin) or spreads is None:
            return integrate(thin, Rays.of_view(points, directions, half_line, width, axis))
        return _shear_warp(thin, points, directions, axis, half_line, spreads)

    def _is_near(self, axis: int, source: float) -> bool:
        """Whether a source stands among the planes of an axis or close to them: merged ones are too thick for it."""
        return -_MOST_MERGED < source < self.volume.shape[2 - axis] - 1 + _MOST_MERGED

    def thin(self, axis: int, count: int) -> torch.Tensor:
        """The volume with ``count`` neighbouring planes of an axis merged into their mean."""
        if count == 1:
            return self.volume
        if (axis, count) not in self._thin:
            self._thin[axis, count] = _merge(self.volume, 2 - axis, count)
        return self._thin[axis, count]


def _planes_together(slope: float) -> int:
    count = 1
    while 2 * count <= _MOST_MERGED and 2 * count * slope <= _MOST_SHEAR:
        count *= 2
    return count


def _merge(volume: torch.Tensor, dim: int, count: int) -> torch.Tensor:
    """Means of ``count`` neighbouring planes; beyond the last plane there are zeros."""
    whole = volume.shape[dim] // count * count
    parts = volume.narrow(dim, 0, whole).unflatten(dim, (-1, count)).mean(dim=dim + 1)
    if whole == volume.shape[dim]:
        return parts
    rest = volume.narrow(dim, whole, volume.shape[dim] - whole).sum(dim=dim, keepdim=True) / count
    return torch.cat([parts, rest], dim=dim)


def _spreading(points: torch.Tensor, directions: torch.Tensor, minor: list[int], half_line: bool) -> tuple[bool, bool] | None:
    """Whether rays fan out along each minor axis, so that a detector along the voxel axes sees them all; ``None`` where none does.

    Those of a scanned beam are parallel along the scan: it must run along a minor axis.
    """
    if len(points) == 1 or not half_line:
        return half_line, half_line
    travelled = (points[-1] - points[0]).abs()
    scan = int(travelled.argmax())
    still = [a for a in (0, 1, 2) if a != scan]
    if scan not in minor or float(travelled[still].max()) > 1e-6 * float(travelled[scan]):
        return None
    if float((directions[:, scan] / directions.abs().amax(dim=1)).abs().max()) > 1e-6:
        return None
    return minor[0] != scan, minor[1] != scan


def _shear_warp(
    volume: torch.Tensor,
    points: torch.Tensor,
    directions: torch.Tensor,
    axis: int,
    half_line: bool,
    spreads: tuple[bool, bool],
) -> torch.Tensor:
    """Line integrals (N,) by way of a picture on a detector along the voxel axes; a source stands outside the planes.

    Rays are known by their slope along a minor axis where they spread, and by where they meet plane 0 where they do not.
    """
    minor = [a for a in (0, 1, 2) if a != axis]
    planes, sizes = volume.shape[2 - axis], [volume.shape[2 - a] for a in minor]
    slopes = directions[:, minor] / directions[:, [axis]]
    crossings = points[:, minor] - slopes * points[:, [axis]]
    source = points[0].tolist()
    ends = np.array([0.0, planes - 1.0]) - source[axis]
    where, nodes, sides, steps = [], [], [], []
    for n, (spread, extent, a) in enumerate(zip(spreads, sizes, minor, strict=True)):
        found, slope = (slopes if spread else crossings)[:, n], float(slopes[0, n])
        step = _STEP / float(np.abs(ends).max()) if spread else _STEP
        # No wider than the shadow of the volume.
        if spread:
            shadow = [(edge - source[a]) / float(end) for edge in (-1, extent) for end in ends]
        else:
            shadow = [edge - slope * k for edge in (-1, extent) for k in (0, planes - 1)]
        low, high = max(float(found.min()), min(shadow)), min(float(found.max()), max(shadow))
        if high < low:
            return volume.new_zeros(len(directions))
        own = np.arange(int(np.floor(low / step)) - 2, int(np.ceil(high / step)) + 3) * step
        sides.append(np.stack([source[a] - own * source[axis], own] if spread else [own, np.full_like(own, slope)]))
        where.append(found)
        nodes.append(float(own[0]))
        steps.append(step)
    limits = (-np.inf, np.inf)
    if half_line:
        limits = (source[axis], np.inf) if float(directions[0, axis]) > 0 else (-np.inf, source[axis])
    picture = sweep(volume, AlignedDetector(axis, sides[0], sides[1], limits, np.ones((1, 1))))
    size = torch.tensor([picture.shape[1], picture.shape[0]], dtype=torch.float64)
    pitch, first = torch.tensor(steps, dtype=torch.float64), torch.tensor(nodes, dtype=torch.float64)
    # grid_sample's coordinates with align_corners=False: index i sits at (2 i + 1) / n - 1.
    at = (torch.stack(where, dim=1) * (2 / (pitch * size)) + ((1 - 2 * first / pitch) / size - 1)).to(volume.dtype)
    values = functional.grid_sample(picture[None, None], at[None, None], mode="bicubic", align_corners=False)[0, 0, 0]
    return values / directions[:, axis].abs().to(volume.dtype)
