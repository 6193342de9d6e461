"""Patients as meshes: one template, carried to each organ, cached by what the organs are."""

from __future__ import annotations

import hashlib
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.files import writing
from XRayTo3DLib.training.image_to_graph.settings import ImageToGraphSettings
from XRayTo3DLib.training.image_to_graph.template import carried, edges_of, mean_cube, template_mesh
from XRayTo3DLib.training.organ_examples import OrganSubject, load_organs
from XRayTo3DLib.training.recipes import Recipe

#: Part of every cache file's name: another content is another number.
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Template:
    """``points`` (N, 3) in mm from the organ's middle, ``triangles`` (F, 3), ``edges`` (E, 2) in both directions, and the ``cube``
    [z, y, x] of the mean organ."""

    points: np.ndarray
    triangles: np.ndarray
    edges: np.ndarray
    cube: np.ndarray


@dataclass(frozen=True, eq=False)
class MeshSubject:
    """One patient's examples with the template's vertices on the organ: (variants, N, 3) in mm from its middle."""

    organ: OrganSubject
    vertices: np.ndarray
    template: Template


def load_meshes(recipe: Recipe[ImageToGraphSettings], data: Path, cache: Path) -> list[MeshSubject]:
    """The patients of a recipe with corresponding vertices."""
    organs = load_organs(recipe, data, cache)
    settings = recipe.settings
    told = repr((_FORMAT, settings.organ.spacing, settings.network.vertices)).encode()
    digest = hashlib.sha256(told + b"".join(organ.shapes[0].tobytes() for organ in organs)).hexdigest()
    stored = cache / f"meshes-{digest[:32]}.npz"
    found = _read(stored)
    if found is None:
        found = _meshes(organs, settings)
        with writing(stored) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    cube = mean_cube([organ.shape(0) for organ in organs])
    template = Template(found["points"], found["triangles"], edges_of(found["triangles"]), cube)
    pairs = zip(organs, found["vertices"], strict=True)
    return [MeshSubject(organ, placed(first, organ.placements), template) for organ, first in pairs]


def _meshes(organs: list[OrganSubject], settings: ImageToGraphSettings) -> dict[str, np.ndarray]:
    spacing = settings.organ.spacing
    cube = mean_cube([organ.shape(0) for organ in organs])
    points, triangles = template_mesh(cube, spacing, settings.network.vertices)
    vertices = [
        carried(points, triangles, cube, organ.shape(0), spacing) for organ in tqdm(organs, unit="mesh", desc=settings.organ.name)
    ]
    return {"points": points, "triangles": triangles, "vertices": np.stack(vertices)}


def placed(first: np.ndarray, placements: np.ndarray) -> np.ndarray:
    """Vertices (N, 3) of the first placement (3, 4) as all of them (variants, 3, 4) have them."""
    patient = (first - placements[0, :, 3]) @ np.linalg.inv(placements[0, :, :3]).T
    return np.stack([patient @ p[:, :3].T + p[:, 3] for p in placements]).astype(np.float32)


def _read(stored: Path) -> dict[str, np.ndarray] | None:
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(stored) as data:
        return {name: data[name] for name in ("points", "triangles", "vertices")}
    return None
