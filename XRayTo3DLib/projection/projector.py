"""Line integrals of a volume on detectors, and their exact adjoint.

The volume is the trilinear interpolation of its voxel centres, with zeros outside: half a voxel beyond the outermost
centres it fades, as it does between a bright and an empty voxel anywhere else. :mod:`XRayTo3DLib.projection.rays` does the
sums, plane by plane; that holds for any direction matrix and any pose, is differentiable in the volume and in the pose,
and its adjoint is the transpose to rounding.

Rays are lines (parallel beam) or half-lines from the source (cone and scanned beam); they do not stop at the detector, so that a
virtual detector may stand inside the patient.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.projection.alignment import SPARSE_SIDE, AlignedDetector, aligned_detector
from XRayTo3DLib.projection.preview import MergedPlanes
from XRayTo3DLib.projection.rays import Rays, has_kernel, integrate, integrate_adjoint, integrate_aligned, is_oblique

#: How carefully a picture is computed.
QUALITIES = ("full", "preview")
#: Larger volumes than this do not stay in a processor's cache from one view to the next.
_CACHE_BYTES = 16_000_000
#: Rays of one view, and of several views, that are computed together at most; bounds the memory of a call, not its result.
_MOST_RAYS, _GROUP_RAYS = 250_000, 600_000


def project(
    volume: torch.Tensor | np.ndarray,
    grid: Grid,
    projections: Sequence[Projection],
    pose: torch.Tensor | np.ndarray | None = None,
    quality: str = "full",
) -> list[torch.Tensor]:
    """Line integrals of ``volume`` along every ray of every projection.

    - ``volume``: [z, y, x] on ``grid``, in 1/mm (or any unit per mm); float32 or float64, which the result keeps;
    - ``pose``: optional 4x4 affine transform (LPS mm) applied to the volume, or several with shape (V, 4, 4): one a
      projection, or any number with a single projection, which then gives one picture a pose;
    - ``quality``: ``"full"``, or ``"preview"``, which merges neighbouring planes first and is several times faster;
    - returns one tensor (rows, columns) a picture, dimensionless for a volume in 1/mm.

    Gradients flow to ``volume`` and ``pose``. The number of threads changes nothing. In a volume larger than the processor's
    cache, a picture may differ by some 3e-6 of its values from the one it would be beside other pictures: many rays together go
    through copied slabs of it, which round otherwise than rays one by one, and are several times faster.

    Raises :class:`InputError` when the array does not fit the grid, the poses do not fit the projections, or a pose is not a
    finite, invertible affine 4x4 matrix.
    """
    values = _values(volume, grid)
    if quality not in QUALITIES:
        raise InputError(f"The quality {quality!r} is not known: use {' or '.join(QUALITIES)}.")
    if quality == "preview":
        return Preview(values, grid).project(projections, pose)
    poses = _poses(pose, len(projections))
    views = list(projections) * (len(poses) if len(projections) == 1 else 1)
    pictures: list[torch.Tensor | None] = []
    waiting: list[tuple[int, Rays]] = []
    for index, (view, moved) in enumerate(zip(views, poses, strict=True)):
        aligned = _aligned(values, grid, view, moved)
        picture = None if aligned is None else integrate_aligned(values, aligned)
        if picture is None and np.prod(view.size) > _MOST_RAYS:
            picture = torch.cat([integrate(values, rays) for rays in _bands(grid, view, moved, values.device)]).reshape(view.size)
        elif picture is None:
            waiting += [(index, rays) for rays in _bands(grid, view, moved, values.device)]
        pictures.append(picture)
    found = _integrate_all(values, waiting) if waiting else {}
    return [
        found[index].reshape(view.size) if picture is None else picture
        for index, (view, picture) in enumerate(zip(views, pictures, strict=True))
    ]


class Preview:
    """A volume prepared for many previews, as while a beam is dragged: ``project(..., quality="preview")`` prepares each time.

    ``volume`` and ``grid`` are as in :func:`project`. Up to half of the volume again is kept for each axis that is looked along.
    """

    def __init__(self, volume: torch.Tensor | np.ndarray, grid: Grid) -> None:
        self._grid = grid
        self._planes = MergedPlanes(_values(volume, grid))

    def project(self, projections: Sequence[Projection], pose: torch.Tensor | np.ndarray | None = None) -> list[torch.Tensor]:
        """One picture (rows, columns) a projection or pose, as :func:`project` gives them in full quality."""
        poses = _poses(pose, len(projections))
        views = list(projections) * (len(poses) if len(projections) == 1 else 1)
        volume, found = self._planes.volume, []
        for view, moved in zip(views, poses, strict=True):
            aligned = _aligned(volume, self._grid, view, moved)
            picture = None if aligned is None else self._planes.integrate_aligned(aligned)
            if picture is None:
                points, directions = _index_rays(self._grid, view, moved, volume.device)
                picture = self._planes.integrate(points, directions, view.source is not None, view.size[1]).reshape(view.size)
            found.append(picture)
        return found


def backproject(pictures: Sequence[torch.Tensor | np.ndarray], grid: Grid, projections: Sequence[Projection]) -> torch.Tensor:
    """The adjoint of :func:`project`: every ray's value spread over the voxels it crossed, with the same weights.

    Takes one picture (rows, columns) a projection and returns a tensor [z, y, x]; the dtype is the pictures'. Raises
    :class:`InputError` when the pictures do not fit the projections.
    """
    tensors = [_tensor(picture) for picture in pictures]
    sizes = [tuple(tensor.shape) for tensor in tensors]
    if not sizes or sizes != [view.size for view in projections]:
        raise InputError(
            f"The pictures have the sizes {sizes} but the projections {[v.size for v in projections]}: pass both alike."
        )
    total = None
    for tensor, view in zip(tensors, projections, strict=True):
        values = tensor.reshape(-1) if tensor.is_floating_point() else tensor.reshape(-1).to(torch.float32)
        for rays in _bands(grid, view, None, tensor.device):
            band, values = values[: len(rays.directions)], values[len(rays.directions) :]
            part = integrate_adjoint(band, grid.shape, rays)
            total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _integrate_all(volume: torch.Tensor, numbered: Sequence[tuple[int, Rays]]) -> dict[int, torch.Tensor]:
    """The line integrals of numbered rays, by their number.

    Views of a kind are computed together where the volume is larger than the processor's cache, to read it once for all.
    """
    crowded = has_kernel(volume) and volume.nbytes > _CACHE_BYTES
    found: dict[int, torch.Tensor] = {}
    waiting: list[tuple[int, Rays]] = []
    for position, (index, rays) in enumerate(numbered):
        waiting.append((index, rays))
        following = numbered[position + 1][1] if position + 1 < len(numbered) else None
        size = len(rays.directions)
        alike = following is not None and (len(following.directions), following.width, following.half_line) == (
            size, rays.width, rays.half_line,
        )  # fmt: skip
        if crowded and alike and (len(waiting) + 1) * size <= _GROUP_RAYS:
            continue
        together = waiting[0][1] if len(waiting) == 1 else Rays.together([r for _, r in waiting])
        values = integrate(volume, together).split(size)
        found.update((number, part) for (number, _), part in zip(waiting, values, strict=True))
        waiting = []
    return found


def _aligned(volume: torch.Tensor, grid: Grid, view: Projection, pose: torch.Tensor | None) -> AlignedDetector | None:
    """The view as one along the voxel axes, if it is one and no derivative is asked for."""
    if torch.is_grad_enabled() and (volume.requires_grad or (pose is not None and pose.requires_grad)):
        return None
    # In float64 even the small steps of finite differences count.
    tolerance = 1e-9 if volume.dtype == torch.float64 else 1e-5
    to_index = grid.to_index if pose is None else _to_index(grid, pose).detach().cpu().numpy()
    return aligned_detector(grid, view, to_index, tolerance)


def _twice(grid: Grid, view: Projection, pose: torch.Tensor | None) -> tuple[bool, bool, bool]:
    """Whether the rays that follow x, y and z are sampled twice a plane: one answer for all bands, and for the adjoint."""
    few = [torch.linspace(0, n - 1, min(n, SPARSE_SIDE), dtype=torch.float64) for n in view.size]
    return is_oblique(_index_rays(grid, view, None if pose is None else pose.detach().cpu(), torch.device("cpu"), *few)[1])


def _bands(grid: Grid, view: Projection, pose: torch.Tensor | None, device: torch.device) -> Iterator[Rays]:
    """The rays of a view, row by row; of a large detector in bands of rows, which bounds the memory."""
    rows, columns = view.size
    twice, height = _twice(grid, view, pose), max(1, _MOST_RAYS // columns)
    for first in range(0, rows, height):
        numbers = torch.arange(first, min(rows, first + height), dtype=torch.float64, device=device)
        points, directions = _index_rays(grid, view, pose, device, numbers)
        yield Rays.of_view(points, directions, view.source is not None, columns, twice=twice)


def _values(volume: torch.Tensor | np.ndarray, grid: Grid) -> torch.Tensor:
    """The volume as a tensor of floats; :class:`InputError` when it does not fit the grid."""
    values = _tensor(volume)
    if tuple(values.shape) != grid.shape:
        raise InputError(f"The volume has the shape {tuple(values.shape)} but its grid has {grid.shape}: pass both alike.")
    return values if values.is_floating_point() else values.to(torch.float32)


def _tensor(array: torch.Tensor | np.ndarray) -> torch.Tensor:
    """An array as a tensor, without a copy where torch can do that; complex numbers are refused."""
    tensor = array if isinstance(array, torch.Tensor) else _from_numpy(np.asarray(array))
    if tensor.is_complex():
        raise InputError("Complex numbers have no line integrals: give the real part, or a magnitude.")
    return tensor


def _from_numpy(array: np.ndarray) -> torch.Tensor:
    # torch takes neither reversed arrays nor those in the other byte order.
    array = np.asarray(array, array.dtype.newbyteorder("="))
    array = array.copy() if min(array.strides, default=0) < 0 else array
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")  # nor is it written to
        return torch.as_tensor(array)


def _poses(pose: torch.Tensor | np.ndarray | None, projections: int) -> list[torch.Tensor | None]:
    """One pose a picture, or ``None``."""
    if pose is None:
        return [None] * projections
    if isinstance(pose, (list, tuple)) and all(isinstance(one, torch.Tensor) for one in pose):
        pose = torch.stack(list(pose))
    values = torch.as_tensor(np.asarray(pose) if isinstance(pose, (list, tuple)) else pose)
    values = values if values.is_floating_point() else values.to(torch.float64)
    values = values.reshape(-1, 4, 4) if values.shape[-2:] == (4, 4) else values.new_zeros(0)
    plain = values.detach()
    if not len(plain) or not bool(torch.isfinite(plain).all()) or bool((torch.linalg.det(plain).abs() < 1e-9).any()):
        raise InputError("A pose must be a finite, invertible 4x4 matrix (LPS mm), or several: correct the poses.")
    if bool((plain[:, 3] - plain.new_tensor([0, 0, 0, 1])).abs().max() > 1e-6):
        raise InputError("The last row of a pose must be 0 0 0 1: give a linear (affine) transform.")
    if len(values) == 1:
        values = values.expand(projections, 4, 4)
    if projections != 1 and len(values) != projections:
        raise InputError(f"There are {len(values)} poses for {projections} projections: give one pose, or one a projection.")
    return list(values)


def _to_index(grid: Grid, pose: torch.Tensor | None) -> torch.Tensor:
    """4x4, float64, from LPS mm to voxel indices (x, y, z); moving the volume by the pose is moving the rays by its inverse."""
    to_index = torch.tensor(grid.to_index)
    return to_index if pose is None else to_index.to(pose.device) @ torch.linalg.inv(pose.to(torch.float64))


def _index_rays(
    grid: Grid,
    view: Projection,
    pose: torch.Tensor | None,
    device: torch.device,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rays in voxel index coordinates (x, y, z), float64: points (N, 3) or (1, 3), and directions (N, 3) per mm.

    As :meth:`Projection.rays`, of some ``rows`` and ``columns`` or all; the one source of a cone beam is given once.
    """
    to_index = _to_index(grid, pose).to(device)
    rows, columns = (
        torch.arange(n, dtype=torch.float64, device=device) if numbers is None else numbers
        for n, numbers in zip(view.size, (rows, columns), strict=True)
    )
    down, right, origin = (
        torch.tensor(vector, dtype=torch.float64, device=device)
        for vector in (
            view.column_direction * view.spacing[0],
            view.row_direction * view.spacing[1],
            view.origin if view.source is None else view.origin - view.source,
        )
    )
    reach = ((origin + rows[:, None] * down).unsqueeze(1) + columns[:, None] * right).reshape(-1, 3)
    turn, shift = to_index[:3, :3].T, to_index[:3, 3]
    if view.source is None:
        ray = torch.tensor(view.ray_direction, dtype=torch.float64, device=device) @ turn
        return reach @ turn + shift, ray.expand(len(reach), 3)
    source = torch.tensor(view.source, dtype=torch.float64, device=device)
    if view.scan_axis is not None:
        # Source and detector travel together: no ray has a part along the scan.
        scan = torch.tensor(view.scan_direction, dtype=torch.float64, device=device)
        travelled = (reach @ scan).unsqueeze(1) * scan
        reach = reach - travelled
        source = source + travelled
        return source @ turn + shift, (reach / torch.linalg.vector_norm(reach, dim=1, keepdim=True)) @ turn
    return (source @ turn + shift).unsqueeze(0), (reach / torch.linalg.vector_norm(reach, dim=1, keepdim=True)) @ turn
