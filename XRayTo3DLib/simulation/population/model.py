"""The population: atlas, statistics of shape and intensity, and the textures its samples wear; kept as one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.simulation.population.atlas import Atlas, Texture
from XRayTo3DLib.simulation.population.breathing import breathing_velocity
from XRayTo3DLib.simulation.population.channels import Pictures
from XRayTo3DLib.simulation.population.checks import pulled
from XRayTo3DLib.simulation.population.fields import node_points, sample
from XRayTo3DLib.simulation.population.intensity import IntensityModel, fit_intensity, measure_tissues
from XRayTo3DLib.simulation.population.registration import Registration
from XRayTo3DLib.simulation.population.statistics import LinearModel, ModelQuality, fit_linear_model, measure_model

#: A subject that shows less than this share of the atlas' body lends no texture: the seam to what fills it would be in every
#: sample.
_LEAST_SHOWN = 0.75
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Shape:
    """How one body differs from the atlas: a point x of the atlas lies at ``centre + stretch @ (exp(velocity)(x) - centre)``; the
    pose of the patient on the table is left out. ``stretch``: 3x3 symmetric, ``velocity``: (3, z, y, x) mm."""

    stretch: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """``shapes`` models vectors of a :class:`Shape` (:func:`vector_of`), ``intensity`` the HU of tissues, ``breathing`` the
    velocity of one unit of inspiration or ``None``; ``textures``: the CTs that samples wear; ``subjects``: whom it was learned
    from."""

    atlas: Atlas
    grid: Grid
    shapes: LinearModel
    intensity: IntensityModel
    textures: tuple[Texture, ...]
    breathing: np.ndarray | None
    subjects: tuple[str, ...]

    @property
    def centre(self) -> np.ndarray:
        """LPS mm that no shape moves by its stretch."""
        return self.atlas.ct.grid.centre


@dataclass(frozen=True, eq=False)
class Subject:
    """A registered CT of the folder: its ``registration``, ``observed`` nodes bool [z, y, x] of the velocity, and its
    ``texture``."""

    name: str
    registration: Registration
    observed: np.ndarray
    texture: Texture


def observed_nodes(atlas: Pictures, subject: Pictures, registration: Registration) -> np.ndarray:
    """Nodes of the velocity around which both scans have a field, bool [z, y, x], with a margin of one node."""
    _, inside = pulled(subject, registration, atlas)
    seen = torch.from_numpy(inside.astype(np.float32))[None]
    at_nodes = sample(seen, atlas.grid, node_points(registration.grid), "zeros")[..., 0]
    return torch.nn.functional.max_pool3d(at_nodes[None, None], 3, 1, 1)[0, 0].numpy() > 0.5


def fit_population(atlas: Atlas, atlas_pictures: Pictures, subjects: Sequence[Subject], modes: int) -> Population:
    """Learn shapes and intensity from registered ``subjects``; the atlas' own shape is one only if it is among them.

    Raises :class:`InputError` for fewer than two.
    """
    if len(subjects) < 2:
        raise InputError(f"A population needs at least 2 subjects, and {len(subjects)} can be used: add CTs to the folder.")
    grid = subjects[0].registration.grid
    values, observed, weights = _table(atlas, atlas_pictures, subjects)
    model = fit_linear_model(values, observed, modes, weights)
    body = atlas.ct.array > -500
    worn = [one.texture for one in subjects if (one.texture.known & body).sum() >= _LEAST_SHOWN * body.sum()]
    if not worn:
        everywhere = np.ones(body.shape, dtype=bool)
        worn = [Texture(atlas.name, np.rint(atlas.ct.array).astype(np.int16), atlas.labels, everywhere)]
    tissues = [measure_tissues(t.hounsfield, t.labels, atlas.groups, t.known) for t in (one.texture for one in subjects)]
    names = tuple(one.name for one in subjects)
    return Population(atlas, grid, model, fit_intensity(tissues), tuple(worn), breathing_velocity(atlas, grid), names)


def measure_population(atlas: Atlas, atlas_pictures: Pictures, subjects: Sequence[Subject], modes: int) -> ModelQuality:
    """Compactness, generalisation and specificity of the shapes, in mm of velocity inside the atlas' body, leaving out one subject
    at a time."""
    values, observed, weights = _table(atlas, atlas_pictures, subjects)
    inside = weights > 0.5
    return measure_model(values[:, inside], observed[:, inside], modes, weights[inside])


def _table(atlas: Atlas, found: Pictures, subjects: Sequence[Subject]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (subjects, entries), which entries are observed, and the weight of each entry."""
    grid = subjects[0].registration.grid
    body = torch.from_numpy(found.masks["body"].astype(np.float32))[None]
    weight = sample(body, found.grid, node_points(grid), "zeros")[..., 0].numpy() + 0.02
    # A stretch moves the body as a whole: each of its six numbers counts like the third of all nodes that it moves.
    nodes = float(weight.sum())
    weights = np.concatenate([np.full(6, nodes / 3), np.tile(weight.ravel(), 3)])
    values = np.stack([vector_of(shape_of(one.registration), atlas) for one in subjects])
    seen = [np.concatenate([np.ones(6, bool), np.tile(one.observed.ravel(), 3)]) for one in subjects]
    return values, np.stack(seen), weights


