"""The patients of a training: surface images, X-rays and landmarks of CTs in the views of a region, computed once and cached."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.views import parse_view
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.parametrized.body import body_of_ct
from XRayTo3DLib.parametrized.examples import example_of_body
from XRayTo3DLib.parametrized.landmarks import measure_body
from XRayTo3DLib.parametrized.regions import Region, find_region
from XRayTo3DLib.parametrized.surface_image import UNIT_MM
from XRayTo3DLib.shapes.labels import label_file, read_labels
from XRayTo3DLib.shapes.organs import SCHEMES
from XRayTo3DLib.training.recipes import Source
from XRayTo3DLib.training.subjects import source_files

#: Part of every cache file's name: another content of the files is another number.
_FORMAT = 1
_PARTS = {"surface": 3, "xray": 2, "points": 2}
_SIDES = ("_left", "_right")


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient in one view of a region.

    - ``surface`` float32 (2, H, W): depth and thickness in units of 100 mm; ``xray`` float32 (H, W): line integrals;
    - ``points`` (L, 2): row and column of each landmark in pixels, NaN where it is absent;
    - ``view``: the frame's word; ``lateral``: whether it is from a side;
    - ``camera``: how far before the middle of the frame depth is measured from, in units of 100 mm;
    - ``partners`` (L,): the landmark of the other side; ``weight``: the patient's share of the draws.
    """

    name: str
    view: str
    surface: np.ndarray
    xray: np.ndarray
    points: np.ndarray
    camera: float
    partners: tuple[int, ...]
    lateral: bool
    weight: float = 1.0

    def mirrored(self) -> Patient:
        """The mirror image of the patient: left is right. Seen from a side it is the same X-ray, but of a body from behind."""
        points = self.points[list(self.partners)]
        if not self.lateral:
            flipped = np.stack([points[:, 0], self.xray.shape[1] - 1 - points[:, 1]], axis=1)
            surface, xray = (np.ascontiguousarray(a[..., ::-1]) for a in (self.surface, self.xray))
            return replace(self, surface=surface, xray=xray, points=flipped)
        depth, thickness = self.surface
        behind = np.where(thickness > 0, 2 * self.camera - depth - thickness, 0).astype(np.float32)
        return replace(self, surface=np.stack([behind, thickness]), points=points)


def partners(names: Sequence[str]) -> tuple[int, ...]:
    """For each landmark the place of that of the other side, by the endings ``_left`` and ``_right``; itself where it has none."""
    found = []
    for index, name in enumerate(names):
        other = name
        for end, opposite in (_SIDES, _SIDES[::-1]):
            if name.endswith(end):
                other = name.removesuffix(end) + opposite
        found.append(names.index(other) if other in names else index)
    return tuple(found)


def load_patients(sources: Sequence[Source], data: Path, cache: Path) -> list[Patient]:
    """All CTs of a recipe's sources under ``data`` in all views of the region that is the source's group.

    A CT without the landmarks that place the frame is left out; :class:`InputError` when a folder is missing or none is left.
    """
    found: list[Patient] = []
    for source in sources:
        region = find_region(source.group)
        if not (data / source.folder).is_dir():
            raise InputError(f"{data} lacks the folder {source.folder} that the recipe names: correct --data or the recipe.")
        paths = source_files(source, data)
        patients = [load_patient(path, region, cache) for path in tqdm(paths, desc=source.folder, unit="CT", leave=False)]
        kept = sum(bool(views) for views in patients)
        found += [replace(view, weight=source.weight / kept) for views in patients for view in views]
    if not found:
        raise InputError(f"No CT under {data} shows the landmarks that place the pictures: add CTs of the region.")
    return found


def load_patient(path: Path, region: Region, cache: Path) -> list[Patient]:
    """One CT in each view of the region, cached by what the CT, its labels and the region hold; empty without a frame."""
    digest = hashlib.sha256(repr(region).encode())
    labels = label_file(path)
    try:
        for part in (path, labels):
            digest.update(b"" if part is None else part.read_bytes())
    except OSError as error:
        raise InputError(f"The CT {path} or its labels cannot be read ({error.strerror}): check the files.") from error
    stored = cache / f"{digest.hexdigest()[:32]}-parametrized-{_FORMAT}.npz"
    arrays = _read(stored, region.views)
    if arrays is None:
        arrays = _computed(path, labels, region)
        with writing(stored) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return [
        Patient(
            case_name(path),
            view,
            surface=arrays[f"{view} surface"],
            xray=arrays[f"{view} xray"],
            points=arrays[f"{view} points"],
            camera=region.frame.camera_mm / UNIT_MM,
            partners=partners(region.names),
            lateral=abs(float(parse_view(view)[0][0])) > 0.5,
        )
        for view in region.views
        if f"{view} xray" in arrays
    ]


def _computed(path: Path, labels: Path | None, region: Region) -> dict[str, np.ndarray]:
    """The arrays of a CT's cache file: surface image, X-ray and points of each view; none where the frame cannot be placed."""
    ct = read_volume(path)
    scheme = region.name if region.name in SCHEMES else "totalsegmentator"
    body = body_of_ct(ct, None if labels is None else read_labels(path, scheme))
    landmarks = measure_body(body, region)
    if any(name not in landmarks for name in region.frame.landmarks):
        return {"none": np.zeros(1)}
    found = {}
    for view in region.views:
        example = example_of_body(ct, body, region, view, landmarks)
        found[f"{view} surface"] = example.surface.array
        found[f"{view} xray"] = example.xray
        found[f"{view} points"] = np.where(example.valid[:, None], example.points, np.nan)
    return found


def _read(stored: Path, views: Sequence[str]) -> dict[str, np.ndarray] | None:
    """What a cache file holds, or ``None`` when there is none or it is damaged."""
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError), np.load(stored) as data:
        if "none" in data:
            return {"none": data["none"]}
        found = {f"{view} {part}": data[f"{view} {part}"] for view in views for part in _PARTS}
        if all(value.ndim == _PARTS[name.rpartition(" ")[2]] for name, value in found.items()):
            return found
    return None
