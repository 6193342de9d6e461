"""The organs whose shapes are found: their region, and which labels of which scheme make each of them.

Colours and SNOMED CT codes are in :mod:`XRayTo3DLib.anatomy.catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap


@dataclass(frozen=True)
class Organ:
    """One organ.

    - ``region``: ``"head_neck"`` or ``"torso"``; ``shown_in``: the regions, of those that X-rays are told apart by ("head",
      "chest", "abdomen"), whose X-rays show it;
    - ``ids``: by label scheme, the ids that make it together; ``parts``: the organs that it is the union of;
    - ``mirrored``: the organ that it becomes in a mirrored patient, itself for one that has no side.
    """

    name: str
    region: str
    shown_in: tuple[str, ...]
    ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    @property
    def mirrored(self) -> str:
        base, _, side = self.name.rpartition("_")
        return f"{base}_{_OTHER[side]}" if side in _OTHER else self.name


_OTHER = {"left": "right", "right": "left"}


def _head(name: str, label: int, torso: tuple[int, ...] = (), shown_in: tuple[str, ...] = ("head",)) -> Organ:
    return Organ(name, "head_neck", shown_in, {"head_neck": (label,)} | ({"totalsegmentator": torso} if torso else {}))


def _torso(name: str, ids: tuple[int, ...], shown_in: tuple[str, ...], parts: tuple[str, ...] = ()) -> Organ:
    return Organ(name, "torso", shown_in, {"totalsegmentator": ids}, parts)


#: Every organ by its name. ``head_neck`` are the ids of the head-and-neck radiotherapy CTs of OpenKBP, ``totalsegmentator`` the
#: class ids of TotalSegmentator 2.
ORGANS: dict[str, Organ] = {
    organ.name: organ
    for organ in (
        _head("mandible", 7),
        _head("brainstem", 1),
        _head("parotid_left", 4),
        _head("parotid_right", 3),
        _head("spinal_cord", 2, (79,), ("head", "chest")),
        _head("larynx", 6),
        _head("esophagus", 5, (15,), ("head", "chest")),
        _torso("lungs", (10, 11, 12, 13, 14), ("chest",), ("lung_left", "lung_right")),
        _torso("lung_left", (10, 11), ("chest",)),
        _torso("lung_right", (12, 13, 14), ("chest",)),
        _torso("heart", (51,), ("chest",)),
        _torso("liver", (5,), ("chest", "abdomen")),
        _torso("spleen", (1,), ("chest", "abdomen")),
        _torso("kidney_left", (3,), ("abdomen", "chest")),
        _torso("kidney_right", (2,), ("abdomen", "chest")),
        _torso("ribs", tuple(range(92, 116)), ("chest", "abdomen")),
        _torso("spine", tuple(range(27, 51)), ("chest", "abdomen")),
        _torso("pelvis", (25, 26, 77, 78), ("abdomen",)),
    )
}
#: The label schemes that are known by name: id or ids of each organ.
SCHEMES: dict[str, dict[str, tuple[int, ...]]] = {
    scheme: {organ.name: organ.ids[scheme] for organ in ORGANS.values() if scheme in organ.ids}
    for scheme in ("head_neck", "totalsegmentator")
}


def find_organ(name: str | Organ) -> Organ:
    """An organ by its name (case, spaces and hyphens do not count); :class:`InputError` for one that is not known."""
    if isinstance(name, Organ):
        return name
    wanted = str(name).strip().lower().replace(" ", "_").replace("-", "_")
    if wanted not in ORGANS:
        raise InputError(f"There is no organ {name!r}: it is one of {', '.join(ORGANS)}.")
    return ORGANS[wanted]


def organ_mask(labels: Labelmap, organ: str | Organ) -> np.ndarray:
    """Boolean [z, y, x] of an organ in a label map that names it or its parts; all false when it has neither.

    One side of lungs that the label map has only together is found by :func:`lung_sides`.
    """
    wanted = find_organ(organ)
    numbers = [number for number, name in labels.names.items() if name in (wanted.name, *wanted.parts)]
    if not numbers and wanted.name in ORGANS["lungs"].parts and "lungs" in labels.names.values():
        return lung_sides(labels.mask("lungs"), labels.grid)[wanted.name]
    return np.isin(labels.array, numbers) if numbers else np.zeros(labels.array.shape, dtype=bool)


def lung_sides(lungs: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    """Lungs [z, y, x] as ``lung_left`` and ``lung_right``: the two deepest cores that lie side by side, and what is nearer to each.

    The patient's left is LPS +x. Where the lungs touch (in front of the heart, at the airways) they are parted between the cores.
    """
    lungs = np.asarray(lungs, dtype=bool)
    names = ORGANS["lungs"].parts
    if not lungs.any():
        return {name: lungs.copy() for name in names}
    z, y, x = np.nonzero(lungs)
    along = np.stack([x, y, z], axis=1) @ grid.affine[0, :3]
    middle = 0.5 * (np.percentile(along, 1) + np.percentile(along, 99))
    depth = ndimage.distance_transform_edt(lungs, sampling=grid.spacing[::-1])
    position = np.zeros(lungs.shape)
    position[lungs] = along - middle
    cores = np.zeros(lungs.shape, dtype=np.int32)
    for number, side in enumerate((position > 0, position < 0), start=1):
        inside = lungs & side
        if inside.any():
            cores[inside & (depth > 0.5 * depth[inside].max())] = number
    # Each voxel goes to the core that it is nearer to.
    nearest = ndimage.distance_transform_edt(cores == 0, sampling=grid.spacing[::-1], return_distances=False, return_indices=True)
    owner = cores[tuple(nearest)]
    return {name: lungs & (owner == number) for number, name in enumerate(names, start=1)}
