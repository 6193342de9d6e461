"""Small volumes and beams in every position, and a plain reference of the sums, for the tests of the projector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection.projector import project

BACK_ENDS = ("numba", "torch")
#: What a fast result may differ from the float64 reference, as a part of its largest value.
FLOAT32 = 1e-5

_OBLIQUE = np.linalg.qr(np.array([[0.8, -0.5, 0.3], [0.5, 0.9, -0.2], [-0.1, 0.4, 1.0]]))[0]
#: Direction matrices: straight, turned, left-handed (two axes swapped and one turned round), and left-handed and turned.
DIRECTIONS = {
    "straight": np.eye(3),
    "oblique": _OBLIQUE * np.sign(np.linalg.det(_OBLIQUE)),
    "left-handed": np.eye(3)[:, [1, 0, 2]] * [1.0, -1.0, -1.0],
    "both": _OBLIQUE * [1.0, 1.0, -np.sign(np.linalg.det(_OBLIQUE))],
}
#: Beams along an index axis, by how far they lean towards the two others: sampled once, and twice a plane.
LEANS = {"steep": (0.06, -0.11), "leaning": (-0.5, 0.45)}
AXES = [(axis, sign) for axis in range(3) for sign in (1, -1)]
#: The middle (LPS) of :func:`isotropic_grid`, and directions of a :func:`beam` through it: along axes, and between them.
MIDDLE = (7, -11, 4)
BEAM_DIRECTIONS = [[0, 1, 0], [1, 0, 0], [0, 0, -1], [1, 1, 0.05], [0.6, -0.5, 0.62]]


def use(back_end: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the projector work with its fast kernel, or without."""
    if back_end == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("XRAYTO3D_NUMBA", "0" if back_end == "torch" else "1")
    return back_end


