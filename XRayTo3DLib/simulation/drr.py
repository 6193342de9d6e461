"""Digitally reconstructed radiographs: what an X-ray of a CT would measure.

The steps of one exposure are, in this order: attenuation in the patient and in inserts (at one energy, or of a polychromatic
beam: :mod:`beam`), then the detector (:mod:`detector`). Each is left out unless it is asked for, and what was simulated is
said in the radiograph's notes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.overlap import boxes_meet, check_overlap, shadow
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.projection.projector import QUALITIES, project
from XRayTo3DLib.simulation.beam import bone_part, describe
from XRayTo3DLib.simulation.detector import expose
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.inserts import Insert, Solid, attenuation_changes, solids
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
    for number, (solid, materials) in enumerate(attenuation_changes(placed, volume, beam is not None)):
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
        outside = not boxes_meet(ct, grid)
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
