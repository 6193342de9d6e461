"""Line integrals along rays in voxel index coordinates: the arithmetic of the projector, in torch and in its fast kernel.

The volume is the trilinear interpolation of its voxel centres with zeros outside. A ray is integrated plane by plane along
the index axis it follows most (Joseph, IEEE Trans. Med. Imaging 1, 1982). Seen exactly, every plane takes part with the
average along the ray over the two gaps beside it, weighted like a hat. For steep rays the value in the plane stands for
that average; for oblique ones, two points at 1/sqrt(6) of a gap on either side do, which is exact up to cubic terms.

Torch is the reference: any device, float32 and float64. For float32 on the processor, numba takes over where it is
installed; the environment variable XRAYTO3D_NUMBA=0 says no.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch.utils.checkpoint import checkpoint

from XRayTo3DLib.projection.alignment import AlignedDetector

if hasattr(os, "register_at_fork"):
    # A forked process has none of the threads of torch's pool, and would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

#: Sample positions that torch holds at once; bounds the memory of a call, not its result.
_CHUNK_SAMPLES = 4_000_000
#: Root mean square slope of the rays against the planes' normal above which every plane is sampled twice. On a chest CT the
#: relative error of single samples is 3e-5 at 0.13, 1.5e-4 at 0.4 and 3e-4 at 0.75; of double ones a third of it.
_OBLIQUE = 0.35
#: Where around a plane, in gaps between planes, rays are sampled: steep ones, and oblique ones.
_SHIFTS = ((0.0,), (-(6**-0.5), 6**-0.5))


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays in voxel index coordinates (x, y, z), float64.

    - ``points`` (N, 3), or (1, 3) for one source; ``directions`` (N, 3), the index steps of one millimetre along the ray;
    - ``half_line``: what lies behind the points does not count;
    - ``width``: rays in a row of the detector, whose neighbours are used together;
    - ``kinds`` int8 (N,): the axis whose planes a ray crosses (0 x, 1 y, 2 z), plus 3 if it is sampled twice a plane.
    """

    points: torch.Tensor
    directions: torch.Tensor
    half_line: bool
    width: int
    kinds: torch.Tensor

    @staticmethod
    def of_view(
        points: torch.Tensor,
        directions: torch.Tensor,
        half_line: bool,
        width: int,
        axis: int | None = None,
        twice: Sequence[bool] | None = None,
    ) -> Rays:
        """The rays of one view.

        ``twice`` says for each axis whether the rays that follow it are sampled twice a plane; by default the rays themselves
        do, by :func:`is_oblique`. With an ``axis``, all cross the planes of that one, with one sample each.
        """
        if axis is not None:
            kinds = torch.full((len(directions),), axis, dtype=torch.int8, device=directions.device)
            return Rays(points, directions, half_line, width, kinds)
        twice = is_oblique(directions) if twice is None else twice
        kinds = directions.detach().abs().argmax(dim=1)
        kinds = (kinds + 3 * torch.tensor(twice, device=directions.device)[kinds]).to(torch.int8)
        return Rays(points, directions, half_line, width, kinds)

    @staticmethod
    def together(views: Sequence[Rays]) -> Rays:
        """The rays of several views of the same size, one after the other."""
        points = torch.cat([rays.points.expand(rays.directions.shape) for rays in views])
        directions, kinds = torch.cat([rays.directions for rays in views]), torch.cat([rays.kinds for rays in views])
        return Rays(points, directions, views[0].half_line, views[0].width, kinds)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, directions and kinds, as the fast kernel takes them."""
        points, directions = (t.detach().to(torch.float64).contiguous().numpy() for t in (self.points, self.directions))
        return points, directions, self.kinds.contiguous().numpy()


def is_oblique(directions: torch.Tensor) -> tuple[bool, bool, bool]:
    """Whether the rays that follow x, y and z need two samples a plane."""
    squares = directions.detach().square()
    greatest, major = squares.max(dim=1)
    slopes = squares.sum(dim=1) / greatest - 1
    x, y, z = (bool((major == axis).any()) and float(slopes[major == axis].mean()) > _OBLIQUE**2 for axis in range(3))
    return x, y, z


def integrate(volume: torch.Tensor, rays: Rays) -> torch.Tensor:
    """Line integrals (N,) of ``volume`` [z, y, x] along rays, per mm; differentiable in volume, points and directions.

    The result has the dtype and device of the volume.
    """
    if has_kernel(volume):
        return _Lines.apply(volume, rays.points, rays.directions, rays)
    total = volume.new_zeros(len(rays.directions))
    for kind in torch.unique(rays.kinds).tolist():
        rows = torch.nonzero(rays.kinds == kind).squeeze(1)
        points = rays.points if len(rays.points) == 1 else rays.points[rows]
        values = _along(volume, points, rays.directions[rows], kind % 3, _SHIFTS[kind // 3], rays.half_line)
        total = total.index_put((rows,), values)
    return total


def integrate_adjoint(values: torch.Tensor, shape: tuple[int, int, int], rays: Rays) -> torch.Tensor:
    """The adjoint of :func:`integrate`: every ray's value (N,) spread over the voxels it crossed, with the same weights."""
    kernel = _kernel(values)
    if kernel is not None:
        volume = values.new_zeros(shape)  # not numpy's: large pages, which it asks for, are slow to get when memory is scattered
        pixels = values.detach().contiguous().numpy()
        kernel.adjoint(pixels, volume.numpy(), *rays.arrays(), _SHIFTS, rays.half_line, torch.get_num_threads())
        return volume
    with torch.enable_grad():
        zeros = values.new_zeros(shape, requires_grad=True)
        (total,) = torch.autograd.grad(integrate(zeros, rays), zeros, values)
    return total


