"""Metal and contrast agent in a CT, each given as a mask or a closed surface with its own attenuation.

A metal takes the place of what the CT holds there, contrast agent adds to it. Nothing is written into the CT: every insert
has a small grid of its own, on which its share of each voxel is known, and the line integrals of what it brings and of what
it displaces are added to those of the CT. Line integrals are linear, so the result is that of a CT with the insert in it,
but with the insert's edges as fine as they were given.

Where metals overlap, the later one in the list counts; contrast agent is displaced by all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.overlap import boxes_meet
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.simulation.beam import bone_part
from XRayTo3DLib.simulation.materials import CALIBRATION_KEV, CORTICAL_BONE, IODINE, METALS, WATER, Material

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    from XRayTo3DLib.anatomy.surfaces import Surface

#: What :class:`Insert` takes as a material, for help texts.
MATERIAL_WORDS = f"{', '.join(METALS)}, 'iodine N' with N mg/mL, or a number in 1/mm"

_HIGHEST_ATTENUATION = 100.0  # 1/mm; lead at 70 keV has 3.5
_HIGHEST_IODINE = 4930.0  # mg/mL: solid iodine
#: Mask voxels are cut into parts no larger than the CT's, up to this number of voxels in all.
_MOST_VOXELS = 20_000_000
#: Points at which the CT is read at once; bounds the memory of a call, not its result.
_CHUNK_POINTS = 500_000


@dataclass(frozen=True, eq=False)
class Insert:
    """Something in the patient that the CT does not hold.

    - ``shape``: a closed surface (:class:`Surface` or vtkPolyData, LPS mm), a :class:`Labelmap`, or a :class:`Volume` whose
      array is boolean; a mask has its own grid, which may differ from the CT's;
    - ``material``: ``"titanium"``, ``"steel"`` or ``"cobalt-chromium"``, which take the place of the tissue; ``"iodine 15"``,
      contrast agent with 15 mg of iodine per mL, which adds to it; or a number, an attenuation in 1/mm at the energy of the
      CT's calibration (about 70 keV), which takes its place and, in a polychromatic beam, behaves like a CT voxel of
      that value;
    - ``label``: the structure of a Labelmap, by number or name; ``None`` means all that is not 0;
    - ``name``: what messages call it; by default the material.
    """

    shape: Labelmap | Volume | Surface | vtkPolyData
    material: str | float
    label: int | str | None = None
    name: str = ""


@dataclass(frozen=True)
class Substance:
    """What an insert is made of: its parts' attenuation in 1/mm at the CT's calibration, and whether it displaces tissue."""

    parts: tuple[tuple[Material, float], ...]
    displaces: bool
    words: str


@dataclass(frozen=True, eq=False)
class Solid:
    """An insert as ``fraction``, its share of each voxel: float32 [z, y, x] on ``grid``, in the frame of the CT."""

    fraction: np.ndarray
    grid: Grid
    substance: Substance
    name: str


def parse_material(material: str | float) -> Substance:
    """The substance of a material's name, of ``"iodine N"`` or of a number; :class:`InputError` for anything else."""
    word = str(material).strip().lower()
    key = word.replace(" ", "-").replace("_", "-")
    if key in METALS:
        metal = METALS[key]
        return Substance(((metal, metal.attenuation),), True, f"{metal.name} ({metal.density:g} g/cm^3)")
    # A hyphen joined to the word belongs to the name, as in cobalt-chromium; any other is the sign of the amount.
    iodine = re.fullmatch(r"iodine(?:-|[\s:]*)(-?)\s*([\d.]+)\s*(mg/ml)?", word)
    try:
        number = float(iodine[1] + iodine[2] if iodine else word)
    except ValueError:
        hint = "say how much, for example 'iodine 15' for 15 mg/mL" if word == "iodine" else f"use {MATERIAL_WORDS}"
        raise InputError(f"The material {material!r} is not known: {hint}.") from None
    if iodine:
        if not 0 < number <= _HIGHEST_IODINE:
            raise InputError(
                f"Contrast agent with {number:g} mg/mL of iodine cannot be: give more than 0, and at most 400 as sold."
            )
        attenuation = number / 1000 * IODINE.attenuation
        return Substance(((IODINE, attenuation),), False, f"contrast agent with {number:g} mg/mL of iodine")
    if not 0 <= number <= _HIGHEST_ATTENUATION:
        raise InputError(
            f"An attenuation of {number:g} 1/mm cannot be: give 0 to {_HIGHEST_ATTENUATION:g} (water has 0.0193, steel 0.69)."
        )
    bone = float(bone_part(np.array(number)))
    return Substance(((WATER, number - bone), (CORTICAL_BONE, bone)), True, f"{number:g} 1/mm at {CALIBRATION_KEV:g} keV")


def solids(inserts: Sequence[Insert], ct: Grid) -> list[Solid]:
    """The inserts as shares of voxels, checked; ``ct`` is the CT's grid, which tells how fine masks have to be.

    Raises :class:`InputError` for an unknown material, an empty mask, and a surface that is not closed.
    """
    found = []
    for number, insert in enumerate(inserts, 1):
        substance = parse_material(insert.material)
        name = insert.name or f"insert {number} ({insert.material})"
        polydata: Any = getattr(insert.shape, "polydata", insert.shape)
        if isinstance(insert.shape, (Labelmap, Volume)):
            fraction, grid = _mask_fraction(_mask(insert, name), insert.shape.grid, ct, name)
        elif hasattr(polydata, "GetPolys"):
            if insert.label is not None:
                raise InputError(f"{name} is a surface, which has no label {insert.label!r}: leave the label out.")
            from XRayTo3DLib.anatomy.voxelisation import surface_fraction  # vtk is needed for surfaces only

            fraction, grid = surface_fraction(polydata, name)
        else:
            raise InputError(
                f"The shape of {name} is neither a mask nor a surface: give a Labelmap, a boolean Volume or a Surface."
            )
        found.append(Solid(fraction, grid, substance, name))
    return found


