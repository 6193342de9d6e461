"""The steps of a population as cases that any process can do: registering one CT, making one sample."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample_labels
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.io.surfaces import write_surface
from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.population.atlas import Atlas, make_atlas, texture_of
from XRayTo3DLib.simulation.population.channels import Pictures, pictures
from XRayTo3DLib.simulation.population.checks import RegistrationCheck, check_registration
from XRayTo3DLib.simulation.population.model import Population, Subject, observed_nodes, read_population
from XRayTo3DLib.simulation.population.registration import Registration, RegistrationSettings, register
from XRayTo3DLib.simulation.population.sampling import SampleSettings, draw_sample

#: Where the registrations of a run lie.
REGISTRATIONS = "registrations"
#: mm of the pictures that are registered.
PICTURES_MM = 4.0
#: Labels that reach over less than this share of the body's height are of a part of the scan: they are not compared.
_WHOLE = 0.6


def file_digest(path: str | Path) -> str:
    """A digest of what a file holds: another content is another case."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def registration_case(ct: Path, labels: Path | None, atlas_ct: Path, atlas_labels: Path, groups: dict[str, Any]) -> dict[str, Any]:
    """The argument of :func:`register_subject` for one CT."""
    files = {"ct": ct, "labels": labels, "atlas_ct": atlas_ct, "atlas_labels": atlas_labels}
    return {
        "files": {key: None if path is None else str(path.resolve()) for key, path in files.items()},
        "digests": {key: None if path is None else file_digest(path) for key, path in files.items()},
        "name": case_name(ct),
        "groups": {name: list(ids) for name, ids in groups.items()},
        "settings": asdict(RegistrationSettings()),
    }


def register_subject(argument: dict[str, Any], folder: Path) -> None:
    """Register one CT to the atlas: writes ``registrations/NAME.npz``."""
    files = argument["files"]
    groups = {name: tuple(ids) for name, ids in argument["groups"].items()}
    atlas, fixed = load_atlas(files["atlas_ct"], files["atlas_labels"], groups)
    _, moving, _ = load_subject(files["ct"], files["labels"], groups)
    settings = RegistrationSettings(**{**argument["settings"], "steps": tuple(argument["settings"]["steps"])})
    (folder / REGISTRATIONS).mkdir()
    found = register(fixed, moving, atlas.velocity_grid(settings.spacing), settings)
    found.write(folder / REGISTRATIONS / f"{argument['name']}.npz")


def load_atlas(ct: str | Path, labels: str | Path, groups: dict[str, tuple[int, ...]]) -> tuple[Atlas, Pictures]:
    """The atlas and its pictures."""
    volume, labelmap = read_volume(ct), read_ids(labels, groups)
    atlas = make_atlas(case_name(Path(ct)), volume, labelmap.array, labelmap.grid, groups)
    masks = organ_masks(resample_labels(labelmap.array, labelmap.grid, volume.grid), groups)
    return atlas, pictures(volume, masks, PICTURES_MM)


def read_ids(path: str | Path, groups: dict[str, tuple[int, ...]]) -> Labelmap:
    """A label file by the ids of ``groups``: a segmentation whose segments carry the names of organs is numbered by them."""
    found = read_labelmap(path)
    named = {number: groups[name][0] for number, name in found.names.items() if name in groups}
    if not named:
        return found
    array = np.zeros_like(found.array)
    for number, label in named.items():
        array[found.array == number] = label
    return Labelmap(array, found.grid, {label: found.names[number] for number, label in named.items()})


def load_subject(
    ct: str | Path, labels: str | Path | None, groups: dict[str, tuple[int, ...]]
) -> tuple[Volume, Pictures, tuple[np.ndarray, Any] | None]:
    """A CT, its pictures, and its own labels with their grid where it has some that cover it."""
    volume = read_volume(ct)
    if labels is not None:
        labelmap = read_ids(labels, groups)
        array = resample_labels(labelmap.array, labelmap.grid, volume.grid)
        if _reach(array > 0) >= _WHOLE * _reach(volume.array > -300):
            return volume, pictures(volume, organ_masks(array, groups), PICTURES_MM), (array, volume.grid)
    return volume, pictures(volume, None, PICTURES_MM), None


def organ_masks(labels: np.ndarray, groups: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The mask of every organ that has voxels; lungs and bones are told by their HU anyway."""
    told = {"lungs", "lung_left", "lung_right", "ribs", "spine", "pelvis"}
    found = {name: np.isin(labels, ids) for name, ids in groups.items() if name not in told}
    return {name: mask for name, mask in found.items() if mask.any()}


def _reach(mask: np.ndarray) -> int:
    return int(mask.any(axis=(1, 2)).sum())


def checked_subject(
    name: str, registration: Registration, ct: str | Path, labels: str | Path | None, atlas: Atlas, fixed: Pictures
) -> tuple[Subject, RegistrationCheck]:
    """A registered CT as a subject of the population, and whether it may be one."""
    volume, moving, own = load_subject(ct, labels, atlas.groups)
    texture = texture_of(name, atlas, volume, moving, registration, own)
    found = Subject(name, registration, observed_nodes(fixed, moving, registration), texture)
    return found, check_registration(fixed, moving, registration)


def make_sample(argument: dict[str, Any], folder: Path) -> None:
    """Make one sample: CT, labels, landmarks, body surface, what was drawn, and simulated X-rays where views are asked for."""
    population = _population(argument["population"], argument["digest"])
    name = argument["name"]
    settings = SampleSettings(**argument["settings"])
    made = draw_sample(population, argument["seed"], argument["number"], settings)
    write_volume(made.ct, folder / f"{name}.nii.gz")
    write_volume(Volume(made.labels, made.ct.grid), folder / f"{name}.labels.nii.gz")
    body = segment_ct(made.ct).array > 0
    surface = extract_surface(body, made.ct.grid, "body")
    write_surface(surface, folder / f"{name}.body.ply")
    told = {
        "landmarks_lps_mm": {key: np.round(point, 2).tolist() for key, point in made.landmarks.items()},
        "seed": argument["seed"],
        "number": argument["number"],
        **made.drawn,
        "folded_cells": made.folded,
        "population": argument["digest"],
        "subjects": list(population.subjects),
    }
    with writing(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for view in argument["views"]:
        spec = ViewSpec.parse(view, isocentre=tuple(made.ct.grid.centre.tolist()))
        radiograph = render_drr(made.ct, [spec.projection(made.ct.grid)], [view])[0]
        write_radiograph(radiograph, folder / f"{name}.{view}.nrrd")


@lru_cache(maxsize=1)
def _population(path: str, digest: str) -> Population:
    """A process reads the population once; the digest tells one content from another."""
    if file_digest(path) != digest:
        raise InputError(f"{path} has changed since the run began: start it again.")
    return read_population(Path(path))