def integrate_aligned(volume: torch.Tensor, aligned: AlignedDetector, twice: bool | None = None) -> torch.Tensor | None:
    """The same sums, many times faster, for a detector along the voxel axes: (rows, columns), not differentiable.

    ``twice`` samples every plane twice; by default oblique rays are. ``None`` where there is no faster way.
    """
    if aligned.is_straight:
        # Parallel rays along an axis meet all planes at the same place: add the planes up first.
        picture = _sampled(_summed(volume, 2 - aligned.axis), aligned.u[0], aligned.v[0])
    elif has_kernel(volume) and len(aligned.v[0]) > 0.3 * volume.shape[1 if aligned.axis == 2 else 0]:
        # A sweep costs as much as the voxels that it passes: few pixels are faster one by one.
        shifts = _SHIFTS[aligned.slope > _OBLIQUE if twice is None else twice]
        picture = sweep(volume, aligned, shifts[0])
        for shift in shifts[1:]:
            picture = (picture + sweep(volume, aligned, shift)) / 2
    else:
        return None
    picture = picture * torch.from_numpy(aligned.length).to(picture)
    return picture.T if aligned.swapped else picture


def sweep(volume: torch.Tensor, aligned: AlignedDetector, shift: float = 0.0) -> torch.Tensor:
    """Sums (V, U) of one sample a plane, by the fast kernel; rays are sampled ``shift`` gaps behind each plane."""
    from XRayTo3DLib.projection._numba import sweep as _sweep

    numbers = np.arange(volume.shape[2 - aligned.axis])
    numbers = numbers[(numbers > aligned.planes[0]) & (numbers < aligned.planes[1])]
    if not len(numbers):
        return volume.new_zeros(aligned.v.shape[1], aligned.u.shape[1])
    u, v = (side[0] + side[1] * (numbers[:, None] + shift) for side in (aligned.u, aligned.v))
    array = volume.detach().contiguous().numpy()
    return torch.from_numpy(_sweep.sweep(array, aligned.axis, int(numbers[0]), u, v, torch.get_num_threads()))


def _summed(volume: torch.Tensor, dim: int) -> torch.Tensor:
    """``volume.sum(dim)``; where rows or slices are added up, the product with ones reads the memory in fewer passes."""
    if dim == 2 or volume.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
        return volume.sum(dim=dim)
    ones = volume.new_ones(volume.shape[dim])
    return ones @ volume if dim == 1 else (ones @ volume.reshape(len(ones), -1)).reshape(volume.shape[1:])


def _sampled(plane: torch.Tensor, u: np.ndarray, v: np.ndarray) -> torch.Tensor:
    """Bilinear samples of a plane [v, u] at all (v, u), 0 outside."""
    # Pixels are evenly spaced: where the first and the last are at voxels, all are.
    if all(
        len(side) == n and max(abs(side[0]), abs(side[-1] - n + 1)) < 1e-9 for side, n in ((u, plane.shape[1]), (v, plane.shape[0]))
    ):
        return plane
    size = torch.tensor([plane.shape[1], plane.shape[0]], dtype=torch.float64)
    where = torch.stack(torch.meshgrid(torch.from_numpy(u), torch.from_numpy(v), indexing="xy"), dim=-1)
    # grid_sample's coordinates with align_corners=False: index i sits at (2 i + 1) / n - 1.
    where = ((2 * where + 1) / size - 1).to(plane)
    return functional.grid_sample(plane[None, None], where[None], padding_mode="zeros", align_corners=False)[0, 0]


