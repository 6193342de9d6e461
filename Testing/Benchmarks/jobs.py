"""What is measured: the jobs, their views, what is to be reached, and the errors of the results.

Source to detector 1020 mm, source to isocentre 700 mm, a detector of 512 x 512 mm, the isocentre in the middle of the CT.

Errors are relative to the exact integral of the model that an engine claims (``exact.py``), in root mean square over a
sample of rays: the interior ones, along which the volume is zero wherever they run beyond the outermost voxel centres, and
all of them. The difference is what an engine makes of a face at which the body is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from engines.pose import moved
from exact import box_integrals, index_rays, trilinear_integrals
from scipy.spatial.transform import Rotation

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection

DETECTOR_MM = 512.0
SOURCE_TO_DETECTOR = 1020.0
SOURCE_TO_ISOCENTRE = 700.0
FRAMES = 20
POSES = 32
#: Rays whose exact integrals are computed, for a job of one picture and for each picture of several.
RAYS, RAYS_OF_MANY = 2000, 150


@dataclass(frozen=True, eq=False)
class Scene:
    """A volume that engines are made for: attenuation float32 [z, y, x] in 1/mm on ``grid``."""

    name: str
    mu: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class Target:
    """What is to be reached: times faster than the engine ``base``, or pictures a second, within an error."""

    base: str
    must: float | None = None
    aim: float | None = None
    aim_rate: float | None = None
    error: float | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """One row of the table: ``method`` of an engine called with ``arguments``.

    - ``checked``: arguments whose answer ``judge`` takes, with the engine's model; it returns the errors on interior and on
      all rays, NaN for the second where there is only one. They are ``arguments`` themselves but for gradients, which are
      judged on a sample of the rays;
    - ``pictures``: how many a call makes, and ``one_by_one``: each is asked for on its own, as while dragging;
    - ``long``: slow engines are spared it.
    """

    key: str
    title: str
    scene: Scene
    method: str
    arguments: tuple[Any, ...]
    checked: tuple[Any, ...]
    judge: Callable[[Any, str], tuple[float, float]]
    target: Target
    pictures: int = 1
    one_by_one: bool = False
    long: bool = False

    def run(self, engine: Any) -> Any:
        """The answer of an engine that was made with the scene: what is timed."""
        return self._call(engine, self.arguments)

    @property
    def judged_apart(self) -> bool:
        """Whether the answer that is judged takes a call of its own."""
        return self.checked is not self.arguments

    def errors(self, engine: Any, answer: Any) -> tuple[float, float]:
        """The errors of an answer of :meth:`run`."""
        return self.judge(self._call(engine, self.checked) if self.judged_apart else answer, engine.model)

    def _call(self, engine: Any, arguments: tuple[Any, ...]) -> Any:
        method = getattr(engine, self.method)
        return [method([view])[0] for view in arguments[0]] if self.one_by_one else method(*arguments)


def all_jobs(chest: Scene, small: Scene, seed: int = 0) -> list[Job]:
    """Every job, in the order of the table; ``small`` is the chest on the grid of a network."""
    random = np.random.default_rng(seed)
    ap, fine = cone(chest.grid, 256), cone(chest.grid, 512)
    oblique = turned(ap, chest.grid, (25, 20, -35))
    dragged = [turned(ap, chest.grid, (0.4 * i, 0.2 * i, i)) for i in range(FRAMES)]
    low = cone(chest.grid, 128)
    poses = [turned(low, chest.grid, random.uniform(-45, 45, 3), random.uniform(-20, 20, 3)) for _ in range(POSES)]
    exact = Target("RTK Joseph", 3, 6, error=2e-4)
    jobs = [
        _pictures("cone256", "cone beam, 256²", chest, [ap], exact),
        _pictures("cone512", "cone beam, 512²", chest, [fine], replace(exact, aim=10), long=True),
        _pictures("oblique256", "oblique cone beam, 256²", chest, [oblique], exact),
        _preview("preview256", "preview, 256²", chest, [ap], Target("RTK Joseph", 10, error=3e-3)),
        _preview("dragging", f"preview while dragging, 256², {FRAMES} frames", chest, dragged, Target("RTK Joseph", aim_rate=25)),
        _pictures("poses32", f"{POSES} random poses, 128²", chest, poses, replace(exact, must=2, aim=5), long=True),
    ]
    registered = turned(low, chest.grid, (4, -3, 5))
    jobs += [
        _pose_gradient("pose_gradient", "gradient, pose, 128²", chest, registered, Target("nanodrr", 20, 40)),
        _volume_gradient("volume_gradient", "gradient, volume, 128²", chest, registered, Target("nanodrr", 8, 30)),
        *(_parallel_sum(f"sum_{'zyx'[axis]}", chest, axis) for axis in (1, 2, 0)),
        _pictures("small128", "128³ voxels, 128²", small, [cone(small.grid, 128)], Target("RTK Joseph", 2, 5)),
    ]
    return jobs


def cone(grid: Grid, pixels: int) -> Projection:
    """The AP cone beam with ``pixels`` x ``pixels`` on the same detector."""
    return view_projection("AP", grid.centre, (pixels, pixels), DETECTOR_MM / pixels, SOURCE_TO_DETECTOR, SOURCE_TO_ISOCENTRE)


def turned(
    view: Projection, grid: Grid, degrees: Sequence[float] | np.ndarray, shift: Sequence[float] | np.ndarray = (0, 0, 0)
) -> Projection:
    """Tube and detector turned about the LPS axes x, y, z through the grid's centre, then shifted (mm)."""
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    there = view.moved(rotation, grid.centre)
    assert there.source is not None
    return replace(there, origin=there.origin + shift, source=there.source + shift)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Seeded pixels of some views and the exact integrals there, computed when first asked for."""

    scene: Scene
    views: Sequence[Projection]

    @cached_property
    def pixels(self) -> list[np.ndarray]:
        random, rays = np.random.default_rng(1), RAYS if len(self.views) == 1 else RAYS_OF_MANY
        return [random.choice(np.prod(v.size), min(rays, int(np.prod(v.size))), replace=False) for v in self.views]

    @cached_property
    def trilinear(self) -> tuple[np.ndarray, np.ndarray]:
        """Integrals, and which rays are interior."""
        found = [trilinear_integrals(self.scene.mu, *self._rays(i), half_line=v.is_cone) for i, v in enumerate(self.views)]
        return np.concatenate([total for total, _ in found]), np.concatenate([rim == 0 for _, rim in found])

    @cached_property
    def box(self) -> np.ndarray:
        return np.concatenate([box_integrals(self.scene.mu, *self._rays(i), half_line=v.is_cone) for i, v in enumerate(self.views)])

    def _rays(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        return index_rays(self.scene.grid, self.views[view], self.pixels[view])

    def judge(self, pictures: Sequence[np.ndarray], model: str) -> tuple[float, float]:
        exact, interior = self.trilinear
        exact = exact if model == "trilinear" else self.box
        found = np.concatenate([p.reshape(-1)[at] for p, at in zip(pictures, self.pixels, strict=True)]).astype(np.float64)
        return _relative(found[interior], exact[interior]), _relative(found, exact)


def _relative(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


def _pictures(key: str, title: str, scene: Scene, views: list[Projection], target: Target, long: bool = False) -> Job:
    call = (views,)
    return Job(key, title, scene, "project", call, call, _Sample(scene, views).judge, target, len(views), long=long)


def _preview(key: str, title: str, scene: Scene, views: list[Projection], target: Target) -> Job:
    call = (views,)
    return Job(key, title, scene, "preview", call, call, _Sample(scene, views).judge, target, len(views), one_by_one=True)


def _parallel_sum(key: str, scene: Scene, axis: int) -> Job:
    """A parallel beam along an array axis with one ray a column of voxels."""
    grid, along = scene.grid, 2 - axis
    across, down = (a for a in (0, 1, 2) if a != along)
    view = Projection(
        grid.origin,
        grid.direction[:, across],
        grid.direction[:, down],
        (grid.spacing[down], grid.spacing[across]),
        (grid.size[down], grid.size[across]),
        ray_direction=grid.direction[:, along],
    )
    title = f"parallel sum along {'xyz'[along]}"
    call = view, axis
    return Job(key, title, scene, "parallel_sum", call, call, _Sample(scene, [view]).judge, Target("torch.sum", 1))


def _cotangent(view: Projection) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """What is sent back through a picture: a smooth pattern, as a registration's residual is.

    Returns it whole, it where a seeded sample of pixels is and zero elsewhere, and the numbers of these pixels.
    """
    rows, columns = np.indices(view.size) / np.array(view.size)[:, None, None]
    pattern = np.cos(9 * columns + 4 * rows) + 0.5 * np.sin(13 * rows - 5 * columns)
    pixels = np.random.default_rng(2).choice(pattern.size, pattern.size // 16, replace=False)
    sampled = np.zeros(pattern.size)
    sampled[pixels] = pattern.reshape(-1)[pixels]
    return torch.from_numpy(pattern).float(), torch.from_numpy(sampled.reshape(view.size)).float(), pixels


def _integrals(volume: np.ndarray, points: np.ndarray, directions: np.ndarray, model: str) -> np.ndarray:
    """Exact integrals (N,) of one model along half-lines from a source."""
    if model == "box":
        return box_integrals(volume, points, directions, half_line=True)
    return trilinear_integrals(volume, points, directions, half_line=True)[0]


def _pose_gradient(key: str, title: str, scene: Scene, view: Projection, target: Target) -> Job:
    whole, sampled, pixels = _cotangent(view)

    @cache
    def exact(model: str) -> np.ndarray:
        return _pose_differences(scene, view, sampled.reshape(-1)[pixels].double().numpy(), pixels, model)

    def judge(found: np.ndarray, model: str) -> tuple[float, float]:
        return _relative(found, exact(model)), np.nan

    return Job(key, title, scene, "pose_gradient", (view, whole), (view, sampled), judge, target)


def _pose_differences(scene: Scene, view: Projection, weights: np.ndarray, pixels: np.ndarray, model: str) -> np.ndarray:
    """Central differences of the exact weighted sum with respect to the six numbers of a pose."""
    step = 1e-3
    points, directions = index_rays(scene.grid, view, pixels)
    result = np.zeros(6)
    for number in range(6):
        for sign in (1, -1):
            pose = torch.zeros(6, dtype=torch.float64)
            pose[number] = sign * step
            matrix = moved(pose, scene.grid.centre).numpy()
            # The volume is moved, so the rays are moved back.
            change = np.linalg.inv(scene.grid.affine) @ np.linalg.inv(matrix) @ scene.grid.affine
            there = points @ change[:3, :3].T + change[:3, 3], directions @ change[:3, :3].T
            result[number] += sign * weights @ _integrals(scene.mu, *there, model) / (2 * step)
    return result


def _volume_gradient(key: str, title: str, scene: Scene, view: Projection, target: Target) -> Job:
    whole, sampled, pixels = _cotangent(view)

    # The sum is linear in the volume: its change along a direction is the weighted sum of that direction's integrals.
    @cache
    def exact(model: str) -> np.ndarray:
        rays, weights = index_rays(scene.grid, view, pixels), sampled.reshape(-1)[pixels].double().numpy()
        return np.array([weights @ _integrals(_smooth_change(scene, wave), *rays, model) for wave in _WAVES])

    def judge(found: np.ndarray, model: str) -> tuple[float, float]:
        changes = (_smooth_change(scene, wave) for wave in _WAVES)
        along = np.array([np.einsum("zyx,zyx->", found, change, dtype=np.float64) for change in changes])
        return _relative(along, exact(model)), np.nan

    return Job(key, title, scene, "volume_gradient", (view, whole), (view, sampled), judge, target)


#: Radians a voxel along x, y, z.
_WAVES = ((0.03, 0.02, 0.05), (-0.02, 0.04, 0.01), (0.05, -0.01, -0.03))


def _smooth_change(scene: Scene, wave: tuple[float, float, float]) -> np.ndarray:
    """The CT times a wave: a direction in which the volume may change."""
    z, y, x = np.ogrid[tuple(slice(n) for n in scene.mu.shape)]
    return scene.mu * np.cos(wave[0] * x + wave[1] * y + wave[2] * z).astype(np.float32)