def each_back_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both in turn, for tests whose reference costs more than what they test: it is computed once."""
    for back_end in reversed(BACK_ENDS):
        yield use(back_end, monkeypatch)


def grid_of(name: str = "straight", size: tuple[int, int, int] = (15, 13, 17)) -> Grid:
    """An anisotropic grid with one of the :data:`DIRECTIONS`."""
    return Grid(size, (2.0, 2.7, 2.3), (-12.0, 31.0, 5.0), DIRECTIONS[name])


def isotropic_grid(spacing: float, direction: np.ndarray | None = None) -> Grid:
    """Cubic voxels in a box of 132 x 108 x 120 mm about :data:`MIDDLE`."""
    size = np.round(np.array([132, 108, 120]) / spacing).astype(int)
    direction = np.eye(3) if direction is None else direction
    origin = np.array(MIDDLE) - direction @ ((size - 1) / 2 * spacing)
    return Grid(tuple(size), (spacing,) * 3, tuple(origin), direction)


def beam(direction: Sequence[float], distance: float | None, size: tuple[int, int] = (24, 20), spacing: float = 8.0) -> Projection:
    """A cone beam through :data:`MIDDLE` with its source at ``distance`` from the detector, or a parallel one."""
    return view_projection(direction, MIDDLE, size, spacing, distance, 500.0 if distance else None)


def along(grid: Grid, axis: int, sign: int, lean: tuple[float, float]) -> np.ndarray:
    """The direction (LPS) of a beam that follows an index axis and leans towards the two others, in voxels."""
    steps = np.insert(np.array(lean), axis, sign)
    return grid.affine[:3, :3] @ steps


def beams(grid: Grid, axis: int, sign: int, lean: tuple[float, float], size: tuple[int, int] = (9, 11)) -> dict[str, Projection]:
    """Beams of every kind along an index axis; the outermost rays pass the volume."""
    direction, extent = along(grid, axis, sign, lean), max(grid.size) * max(grid.spacing)
    spacing = (1.7 * extent / size[0], 1.4 * extent / size[1])
    cone = view_projection(direction, grid.centre, size, spacing, 4.5 * extent, 3 * extent)
    parallel = view_projection(direction, grid.centre, size, spacing, None)
    aside = 0.3 * extent * cone.row_direction - 0.2 * extent * cone.column_direction
    turned = cone.moved(DIRECTIONS["oblique"], grid.centre)
    lens = Projection.from_matrix(turned.matrix, size, spacing, isocentre=grid.centre)
    shadow = Projection.from_matrix(parallel.matrix, size, isocentre=grid.centre)
    return {
        "cone": cone,
        "parallel": parallel,
        "off-centre": replace(cone, origin=cone.origin + aside),
        "tilted": tilted(cone),
        "tilted parallel": tilted(parallel),
        "cone matrix": lens,
        "parallel matrix": shadow,
    }


def views_of(grid: Grid, axis: int, sign: int) -> list[Projection]:
    """Views of every kind along an index axis, steep and leaning."""
    return [view for lean in LEANS.values() for view in beams(grid, axis, sign, lean).values()]


def tilted(view: Projection) -> Projection:
    """The same beam on a detector that is turned about its middle, and so not at right angles to the beam."""
    turn = np.linalg.qr(np.array([[1.0, -0.25, 0.3], [0.25, 1.0, -0.2], [-0.3, 0.2, 1.0]]))[0]
    turn = turn * np.sign(np.diag(turn))
    turned = view.moved(turn, view.centre)
    return replace(turned, source=view.source, ray_direction=view.ray_direction)


def rigid(parameters: torch.Tensor) -> torch.Tensor:
    """4x4 from a rotation vector (radians) and a translation (mm)."""
    x, y, z = parameters[:3]
    zero = torch.zeros((), dtype=parameters.dtype)
    skew = torch.stack([torch.stack([zero, -z, y]), torch.stack([z, zero, -x]), torch.stack([-y, x, zero])])
    top = torch.cat([torch.linalg.matrix_exp(skew), parameters[3:, None]], dim=1)
    return torch.cat([top, torch.tensor([[0.0, 0, 0, 1]], dtype=parameters.dtype)])


def pose_of(parameters: Sequence[float] = (0.05, -0.04, 0.07, 1.3, -2.1, 0.7)) -> torch.Tensor:
    """:func:`rigid` for numbers; by default a little of everything."""
    return rigid(torch.tensor(parameters, dtype=torch.float64))


def smooth_volume(grid: Grid, fade: float = 4.0) -> np.ndarray:
    """A bright middle with waves, positive, which fades to nothing ``fade`` voxels before the faces: float64 [z, y, x]."""
    axes = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    radius = sum(((a - (n - 1) / 2) / (0.3 * n)) ** 2 for a, n in zip(axes, grid.shape, strict=True))
    waves = 1 + 0.3 * np.sin(axes[2] / 3 + axes[0] / 7) * np.cos(axes[1] / 4 + axes[0] / 5)
    edge = np.min([np.minimum(a, n - 1 - a) for a, n in zip(axes, grid.shape, strict=True)], axis=0)
    return 0.02 * np.exp(-radius) * waves * np.minimum(edge / fade, 1) ** 2


def sampled_sums(volume: np.ndarray, points: np.ndarray, directions: np.ndarray, kinds: np.ndarray, half_line: bool) -> np.ndarray:
    """What the projector means: every plane of a ray's axis once, or twice at half the weight, one ray and sample at a time."""
    totals = np.zeros(len(directions))
    points = np.broadcast_to(points, directions.shape)
    for n, (point, direction, kind) in enumerate(zip(points, directions, kinds, strict=True)):
        axis, shifts = kind % 3, (0.0,) if kind < 3 else (-(6**-0.5), 6**-0.5)
        planes = np.arange(volume.shape[2 - axis])
        if half_line:
            planes = planes[(planes - point[axis]) * np.sign(direction[axis]) > 0]
        for shift in shifts:
            where = point + ((planes + shift - point[axis]) / direction[axis])[:, None] * direction
            where[:, axis] = planes
            values = map_coordinates(volume, where[:, ::-1].T, order=1, mode="grid-constant")
            totals[n] += values.sum() / len(shifts) / abs(direction[axis])
    return totals


def in_float64(
    volume: torch.Tensor | np.ndarray, grid: Grid, views: Sequence[Projection], pose: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """The projector's own reference, in double precision."""
    return project(np.asarray(volume, dtype=np.float64), grid, views, pose)


def difference(found: torch.Tensor | np.ndarray, expected: torch.Tensor | np.ndarray) -> float:
    """The largest difference, as a part of the largest expected value."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def rms_difference(found: torch.Tensor | np.ndarray, expected: torch.Tensor | np.ndarray) -> float:
    """Relative root mean square difference."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def reference(volume, grid: Grid, views) -> list[torch.Tensor]:
    """The pictures in float64, which torch computes."""
    return project(np.asarray(volume, dtype=np.float64), grid, views)


def assert_seen_where_not_finite(rng: np.random.Generator, value: float) -> None:
    """Rays through voxels that are no numbers are none themselves, and the others are."""
    grid = grid_of("oblique", (20, 23, 19))
    volume = rng.random(grid.shape).astype(np.float32)
    volume[9:11, 11:13, 9:11] = value
    view = beams(grid, 1, 1, LEANS["leaning"], (15, 16))["cone"]
    found, expected = project(volume, grid, [view])[0], reference(volume, grid, [view])[0]
    assert not bool(torch.isfinite(expected).all())
    assert torch.equal(torch.isfinite(found), torch.isfinite(expected))
