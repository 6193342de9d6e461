"""Digitally reconstructed radiographs: what an X-ray of a CT would measure.

The steps of one exposure are, in this order: attenuation in the patient and in inserts (at one energy, or of a polychromatic
beam: :mod:`beam`), then the detector (:mod:`detector`). Each is left out unless it is asked for, and what was simulated is
said in the radiograph's notes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.projection.projector import QUALITIES, project
from XRayTo3DLib.simulation.beam import bone_part, describe
from XRayTo3DLib.simulation.detector import expose
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.inserts import Insert, Solid, amounts, shadow, solids
from XRayTo3DLib.simulation.materials import CORTICAL_BONE, WATER, Material

#: Voxels turned into bone at once; bounds the memory of a call, not its result.
_CHUNK_VOXELS = 200_000
#: One energy, no noise, sharp.
IDEAL = Exposure()


def render_drr(
    volume: Volume,
    projections: Sequence[Projection],
    names: Sequence[str] | None = None,
    progress: Progress = silent,
    *,
    transform: ArrayLike | Sequence[Sequence[float]] | None = None,
    quality: str = "full",
    exposure: Exposure = IDEAL,
    inserts: Sequence[Insert] = (),
) -> list[Radiograph]:
    """Line integrals of a CT (HU or 1/mm) for each projection, as radiographs with float32 pixels.

    - ``names``: the views' names;
    - ``transform``: a 4x4 affine matrix (LPS mm) that moves the CT, and the inserts with it; it may turn, shift, scale and
      shear;
    - ``quality``: ``"full"``, or ``"preview"``, which is faster and less exact (see :func:`~XRayTo3DLib.project`);
    - ``exposure``: what tube and detector do (:class:`XRayTo3DLib.Exposure`); ideal by default;
    - ``inserts``: metal and contrast agent (:class:`XRayTo3DLib.Insert`), in the frame of the CT before ``transform``.

    Beside the CT itself it needs at most one float32 copy of it. Raises :class:`InputError`, before the work begins, for
    values that cannot be, for a source inside the CT, and when the CT lies outside a beam.
    """
    labels = list(names) if names is not None else [f"view {i + 1}" for i in range(len(projections))]
    if len(labels) != len(projections):
        raise InputError(f"There are {len(labels)} names for {len(projections)} projections: give one name a projection.")
    if quality not in QUALITIES:
        raise InputError(f"The quality {quality!r} is not known: use {' or '.join(QUALITIES)}.")
    if not isinstance(exposure, Exposure):
        raise InputError(f"The exposure must be an Exposure, not {exposure!r}: give Exposure(kilovolts=80), for example.")
    beam = exposure.beam
    grid = _moved(volume.grid, transform)
    for label, projection in zip(labels, projections, strict=True):
        check_overlap(grid, projection, label)
    _check_finite(volume)
    placed = solids(inserts, volume.grid)
    notes = _insert_notes(placed, transform, grid, projections, labels)

    paths = _tissue(volume, grid, projections, labels, beam is not None, quality, part(progress, 0.0, 0.9))
    for number, (solid, materials) in enumerate(amounts(placed, volume, beam is not None)):
        progress(0.9 + 0.05 * number / len(placed), f"DRR {solid.name}")
        _add_insert(paths, _moved(solid.grid, transform), materials, projections, quality)
    found: list[Radiograph] = []
    for index, (label, projection, pictures) in enumerate(zip(labels, projections, paths, strict=True)):
        progress(0.95 + 0.05 * index / len(paths), f"DRR {label}")
        values = sum(pictures.values()) if beam is None else beam.line_integrals(pictures)
        said = notes[index] if beam is None else (describe(exposure.kilovolts or 0.0, beam), *notes[index])
        ideal = Radiograph(np.asarray(values, dtype=np.float32), projection, label, notes=said)
        found.append(expose(ideal, exposure, repeat=labels[:index].count(label)))
    progress(1.0, "DRRs done")
    return found


def _moved(grid: Grid, transform: ArrayLike | Sequence[Sequence[float]] | None) -> Grid:
    return grid if transform is None else grid.transformed(transform)


def check_overlap(grid: Grid, projection: Projection, name: str) -> None:
    """Raise :class:`InputError` when the projection cannot be one of a volume on ``grid``.

    That is when its source stands inside the grid, or none of its rays crosses the grid, because the grid lies beside the
    beam or behind the source.
    """
    if projection.source is not None:
        index = grid.to_index @ np.append(projection.source, 1.0)
        if ((index[:3] > -0.5) & (index[:3] < np.array(grid.size) - 0.5)).all():
            raise InputError(f"The source of {name} stands inside the volume: use a larger source-to-isocentre distance.")
    corners = projection.project(grid.corners)
    if np.isnan(corners).all():
        raise InputError(f"The volume lies behind the source of {name}: turn the beam or move the isocentre into the volume.")
    if _crosses(grid, projection):
        return
    if np.isnan(corners).any():
        raise InputError(
            f"The beam of {name} misses the volume, which stands beside its source and partly behind it: turn the beam or "
            "move the isocentre into the volume."
        )
    low, high = corners.min(axis=0), corners.max(axis=0)
    rows, columns = projection.size
    raise InputError(
        f"The beam of {name} misses the volume (its shadow falls on columns {low[0]:.0f} to {high[0]:.0f}, rows "
        f"{low[1]:.0f} to {high[1]:.0f} of a detector of {columns} x {rows}): move the isocentre into the volume."
    )


def _crosses(grid: Grid, projection: Projection) -> bool:
    """Whether the beam that ends on the detector and the box of the grid have a point in common.

    Both are convex and bounded by planes, so that is a linear program over voxel indices: 0 <= column and row < size, each
    times the homogeneous w, and w > 0.
    """
    rows, columns = projection.size
    middle = projection.project(grid.centre[np.newaxis])[0]
    if (middle > -0.5).all() and (middle < np.array([columns, rows]) - 0.5).all():
        return True  # the usual case, and false for NaN
    column, row, w = projection.matrix @ grid.affine
    planes = np.stack([column + 0.5 * w, (columns - 0.5) * w - column, row + 0.5 * w, (rows - 0.5) * w - row, w])
    planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True).clip(1e-12)
    if not projection.is_cone:
        planes = planes[:4]  # w is 1 everywhere
    bounds = [(-0.5, size - 0.5) for size in grid.size]
    return bool(linprog(np.zeros(3), -planes[:, :3], planes[:, 3], bounds=bounds).status == 0)


def _check_finite(volume: Volume) -> None:
    if not np.issubdtype(volume.array.dtype, np.floating):
        return
    for plane in volume.array:
        # The sum of squares is not finite when a voxel is not, and is faster than looking at each voxel.
        if not np.isfinite(np.vdot(plane, plane)) and not np.isfinite(plane).all():
            raise InputError("The volume holds NaN or infinite voxels: replace them (with -1000 HU for air) and try again.")


def _tissue(
    volume: Volume,
    grid: Grid,
    projections: Sequence[Projection],
    labels: Sequence[str],
    separate: bool,
    quality: str,
    progress: Progress,
) -> list[dict[Material, np.ndarray]]:
    """The CT's own line integrals at the energy of its calibration, by material; all of it as water unless ``separate``."""
    mu = np.ascontiguousarray(to_attenuation(volume).array, dtype=np.float32)
    steps = len(projections) * (1 + separate)

    def pictures(values: np.ndarray, done: int, what: str) -> list[np.ndarray]:
        found = []
        for index, (label, projection) in enumerate(zip(labels, projections, strict=True)):
            progress((done + index) / steps, f"DRR {label}{what}")
            found.append(project(values, grid, [projection], quality=quality)[0].numpy())
        return found

    everything = pictures(mu, 0, "")
    if not separate:
        return [{WATER: picture} for picture in everything]
    # Bone takes the place of the attenuation in memory, unless that is the caller's own array.
    bone = np.empty_like(mu) if np.shares_memory(mu, volume.array) else mu
    planes = max(1, _CHUNK_VOXELS // mu[0].size)
    for first in range(0, len(mu), planes):
        bone[first : first + planes] = bone_part(mu[first : first + planes])
    hard = pictures(bone, len(projections), " (bone)")
    return [{WATER: total - part, CORTICAL_BONE: part} for total, part in zip(everything, hard, strict=True)]


def _add_insert(
    paths: list[dict[Material, np.ndarray]],
    grid: Grid,
    materials: dict[Material, np.ndarray],
    projections: Sequence[Projection],
    quality: str,
) -> None:
    """Add an insert's line integrals to those of the CT, on the part of each detector where it falls."""
    for pictures, projection in zip(paths, projections, strict=True):
        window = shadow(grid, projection)
        if window is None:
            continue
        for material, values in materials.items():
            picture = pictures.setdefault(material, np.zeros(projection.size, dtype=np.float32))
            picture[window] += project(values, grid, [projection.cropped(window)], quality=quality)[0].numpy()


def _insert_notes(
    placed: Sequence[Solid],
    transform: ArrayLike | Sequence[Sequence[float]] | None,
    ct: Grid,
    projections: Sequence[Projection],
    labels: Sequence[str],
) -> list[tuple[str, ...]]:
    """A sentence an insert for each view; an insert outside the CT and every beam is an :class:`InputError`."""
    notes: list[list[str]] = [[] for _ in projections]
    for solid in placed:
        grid = _moved(solid.grid, transform)
        index = ct.to_index @ np.column_stack([grid.corners, np.ones(8)]).T
        outside = (index[:3].max(axis=1) < -0.5).any() or (index[:3].min(axis=1) > np.array(ct.size) - 0.5).any()
        seen = [shadow(grid, projection) is not None for projection in projections]
        if outside and not any(seen):
            centre = ", ".join(f"{value:.0f}" for value in grid.centre)
            raise InputError(
                f"{solid.name} lies outside the CT and outside every beam (around {centre} mm, LPS): check its coordinates, "
                "which must be LPS mm and not RAS."
            )
        verb = "in place of" if solid.substance.displaces else "added to"
        said = f"{solid.name}: {solid.substance.words}, {verb} the CT's tissue"
        if outside:
            said += ", but it lies outside the CT"
        for own, label, visible in zip(notes, labels, seen, strict=True):
            own.append(said + ("." if visible else f"; it lies outside the beam of {label}."))
    return [tuple(own) for own in notes]
