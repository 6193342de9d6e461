"""New bodies: a shape, a breath, a texture and tissues drawn from a population, as a labelled CT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import AIR_HU, Volume
from XRayTo3DLib.simulation.population.arms import with_arms
from XRayTo3DLib.simulation.population.fields import displaced, exponential, jacobian_determinants, node_points, sample
from XRayTo3DLib.simulation.population.intensity import with_tissues
from XRayTo3DLib.simulation.population.model import Population, Shape, shape_of_vector

#: Coefficients farther from the mean are drawn again closer; the breath in units of :mod:`breathing`.
_LIMIT, _BREATH = 2.0, 0.5
#: Air around the body, and voxels along an axis: what a sample may measure.
_MARGIN_MM = 8.0
_LARGEST = 400
#: The scan ends where this share of the body's cut surface still is inside the atlas.
_CUT = 0.9


@dataclass(frozen=True)
class SampleSettings:
    """``spacing``: mm of the voxels; ``strength`` scales the deviation of shapes from their mean (1: as in the population);
    ``arms``: share of the samples whose arms hang at the sides (they are absent otherwise)."""

    spacing: float = 4.0
    strength: float = 1.0
    arms: float = 0.0


@dataclass(frozen=True, eq=False)
class LabelledCT:
    """A sample: ``ct`` in HU (int16), ``labels`` uint8 on its grid, ``landmarks`` LPS mm by name, and ``drawn``: what it was made
    from, in words and numbers. ``folded``: cells of its map with a determinant of 0 or less."""

    ct: Volume
    labels: np.ndarray
    landmarks: dict[str, np.ndarray]
    drawn: dict[str, object]
    folded: int


def draw_sample(population: Population, seed: int, number: int, settings: SampleSettings | None = None) -> LabelledCT:
    """The sample ``number`` of a ``seed``: the same numbers give the same body, in whatever order samples are made."""
    chosen = settings or SampleSettings()
    generator = np.random.default_rng([seed, number])
    count = len(population.shapes.modes)
    coefficients = generator.standard_normal(count).clip(-_LIMIT, _LIMIT) * chosen.strength
    breath = float(generator.standard_normal() * _BREATH) if population.breathing is not None else 0.0
    texture = population.textures[int(generator.integers(len(population.textures)))]
    tissues = population.intensity.drawn(generator)
    arms = bool(generator.random() < chosen.arms)
    shape = shape_of_vector(population.shapes.at(coefficients), population.atlas, population.grid)
    pose = _Pose(population, shape, breath)
    hounsfield = with_tissues(texture.hounsfield, texture.labels, population.atlas.groups, tissues)
    grid = pose.grid(chosen.spacing)
    atlas = population.atlas.ct.grid
    back = pose.to_atlas(node_points(grid))
    ct = sample(torch.from_numpy(hounsfield)[None], atlas, back)[..., 0].numpy()
    labels = _nearest(texture.labels, atlas, back)
    # Beyond the sides of the atlas there is air, beyond its ends the body goes on.
    outside = ~_within(atlas, back)
    ct[outside], labels[outside] = AIR_HU, 0
    ct = ct + generator.normal(0, generator.uniform(2, 12), ct.shape)
    if arms:
        ct, labels, grid = with_arms(ct, labels, grid, generator)
    landmarks = {name: pose.from_atlas(point) for name, point in population.atlas.landmarks.items()}
    drawn: dict[str, object] = {
        "coefficients": [round(float(c), 4) for c in coefficients],
        "breath": round(breath, 4),
        "texture": texture.name,
        "tissues_hu": {name: round(value, 1) for name, value in tissues.items()},
        "arms": "down" if arms else "absent",
    }
    array = np.clip(np.rint(ct), AIR_HU - 24, 3071).astype(np.int16)
    return LabelledCT(Volume(array, grid), labels, landmarks, drawn, pose.folded)


class _Pose:
    """The map between the atlas and one sample, both ways."""

    def __init__(self, population: Population, shape: Shape, breath: float) -> None:
        self.field, self.atlas = population.grid, population.atlas
        self.centre = population.centre
        self.stretch = shape.stretch
        velocities = [torch.from_numpy(shape.velocity)]
        if population.breathing is not None and breath:
            velocities.insert(0, torch.from_numpy(population.breathing * np.float32(breath)))
        self.there = [exponential(one, self.field) for one in velocities]
        self.back = [exponential(-one, self.field) for one in reversed(velocities)]

    @property
    def folded(self) -> int:
        return sum(int((jacobian_determinants(one, self.field) <= 0).sum()) for one in (*self.there, *self.back))

    def from_atlas(self, point: np.ndarray) -> np.ndarray:
        """Points (..., 3) LPS mm of the atlas in the sample."""
        moved = torch.from_numpy(np.asarray(point, dtype=np.float32))
        for one in self.there:
            moved = displaced(moved, one, self.field)
        return self.centre + (moved.numpy() - self.centre) @ self.stretch.T

    def to_atlas(self, points: torch.Tensor) -> torch.Tensor:
        """The inverse, of (..., 3) float32."""
        inverse = torch.from_numpy(np.linalg.inv(self.stretch)).float()
        centre = torch.tensor(self.centre.tolist(), dtype=torch.float32)
        moved = centre + (points - centre) @ inverse.T
        for one in self.back:
            moved = displaced(moved, one, self.field)
        return moved

    def grid(self, spacing: float) -> Grid:
        """Voxels around the body from the height where the scan of the atlas begins to the one where it ends."""
        body = np.argwhere(self.atlas.ct.array > -500)
        own = self.atlas.ct.grid
        index = body[:: max(1, len(body) // 40000)]
        points = self.from_atlas(index[:, ::-1] * np.array(own.spacing) + own.origin)
        low, high = points.min(axis=0) - _MARGIN_MM, points.max(axis=0) + _MARGIN_MM
        ends = [points[index[:, 0] <= index[:, 0].min() + 1, 2], points[index[:, 0] >= index[:, 0].max() - 1, 2]]
        low[2] = np.quantile(ends[0], _CUT)
        high[2] = np.quantile(ends[1], 1 - _CUT)
        size = np.clip(np.ceil((high - low) / spacing).astype(int), 8, _LARGEST)
        return Grid(tuple(size), (spacing,) * 3, tuple(low + spacing / 2))  # type: ignore[arg-type]


def _within(grid: Grid, points: torch.Tensor) -> np.ndarray:
    """Whether points lie inside the sides (x, y) of a grid, bool."""
    first = torch.tensor(grid.origin[:2], dtype=torch.float32)
    last = first + torch.tensor([(n - 1) * s for n, s in zip(grid.size[:2], grid.spacing[:2], strict=True)])
    flat = points[..., :2]
    return ((flat >= first) & (flat <= last)).all(dim=-1).numpy()


def _nearest(labels: np.ndarray, grid: Grid, points: torch.Tensor) -> np.ndarray:
    """The label of the nearest voxel of each point (..., 3), uint8."""
    index = (points - torch.tensor(grid.origin, dtype=torch.float32)) / torch.tensor(grid.spacing, dtype=torch.float32)
    x, y, z = (index[..., k].round().long().clamp(0, grid.size[k] - 1).numpy() for k in range(3))
    return labels[z, y, x]