def _mask(insert: Insert, name: str) -> np.ndarray:
    if isinstance(insert.shape, Labelmap):
        return insert.shape.array > 0 if insert.label is None else insert.shape.mask(insert.label)
    array = insert.shape.array  # type: ignore[union-attr]
    if insert.label is not None:
        raise InputError(f"{name} is a mask without labels: leave the label {insert.label!r} out, or give a Labelmap.")
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise InputError(f"The mask of {name} holds other values than 0 and 1: give a boolean Volume, or a Labelmap.")
    return array.astype(bool)


def _mask_fraction(mask: np.ndarray, grid: Grid, ct: Grid, name: str) -> tuple[np.ndarray, Grid]:
    """The part of a mask that is not empty, with one empty voxel around it, and its grid."""
    if mask.shape != grid.shape:
        raise InputError(f"The mask of {name} has the shape {mask.shape}, its grid has {grid.shape}: pass both alike.")
    if not mask.any():
        raise InputError(f"The mask of {name} is empty: choose another structure, or leave it out.")
    ends = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in range(3)]
    box = tuple(slice(first, last + 1) for first, last in ends)
    inside = mask[box].astype(np.float32)
    # Cut coarse voxels into parts, so that the CT in them is displaced as finely as it is known: a mask voxel's edges in
    # voxels of the CT.
    edges = ct.to_index[:3, :3] @ grid.affine[:3, :3]
    wanted = np.maximum(np.ceil(np.abs(edges).max(axis=0) - 1e-3), 1)
    parts = np.maximum(wanted * min(1.0, (_MOST_VOXELS / (inside.size * wanted.prod())) ** (1 / 3)), 1).astype(int)
    for axis in range(3):
        inside = np.repeat(inside, parts[2 - axis], axis=axis)
    size = parts * [side.stop - side.start for side in box[::-1]]
    return np.pad(inside, 1), grid.cropped(box).resized(size).padded(1)


def attenuation_changes(
    parts: Sequence[Solid], volume: Volume, separate: bool
) -> Iterator[tuple[Solid, dict[Material, np.ndarray]]]:
    """For each solid, what it changes on its grid: attenuation in 1/mm at the CT's calibration, by material.

    ``separate`` keeps the materials apart; otherwise all of it is counted as water.
    """
    metals = [solid for solid in parts if solid.substance.displaces]
    for solid in parts:
        brought, removed = _overlaps(solid, metals)
        found = {material: brought * np.float32(value) for material, value in solid.substance.parts if value}
        if solid.substance.displaces:
            for material, values in _displaced(removed, solid.grid, volume).items():
                found[material] = found[material] - values if material in found else -values
        yield solid, found if separate else {WATER: np.sum(list(found.values()), axis=0)}


def _overlaps(solid: Solid, metals: Sequence[Solid]) -> tuple[np.ndarray, np.ndarray]:
    """The fraction less what later metals displace, and less what earlier ones have displaced already."""
    place = next((i for i, metal in enumerate(metals) if metal is solid), -1)  # contrast agent is displaced by all metals
    brought, removed = solid.fraction, solid.fraction
    for index, other in enumerate(metals):
        if index == place or not boxes_meet(solid.grid, other.grid):
            continue
        for where, positions in _positions(solid.fraction, solid.grid, other.grid):
            left = 1 - ndimage.map_coordinates(other.fraction, positions, order=1, mode="grid-constant")
            if index > place:
                brought = brought.copy() if brought is solid.fraction else brought
                brought[where] *= left
            else:
                removed = removed.copy() if removed is solid.fraction else removed
                removed[where] *= left
    return brought, removed


def _positions(fraction: np.ndarray, grid: Grid, target: Grid) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray]]:
    """The covered voxels, in portions: their index, and their position (3, N) in voxels [z, y, x] of ``target``."""
    matrix = target.to_index @ grid.affine
    flat = np.flatnonzero(fraction)
    for begin in range(0, len(flat), _CHUNK_POINTS):
        where = np.unravel_index(flat[begin : begin + _CHUNK_POINTS], fraction.shape)
        yield where, (matrix[:3, :3] @ np.stack(where[::-1]) + matrix[:3, 3:])[::-1]


def _displaced(fraction: np.ndarray, grid: Grid, volume: Volume) -> dict[Material, np.ndarray]:
    """What the CT holds where ``fraction`` is, in 1/mm: its water and its bone, interpolated as in the projector."""
    corners = volume.grid.to_index @ np.column_stack([grid.corners, np.ones(8)]).T
    low = np.clip(np.floor(corners[:3].min(axis=1)).astype(int) - 1, 0, volume.grid.size)[::-1]
    high = np.clip(np.ceil(corners[:3].max(axis=1)).astype(int) + 2, 0, volume.grid.size)[::-1]
    if (low >= high).any():
        return {}
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    part = volume.array[box]
    local = Volume(part, volume.grid.cropped(box), volume.unit)
    everything = to_attenuation(local).array.astype(np.float32, copy=False)
    bone = bone_part(everything)
    sources = {WATER: everything - bone, CORTICAL_BONE: bone}
    found = {material: np.zeros_like(fraction) for material in sources}
    for where, positions in _positions(fraction, grid, volume.grid):
        for material, source in sources.items():
            read = ndimage.map_coordinates(source, positions - low[:, None], order=1, mode="grid-constant")
            found[material][where] = fraction[where] * read
    return found
