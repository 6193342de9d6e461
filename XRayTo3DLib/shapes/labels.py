"""The organs of a CT from the label file beside it: ``NAME.labels.nii.gz`` beside ``NAME.nii.gz``, by a label scheme."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import LARGEST_LABEL, Labelmap
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.shapes.organs import ORGANS, SCHEMES

#: What a label file adds to the stem of its CT's name.
LABELS = ".labels"
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")

Scheme = Mapping[str, tuple[int, ...]]


def label_file(ct: str | Path) -> Path | None:
    """The label file beside a CT, or ``None``."""
    path = Path(ct)
    ending = next((e for e in _ENDINGS if path.name.lower().endswith(e)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    found = [path.with_name(f"{stem}{LABELS}{e}") for e in (ending, *_ENDINGS, ".seg.nrrd")]
    return next((file for file in found if file.is_file()), None)


def read_scheme(scheme: str | Path | Mapping[str, int | list[int]]) -> dict[str, tuple[int, ...]]:
    """A label scheme: ``"head_neck"``, ``"totalsegmentator"``, or JSON {organ: id or [ids]} as a file or a mapping.

    Names that are no organ of this software are kept out. Raises :class:`InputError` for a file that is no such JSON, ids that
    are no labels, and an id that two organs claim (but for an organ and its parts).
    """
    if isinstance(scheme, str) and scheme in SCHEMES:
        return dict(SCHEMES[scheme])
    where = "The label scheme" if isinstance(scheme, Mapping) else f"The label scheme {scheme}"
    values = scheme if isinstance(scheme, Mapping) else _json(Path(scheme))
    found: dict[str, tuple[int, ...]] = {}
    for name, ids in values.items():
        numbers = ids if isinstance(ids, (list, tuple)) else [ids]
        if not numbers or not all(type(n) is int and 0 < n <= LARGEST_LABEL for n in numbers):
            raise InputError(f"{where} gives {name!r} the ids {ids!r}: give a whole number from 1 to {LARGEST_LABEL}, or a list.")
        if name in ORGANS:
            found[name] = tuple(numbers)
    if not found:
        raise InputError(f"{where} names no organ that is known ({', '.join(ORGANS)}): correct its names.")
    return found


def _json(path: Path) -> dict[str, int | list[int]]:
    known = ", ".join(SCHEMES)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The label scheme {path} cannot be read ({error.strerror}): give {known} or a JSON file.") from None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise InputError(f"The label scheme {path} is not JSON of the form {{organ: id or [ids]}}: correct it.")
    return values


def read_labels(ct: str | Path, scheme: str | Path | Mapping[str, int | list[int]]) -> Labelmap:
    """The organs of a CT as a label map, from the label file beside it.

    Its names are those organs of the scheme that have voxels, each once; of an organ and its parts, the parts. A
    segmentation (.seg.nrrd) whose segments carry the names of organs needs no ids. :func:`.organs.organ_mask` gives the
    organs and their unions. Raises :class:`InputError` when there is no such file, when it holds none of the scheme's organs,
    and when two organs claim one id.
    """
    path = label_file(ct)
    if path is None:
        stem = Path(ct).name.split(".")[0]
        raise InputError(f"There are no labels beside {ct}: put them into {stem}{LABELS}.nii.gz in the same folder.")
    labels = read_labelmap(path)
    named = {name: (number,) for number, name in labels.names.items() if name in ORGANS}
    ids = named or read_scheme(scheme)
    whole = {name for name in ids if ORGANS[name].parts and set(ORGANS[name].parts) <= set(ids)}
    ids = {name: numbers for name, numbers in ids.items() if name not in whole}
    owner: dict[int, str] = {}
    array, names = np.zeros(labels.array.shape, dtype=np.uint8), {}
    for number, (name, numbers) in enumerate(ids.items(), start=1):
        for label in numbers:
            if owner.setdefault(label, name) != name:
                raise InputError(f"The label {label} of {path} belongs to both {owner[label]} and {name}: correct the scheme.")
        inside = np.isin(labels.array, numbers)
        if inside.any():
            array[inside] = number
            names[number] = name
    if not names:
        raise InputError(f"{path} holds none of the organs {', '.join(ids)}: give the scheme its labels are of.")
    return Labelmap(array, labels.grid, names)
