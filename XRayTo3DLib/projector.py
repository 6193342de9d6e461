"""Line integrals through a volume, and their exact adjoint.

The volume is the trilinear interpolation of its voxel centres, with zeros outside: half a voxel beyond the outermost
centres it fades, as it does between a bright and an empty voxel anywhere else. A ray is integrated plane by plane along
the index axis it follows most (Joseph, IEEE Trans. Med. Imaging 1, 1982): bilinear interpolation in each plane, times the
length between planes. That holds for any direction matrix and any pose, is differentiable in the volume and in the pose,
and its adjoint is the transpose to rounding, because it is the derivative of the forward operator itself.

Rays are lines (parallel beam) or half-lines from the source (cone beam); they do not stop at the detector, so that a
virtual detector may stand inside the patient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from torch.utils.checkpoint import checkpoint

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid, Projection

#: Sample positions held at once; bounds the memory of a call, not its result.
_CHUNK_SAMPLES = 4_000_000


def project(
    volume: torch.Tensor | np.ndarray,
    grid: Grid,
    projections: Sequence[Projection],
    pose: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Line integrals of ``volume`` along every ray of every projection.

    - ``volume``: [z, y, x] on ``grid``, in 1/mm (or any unit per mm); float32 or float64, which the result keeps;
    - ``pose``: optional 4x4 rigid transform (LPS mm) applied to the volume, or one a view with shape (V, 4, 4);
    - returns one tensor (rows, columns) a projection, dimensionless for a volume in 1/mm.

    Gradients flow to ``volume`` and ``pose``. Raises :class:`InputError` when the array does not fit the grid.
    """
    values = torch.as_tensor(volume)
    if not values.is_floating_point():
        values = values.to(torch.float32)
    if tuple(values.shape) != grid.shape:
        raise InputError(f"The volume has the shape {tuple(values.shape)} but its grid has {grid.shape}: pass both alike.")
    pictures = []
    for view, projection in enumerate(projections):
        points, directions = _index_rays(grid, projection, values, None if pose is None else pose.reshape(-1, 4, 4), view)
        line_integrals = integrate(values, points, directions, half_line=projection.is_cone)
        pictures.append(line_integrals.reshape(projection.size))
    return pictures


def backproject(pictures: Sequence[torch.Tensor | np.ndarray], grid: Grid, projections: Sequence[Projection]) -> torch.Tensor:
    """The adjoint of :func:`project`: every ray's value spread over the voxels it crossed, with the same weights.

    Takes one picture (rows, columns) a projection and returns a tensor [z, y, x]; the dtype is the pictures'.
    """
    tensors = [torch.as_tensor(picture) for picture in pictures]
    with torch.enable_grad():
        volume = torch.zeros(grid.shape, dtype=tensors[0].dtype, requires_grad=True)
        forward = project(volume, grid, projections)
        total = sum(((f * t).sum() for f, t in zip(forward, tensors, strict=True)), torch.zeros((), dtype=volume.dtype))
        (gradient,) = torch.autograd.grad(total, volume)
    return gradient


def _index_rays(
    grid: Grid, projection: Projection, like: torch.Tensor, poses: torch.Tensor | None, view: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rays in voxel index coordinates (x, y, z): points (N, 3), and directions (N, 3) per mm of ray length."""
    points, directions = (np.array(a) for a in projection.rays())
    inverse = np.linalg.inv(grid.affine)
    if poses is None:
        points = points @ inverse[:3, :3].T + inverse[:3, 3]
        directions = directions @ inverse[:3, :3].T
        return torch.as_tensor(points).to(like), torch.as_tensor(directions).to(like)
    # Moving the volume by the pose is moving the rays by its inverse.
    to_index = torch.as_tensor(inverse).to(poses) @ torch.linalg.inv(poses[view % len(poses)])
    points_tensor = torch.as_tensor(points).to(poses) @ to_index[:3, :3].T + to_index[:3, 3]
    return points_tensor.to(like), (torch.as_tensor(directions).to(poses) @ to_index[:3, :3].T).to(like)


def integrate(volume: torch.Tensor, points: torch.Tensor, directions: torch.Tensor, half_line: bool = False) -> torch.Tensor:
    """Line integrals (N,) of ``volume`` [z, y, x] along rays in voxel index coordinates (x, y, z).

    ``directions`` hold the index steps of one millimetre along the ray, so that the result is per mm. ``half_line`` leaves
    out what lies behind the points.
    """
    major = directions.detach().abs().argmax(dim=1)
    present = torch.unique(major).tolist()
    if len(present) == 1:
        return _integrate_axis(volume, points, directions, present[0], half_line)
    result = volume.new_zeros(len(points))
    for axis in present:
        rows = torch.nonzero(major == axis).squeeze(1)
        values = _integrate_axis(volume, points[rows], directions[rows], axis, half_line)
        result = result.index_put((rows,), values)
    return result


def _integrate_axis(
    volume: torch.Tensor, points: torch.Tensor, directions: torch.Tensor, axis: int, half_line: bool
) -> torch.Tensor:
    """Rays whose largest index step is along ``axis`` (0 x, 1 y, 2 z): one bilinear sample a plane."""
    # Planes [k, row, column]: the array axis of x is 2, of y 1, of z 0.
    planes = volume.movedim(2 - axis, 0).unsqueeze(1)
    column_axis, row_axis = [a for a in (0, 1, 2) if a != axis]
    step = directions[:, axis]
    slope = torch.stack([directions[:, column_axis], directions[:, row_axis]], dim=1) / step.unsqueeze(1)
    start = torch.stack([points[:, column_axis], points[:, row_axis]], dim=1) - slope * points[:, axis].unsqueeze(1)
    size = torch.tensor([planes.shape[3], planes.shape[2]], dtype=volume.dtype, device=volume.device)
    # grid_sample's coordinates with align_corners=False: index i sits at (2 i + 1) / n - 1.
    slope, start = 2 * slope / size, (2 * start + 1) / size - 1
    first = points[:, axis] if half_line else None

    def add(block: torch.Tensor, numbers: torch.Tensor, slope: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        where = start.unsqueeze(0) + numbers.view(-1, 1, 1) * slope.unsqueeze(0)
        samples = functional.grid_sample(block, where.unsqueeze(2), padding_mode="zeros", align_corners=False)
        samples = samples[:, 0, :, 0]
        if first is not None:
            samples = samples * ((numbers.view(-1, 1) - first) * step > 0)
        return samples.sum(dim=0)

    total = volume.new_zeros(len(points))
    numbers = torch.arange(len(planes), dtype=volume.dtype, device=volume.device)
    chunk = max(1, _CHUNK_SAMPLES // max(1, len(points)))
    needs_gradient = torch.is_grad_enabled() and (volume.requires_grad or slope.requires_grad)
    for begin in range(0, len(planes), chunk):
        arguments = planes[begin : begin + chunk], numbers[begin : begin + chunk], slope, start
        if needs_gradient and chunk < len(planes):
            total = total + checkpoint(add, *arguments, use_reentrant=False)
        else:
            total = total + add(*arguments)
    return total / step.abs()