def shape_of(registration: Registration) -> Shape:
    """The shape of a registered subject: its affine map without turning and shift (polar decomposition)."""
    linear = registration.affine[:3, :3]
    _, sizes, right = np.linalg.svd(linear)
    return Shape(right.T @ np.diag(sizes) @ right, registration.velocity)


def vector_of(shape: Shape, atlas: Atlas) -> np.ndarray:
    """A shape as a vector in mm, float32: the logarithm of the stretch times the radius of the body, then the velocity."""
    sizes, axes = np.linalg.eigh(shape.stretch)
    logarithm = (axes * np.log(sizes)) @ axes.T
    return np.concatenate([logarithm[_UPPER] * _radius(atlas), shape.velocity.ravel()]).astype(np.float32)


def shape_of_vector(vector: np.ndarray, atlas: Atlas, grid: Grid) -> Shape:
    """The inverse of :func:`vector_of`."""
    logarithm = np.zeros((3, 3))
    logarithm[_UPPER] = vector[:6] / _radius(atlas)
    logarithm = logarithm + logarithm.T - np.diag(np.diag(logarithm))
    sizes, axes = np.linalg.eigh(logarithm)
    return Shape((axes * np.exp(sizes)) @ axes.T, np.asarray(vector[6:], dtype=np.float32).reshape(3, *grid.shape))


_UPPER = np.triu_indices(3)


def _radius(atlas: Atlas) -> float:
    """Root mean square distance in mm along an axis of the body from its middle."""
    grid = atlas.ct.grid
    return float(np.mean([n * s for n, s in zip(grid.size, grid.spacing, strict=True)]) / np.sqrt(12))


def write_population(population: Population, path: Path) -> None:
    """Write a population as one file (.npz); it holds the anatomies of its subjects as far as the textures go."""
    atlas, shapes = population.atlas, population.shapes
    described = {
        "format": _FORMAT,
        "atlas": {"name": atlas.name, "grid": atlas.ct.grid.to_dict(), "groups": atlas.groups},
        "landmarks": {name: point.tolist() for name, point in atlas.landmarks.items()},
        "grid": population.grid.to_dict(),
        "noise": shapes.noise,
        "intensity": {"mean": population.intensity.mean, "spread": population.intensity.spread},
        "subjects": population.subjects,
        "textures": [one.name for one in population.textures],
    }
    arrays = {
        "description": np.frombuffer(json.dumps(described).encode(), dtype=np.uint8),
        "ct": np.rint(atlas.ct.array).astype(np.int16),
        "labels": atlas.labels,
        "mean": shapes.mean,
        "modes": shapes.modes,
        "weights": shapes.weights,
    }
    if population.breathing is not None:
        arrays["breathing"] = population.breathing
    for number, one in enumerate(population.textures):
        arrays |= {f"hounsfield{number}": one.hounsfield, f"labels{number}": one.labels, f"known{number}": one.known}
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_population(path: Path) -> Population:
    """Read what :func:`write_population` wrote; :class:`InputError` for another file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        told = json.loads(arrays["description"].tobytes())
        if told["format"] != _FORMAT:
            raise KeyError("format")
        groups = {name: tuple(ids) for name, ids in told["atlas"]["groups"].items()}
        landmarks = {name: np.array(point) for name, point in told["landmarks"].items()}
        ct = Volume(arrays["ct"].astype(np.float32), Grid.from_dict(told["atlas"]["grid"]))
        return Population(
            Atlas(told["atlas"]["name"], ct, arrays["labels"], groups, landmarks),
            Grid.from_dict(told["grid"]),
            LinearModel(arrays["mean"], arrays["modes"], float(told["noise"]), arrays["weights"]),
            IntensityModel(told["intensity"]["mean"], told["intensity"]["spread"]),
            tuple(
                Texture(name, arrays[f"hounsfield{k}"], arrays[f"labels{k}"], arrays[f"known{k}"])
                for k, name in enumerate(told["textures"])
            ),
            arrays.get("breathing"),
            tuple(told["subjects"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{path} is no population of this software ({type(error).__name__}): fit it anew.") from None