def _along(
    volume: torch.Tensor,
    points: torch.Tensor,
    directions: torch.Tensor,
    axis: int,
    shifts: tuple[float, ...],
    half_line: bool,
) -> torch.Tensor:
    """The reference: rays whose largest index step is along ``axis``, a bilinear sample a plane and shift."""
    # Planes [k, row, column]: the array axis of x is 2, of y 1, of z 0.
    planes = volume.movedim(2 - axis, 0).unsqueeze(1)
    column_axis, row_axis = [a for a in (0, 1, 2) if a != axis]
    step = directions[:, axis]
    slope = torch.stack([directions[:, column_axis], directions[:, row_axis]], dim=1) / step.unsqueeze(1)
    start = torch.stack([points[:, column_axis], points[:, row_axis]], dim=1) - slope * points[:, axis].unsqueeze(1)
    size = torch.tensor([planes.shape[3], planes.shape[2]], dtype=volume.dtype, device=volume.device)
    first = points[:, axis].to(volume) if half_line else None
    forward = (step > 0) == (first is not None)

    def add(block: torch.Tensor, numbers: torch.Tensor, slope: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        # grid_sample's coordinates with align_corners=False: index i sits at (2 i + 1) / n - 1.
        where = (2 * (start.unsqueeze(0) + numbers.view(-1, 1, 1) * slope.unsqueeze(0)) + 1) / size - 1
        samples = functional.grid_sample(block, where.unsqueeze(2), padding_mode="zeros", align_corners=False)
        samples = samples[:, 0, :, 0]
        if first is not None:
            ahead = numbers.view(-1, 1) > first
            samples = samples * torch.where(forward, ahead, numbers.view(-1, 1) < first)
        return samples.sum(dim=0)

    total = volume.new_zeros(len(directions))
    numbers = torch.arange(len(planes), dtype=volume.dtype, device=volume.device)
    chunk = max(1, _CHUNK_SAMPLES // max(1, len(directions)))
    needs_gradient = torch.is_grad_enabled() and (volume.requires_grad or slope.requires_grad)
    for shift in shifts:
        begin = (start + shift * slope).to(volume)
        for k in range(0, len(planes), chunk):
            arguments = planes[k : k + chunk], numbers[k : k + chunk], slope.to(volume), begin
            if needs_gradient and chunk < len(planes):
                total = total + checkpoint(add, *arguments, use_reentrant=False)
            else:
                total = total + add(*arguments)
    return total / (len(shifts) * step.abs()).to(volume)


class _Lines(torch.autograd.Function):
    """The fast kernel with its derivatives: by volume the adjoint, by points and directions what the forward pass found."""

    @staticmethod
    def forward(ctx: Any, volume: torch.Tensor, points: torch.Tensor, directions: torch.Tensor, rays: Rays) -> torch.Tensor:
        kernel = _kernel(volume)
        assert kernel is not None
        slopes = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        array, threads = volume.detach().contiguous().numpy(), torch.get_num_threads()
        values, derivatives = kernel.forward(array, *rays.arrays(), _SHIFTS, rays.half_line, rays.width, threads, slopes)
        ctx.save_for_backward(torch.from_numpy(derivatives))
        ctx.shape, ctx.rays = volume.shape, rays
        return torch.from_numpy(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, values: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        (derivatives,) = ctx.saved_tensors
        rays, volume, by_point, by_direction = ctx.rays, None, None, None
        if ctx.needs_input_grad[0]:
            volume = integrate_adjoint(values, ctx.shape, rays)
        if ctx.needs_input_grad[1]:
            by_point = (values.unsqueeze(1) * derivatives[:, :3]).to(rays.points.dtype)
            by_point = by_point.sum(dim=0, keepdim=True) if len(rays.points) == 1 else by_point
        if ctx.needs_input_grad[2]:
            by_direction = (values.unsqueeze(1) * derivatives[:, 3:]).to(rays.directions.dtype)
        return volume, by_point, by_direction, None


def has_kernel(volume: torch.Tensor) -> bool:
    """Whether the fast kernel works on this tensor."""
    return _kernel(volume) is not None


def _kernel(volume: torch.Tensor) -> ModuleType | None:
    """The fast kernel, where it can work on this tensor and is wanted."""
    if volume.dtype != torch.float32 or volume.device.type != "cpu" or os.environ.get("XRAYTO3D_NUMBA") == "0":
        return None
    # The kernel counts voxels in 32 bits, those between rows too.
    return _import_kernel() if volume.numel() < 1_900_000_000 else None


@cache
def _import_kernel() -> ModuleType | None:
    try:
        from XRayTo3DLib.projection._numba import joseph as _joseph
        from XRayTo3DLib.projection._numba import sweep as _sweep  # noqa: F401
    except (ImportError, RuntimeError):
        # numba is optional, and lags behind the newest Python and numpy; and it wants a folder for what it has compiled.
        return None
    return _joseph
