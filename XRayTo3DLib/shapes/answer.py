"""From X-rays to an organ: its labelmap, closed surface, volume with an interval, and outline on each X-ray, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel, ModelFile, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.shapes.base import Masks, OrganShape, ShapeEstimate, ShapeSystem, check_masks
from XRayTo3DLib.shapes.interval import volume_interval
from XRayTo3DLib.shapes.organs import find_organ
from XRayTo3DLib.shapes.outlines import outlines
from XRayTo3DLib.shapes.registry import TASKS, default_for, system_for
from XRayTo3DLib.shapes.scope import field_notes, scope_notes

#: Voxels of labelmaps are made finer until they are no larger than this, in mm.
_FINE_MM = 2.0
#: A piece smaller than this share of the largest is a speck.
_SPECK = 0.05


def organ_shape(
    radiographs: Sequence[Radiograph],
    organ: str,
    masks: Masks | None = None,
    model: str | Path | LoadedModel | ShapeSystem | None = None,
    ask: Callable[[ModelFile], bool] | None = None,
    region: str | None = None,
    check_scope: bool = True,
    progress: Progress = silent,
) -> OrganShape:
    """An organ from one or more radiographs.

    - ``organ``: its name, one of :data:`XRayTo3DLib.shapes.organs.ORGANS`;
    - ``masks``: the organ's outline as the user drew it, a bool picture [row, column] a radiograph, ``None`` where none was;
    - ``model``: a name, a path or a loaded model of the task ``shape`` or ``mesh``; the bundled one for this organ by default; or a
      system that needs no model;
    - ``region``: of pictures whose scale is unknown, what they show: "head", "chest" or "abdomen"; guessed by default;
    - ``check_scope``: say so when the X-rays do not look like ones that show this organ;
    - ``ask``: whether to trust a model from elsewhere, see :func:`XRayTo3DLib.models.zoo.load_model`.

    Raises :class:`InputError` for views or masks that are missing or do not fit, for an organ that no model knows, and when
    the organ is not found.
    """
    wanted = find_organ(organ).name
    if not radiographs:
        raise InputError("No radiograph was given: give at least one view.")
    drawn = check_masks(radiographs, masks)
    system, loaded = _system(model, wanted, len(radiographs), ask)
    notes = scope_notes(wanted, radiographs) if check_scope else []
    used = list(radiographs)
    if not all(r.calibrated for r in radiographs):
        used, fitted = calibrated(radiographs, region, part(progress, 0.0, 0.5))
        notes += fitted
    system.check(loaded, used, wanted, drawn)
    estimate = system.run(loaded, used, wanted, drawn, part(progress, 0.5, 0.8))
    estimate = replace(estimate, notes=(*notes, *estimate.notes))
    return shape_of(estimate, wanted, radiographs, drawn, loaded, system.name, part(progress, 0.8, 1.0))


def calibrated(
    radiographs: Sequence[Radiograph], region: str | None = None, progress: Progress = silent
) -> tuple[list[Radiograph], list[str]]:
    """Radiographs of unknown scale as line integrals, at their own pixels, by reconstructing them; and what is to be said of it.

    Those that are calibrated are returned as they are.
    """
    found = reconstruct(radiographs, fuse_views=False, region=region, progress=progress)
    used = [r if scale is None else scale.of(r) for r, scale in zip(radiographs, found.scales, strict=True)]
    return used, [note for note in found.notes if any(note.startswith(f"{r.name}: ") for r in radiographs)]


def _system(
    model: str | Path | LoadedModel | ShapeSystem | None, organ: str, views: int, ask: Callable[[ModelFile], bool] | None
) -> tuple[ShapeSystem, LoadedModel | None]:
    """The system, and the model that it runs."""
    if model is None:
        found = default_for(organ, views)
        model = found.path if isinstance(found, ModelFile) else found
    if not isinstance(model, (str, Path, LoadedModel)):
        return model, None
    loaded = model if isinstance(model, LoadedModel) else load_model(model, None, ask)
    if loaded.file.card["task"] not in TASKS:
        raise InputError(
            f"The model {loaded.file.name} is for the task {loaded.file.card['task']!r}, not an organ's shape: choose a model of "
            f"the task {' or '.join(TASKS)}."
        )
    return system_for(loaded.file.card), loaded


def shape_of(
    estimate: ShapeEstimate,
    organ: str,
    radiographs: Sequence[Radiograph],
    masks: Masks,
    model: LoadedModel | None,
    name: str,
    progress: Progress = silent,
) -> OrganShape:
    """What an estimate is as an organ: voxels without specks, surface, volume, interval and outlines.

    ``name`` is what a system without a model is called. Raises :class:`InputError` when no voxel belongs to the organ.
    """
    labelmap = _labelmap(estimate, organ)
    progress(0.3, f"surface of the {organ}")
    mask = labelmap.array > 0
    surface = estimate.surface or extract_surface(mask, labelmap.grid, organ)
    volume = estimate.volume_ml
    if volume is None:
        volume = float(np.count_nonzero(mask)) * labelmap.grid.voxel_volume / 1000
    interval = estimate.interval_ml
    if interval is None and model is not None:
        interval = volume_interval(model.file.card, organ, len(radiographs), masks, volume)
    progress(0.6, f"outline of the {organ}")
    curves = outlines(labelmap, radiographs)
    notes = [*estimate.notes, *field_notes(organ, radiographs, curves)]
    if surface.cut:
        notes.append(f"The {organ} reaches the border of the grid and is cut there: its volume is that of the part inside.")
    if len(radiographs) == 1:
        notes.append("One view: depth comes from the model alone.")
    progress(1.0, organ)
    return OrganShape(
        organ,
        labelmap,
        surface,
        volume,
        interval,
        curves,
        name if model is None else model.file.name,
        "" if model is None else model.file.sha256,
        estimate,
        tuple(notes),
    )


def _labelmap(estimate: ShapeEstimate, organ: str) -> Labelmap:
    """The voxels of the organ in a box around it, as fine as the outline needs, without specks."""
    coarse = estimate.probability
    inside = coarse.array >= min(0.5 * estimate.threshold, 0.25)
    if not (coarse.array >= estimate.threshold).any():
        raise InputError(f"The {organ} was not found in these X-rays: check that they show it, and which views they are.")
    ends = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in range(3)]
    box = tuple(slice(max(0, first - 2), min(n, last + 3)) for (first, last), n in zip(ends, inside.shape, strict=True))
    grid = coarse.grid.cropped(box)
    factors = [max(1, int(np.ceil(side / _FINE_MM - 1e-6))) for side in grid.spacing]
    fine = grid.resized([n * factor for n, factor in zip(grid.size, factors, strict=True)])
    # The outermost voxels reach past their centres.
    padded = Volume(np.pad(coarse.array[box], 1, mode="edge"), grid.padded(1), "1")
    mask = resample(padded, fine).array >= estimate.threshold
    pieces, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(pieces.ravel())[1:]
        mask = np.isin(pieces, 1 + np.flatnonzero(sizes >= _SPECK * sizes.max()))
    if not mask.any():
        raise InputError(f"The {organ} was not found in these X-rays: check that they show it, and which views they are.")
    return Labelmap(mask.astype(np.uint8), fine, {1: organ})
