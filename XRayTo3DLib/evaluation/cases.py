"""Cases: CTs read from files stored in any order of axes, named apart, and put into the protocol's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.comparison import structures
from XRayTo3DLib.evaluation.protocol import BODY_HU, STANDARD, Protocol, protocol_grid
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.orientation import oriented
from XRayTo3DLib.images.resampling import resample, resample_labels
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.io.volumes import read_volume

#: Endings of CT files, longest first: only these are cut off a name, which may itself hold dots, as a DICOM UID does.
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
#: What is left of the name of a file that belongs to a CT but is none.
_BESIDE = (".labels", ".seg")


@dataclass(frozen=True, eq=False)
class Case:
    """One CT in the protocol's frame: LPS axes, mm, the middle of the protocol's grid at the origin.

    ``truth``: the CT on the protocol's grid in HU; ``labels``: its file's labels on the same grid, where there are any; ``ct``: the
    CT at its own voxels in the same frame. The frame makes every figure independent of where the scanner had its origin.
    """

    name: str
    truth: Volume
    labels: np.ndarray | None = None
    ct: Volume | None = None

    @cached_property
    def structures(self) -> Labelmap | None:
        """Body, lungs and bone of the truth; ``None`` where it holds no body thick enough."""
        return structures(self.truth)


def case_name(path: Path) -> str:
    """The file's name without a known ending; a name's other dots stay."""
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


def ct_files(place: Path | Sequence[Path]) -> list[Path]:
    """CT files named, or found in folders named, each once; label files are left out. :class:`InputError` when there are none."""
    places = [place] if isinstance(place, Path) else list(place)
    found: list[Path] = []
    for item in places:
        if item.is_dir():
            inside = sorted(p for p in item.iterdir() if p.name.lower().endswith(ENDINGS) and not p.name.startswith("."))
            found += [p for p in inside if p.is_file() and not case_name(p).lower().endswith(_BESIDE)]
        elif item.exists():
            found.append(item)
        else:
            raise InputError(f"{item} does not exist: name a folder of CTs (NIfTI, NRRD or MetaImage).")
    if not found:
        raise InputError(f"There is no CT in {', '.join(map(str, places))}: name a folder of NIfTI, NRRD or MetaImage CTs.")
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def case_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file, all different: its :func:`case_name`, with as many folders before it as tell it apart, or its path."""
    names = [case_name(p) for p in paths]
    longest = max((len(p.resolve().parts) for p in paths), default=0)
    for depth in range(2, longest + 1):
        again = _repeated(names)
        if not again:
            return names
        names = [_deeper(p, depth) if n in again else n for n, p in zip(names, paths, strict=True)]
    again = _repeated(names)
    return [str(p) if n in again else n for n, p in zip(names, paths, strict=True)]


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _deeper(path: Path, depth: int) -> str:
    folders = path.resolve().parts[:-1]
    return "/".join([*(part.strip("/\\") for part in folders[max(0, len(folders) - depth + 1) :]), case_name(path)])


def read_case(path: Path, protocol: Protocol = STANDARD, name: str | None = None) -> Case:
    """Read a CT of any direction, place the protocol's grid in it, and resample it and the ``.labels.nii.gz`` beside it.

    Raises :class:`InputError` for what is no CT, and for one whose grid holds no body.
    """
    volume = oriented(read_volume(path))
    # Places are reckoned from the scan's own first voxel, so that not even rounding depends on where that is.
    own = replace(volume.grid, origin=(0.0, 0.0, 0.0))
    ct = replace(volume, grid=own)
    placed = protocol_grid(ct, protocol.size, protocol.spacing)
    moved = resample(ct, placed)
    if not (moved.array > BODY_HU).any():
        raise InputError(
            f"The {protocol.extent_mm:g} mm below the top of {path} hold no body (nothing above -300 HU): check that it is a CT in "
            "HU, that its header gives the right directions, and that the scan holds a patient."
        )
    grid = Grid.centred((0, 0, 0), protocol.size, protocol.spacing)
    shifted = replace(own, origin=tuple(-np.asarray(placed.centre)))
    beside = path.with_name(f"{case_name(path)}.labels.nii.gz")
    labels = _labels(beside, volume.grid, placed) if beside.exists() else None
    return Case(name or case_name(path), Volume(moved.array, grid), labels, replace(ct, grid=shifted))


def _labels(path: Path, scan: Grid, placed: Grid) -> np.ndarray:
    """The labels (any order of axes) on ``placed``, which is reckoned from the first voxel of ``scan``."""
    found = read_labelmap(path)
    own = replace(found.grid, origin=tuple(np.array(found.grid.origin) - np.array(scan.origin)))
    return resample_labels(found.array, own, placed)
