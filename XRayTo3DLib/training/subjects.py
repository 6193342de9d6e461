"""The CTs of a training: read once, kept at their own voxels, cached by what their files hold.

Nothing is resampled here: examples sample the stored HU once, through the subject's affine, whatever order or direction its axes
were stored in.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name, ct_files
from XRayTo3DLib.evaluation.protocol import body_centre, scan_top
from XRayTo3DLib.files import writing
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.training.recipes import Source

#: Part of every cache file's name: another content of the files is another number.
_FORMAT = 3
#: HU kept; the clip is far outside what the protocol measures.
_RANGE = (-1024, 4000)


@dataclass(frozen=True, eq=False)
class Subject:
    """One CT ready for training.

    ``values``: HU [z, y, x] int16 at the CT's own voxels; ``to_index`` (4, 4): LPS mm to voxel index (x, y, z); ``top`` (3,): LPS
    mm of the middle of the top of the protocol's grid; ``length``: mm of the scan along the body; ``weight``: its share of the
    draws, not yet over the sum of all; ``path``: the CT's file, beside which its labels may lie.
    """

    name: str
    values: torch.Tensor
    to_index: np.ndarray
    top: np.ndarray
    length: float
    group: str
    weight: float = 1.0
    path: Path | None = None


def load_subject(path: Path, cache: Path, group: str, weight: float = 1.0) -> Subject:
    """Read and cache one CT. The cached file belongs to the content of the CT's file: whatever its name or place, and it is made
    anew when it is damaged."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"The CT {path} cannot be read ({error.strerror}): check the file.") from error
    stored = cache / f"{digest[:32]}-{_FORMAT}.npz"
    found = _read(stored)
    if found is None:
        found = _prepared(path)
        with writing(stored) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    return Subject(
        case_name(path),
        torch.from_numpy(found["values"]),
        found["to_index"],
        found["top"],
        float(found["length"]),
        group,
        weight,
        path,
    )


def _prepared(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a CT's cache file."""
    volume = read_volume(path)
    x, y = body_centre(volume)
    grid = volume.grid
    return {
        "values": np.ascontiguousarray(np.clip(np.rint(volume.array), *_RANGE).astype(np.int16)),
        "to_index": np.asarray(grid.to_index, dtype=np.float64),
        "top": np.array([x, y, scan_top(volume, x, y)]),
        "length": np.array(np.abs(grid.affine[2, :3]) @ np.asarray(grid.size)),
    }


def _read(stored: Path) -> dict[str, np.ndarray] | None:
    """What a cache file holds, or ``None`` when there is none or it is damaged."""
    shapes = {"to_index": (4, 4), "top": (3,), "length": ()}
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError), np.load(stored) as data:
        found = {name: data[name] for name in ("values", *shapes)}  # reading checks each part's CRC
        right = all(found[n].shape == shape and np.isfinite(found[n]).all() for n, shape in shapes.items())
        if right and found["values"].dtype == np.int16 and found["values"].ndim == 3:
            return found
    return None


def load_subjects(sources: Sequence[Source], data: Path, cache: Path) -> list[Subject]:
    """All CTs of a recipe's sources under ``data``; :class:`InputError` when a source's folder is missing or holds none."""
    subjects = []
    for source in sources:
        folder = data / source.folder
        if not folder.is_dir():
            raise InputError(f"{data} lacks the folder {source.folder} that the recipe names: correct --data or the recipe.")
        paths = source_files(source, data)
        subjects += [load_subject(path, cache, source.group, source.weight / len(paths)) for path in paths]
    return subjects


def source_files(source: Source, data: Path) -> list[Path]:
    """The CT files of one source, without those that it excludes; :class:`InputError` when none is left."""
    found = [path for path in ct_files(data / source.folder) if case_name(path) not in source.exclude]
    if not found:
        raise InputError(f"There is no CT in {data / source.folder}, a folder of the recipe: add CTs or correct --data.")
    return found
