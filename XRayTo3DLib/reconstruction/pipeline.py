"""From radiographs to a volume: prepare the views, run the method, fuse, and say how far the result agrees with each view."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import BETA, check_beta
from XRayTo3DLib.fusion.iterative import check_room, fuse
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.overlap import check_overlap
from XRayTo3DLib.images.pixel_matching import coarse
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.models.zoo import LoadedModel, ModelFile, load_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.calibration.fit import calibrate
from XRayTo3DLib.reconstruction.calibration.scale import Scale, fusion_targets
from XRayTo3DLib.reconstruction.checks import check_distinct, check_names, notes_on
from XRayTo3DLib.reconstruction.grids import covering_spacing, default_grid, grid_for
from XRayTo3DLib.reconstruction.methods.base import Method
from XRayTo3DLib.reconstruction.methods.registry import method_for
from XRayTo3DLib.reconstruction.result import Reconstruction


def reconstruct(
    radiographs: Sequence[Radiograph],
    model: str | Path | LoadedModel | Method | None = None,
    grid: Grid | None = None,
    fuse_views: bool = True,
    beta: float = BETA,
    check_views: bool = True,
    ask: Callable[[ModelFile], bool] | None = None,
    region: str | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """A volume from one or more radiographs.

    - ``model``: a name, a path or a loaded model of the task ``volume`` (the bundled one by default), run by the method whose
      interface its card names; or a method that needs no model, such as :class:`.methods.baselines.Mean`;
    - ``grid``: where to reconstruct; by default what the model takes around the views' common centre, 64^3 voxels of 4 mm, or of
      up to 6.4 mm where the body's shadow needs more room;
    - ``fuse_views``, ``beta``: correct the result until it re-projects, see :mod:`XRayTo3DLib.fusion.iterative`;
    - ``check_views``: refuse calibrated views whose pictures contradict their names;
    - ``region``: of pictures whose scale is unknown, what they show: "head", "chest" or "abdomen"; guessed by default;
    - ``ask``: whether to trust a model from elsewhere, see :func:`XRayTo3DLib.models.zoo.load_model`.

    Raises :class:`InputError` for views that are missing, alike or beside the grid, and for what a model's card does not allow.
    """
    started = time.monotonic()
    if not radiographs:
        raise InputError("No radiograph was given: give at least one view.")
    check_beta(beta)
    check_distinct(radiographs)
    method, loaded = _method(model, ask)
    if grid is None and loaded is not None:
        grid = grid_for(loaded.file.card, radiographs)
    elif grid is None:
        grid = default_grid([r.projection for r in radiographs], spacing=covering_spacing(radiographs))
    for radiograph in radiographs:
        check_overlap(grid, radiograph.projection, radiograph.name or "a view")
    check_room(grid, len(radiographs))
    method.check(loaded, radiographs, grid)
    name = method.name if loaded is None else loaded.file.name
    progress(0.05, f"model {name}")
    used, notes = coarse(radiographs, grid), notes_on(radiographs, grid)
    scales: tuple[Scale | None, ...] = (None,) * len(used)
    if all(r.calibrated for r in used):
        estimate = method.run(loaded, used, grid, part(progress, 0.05, 0.4))
    else:
        used, scales, estimate = calibrate(method, loaded, used, grid, region, part(progress, 0.05, 0.4))
    notes += estimate.notes
    model_seconds = time.monotonic() - started
    before = volume = estimate.mean
    pictures = reproject(before, used)
    errors = errors_before = errors_of(used, pictures)
    if check_views and all(r.calibrated for r in radiographs):
        check_names(method, loaded, used, grid, errors_before)
    if fuse_views:
        targets, rounds = fusion_targets(used, scales, pictures)
        fused = fuse(before, targets, beta, iterations=rounds, progress=part(progress, 0.4, 0.95))
        volume = fused.volume
        pictures = reproject(volume, used)
        errors = errors_of(used, pictures)
        if fused.empty_rays:
            notes.append(f"{fused.empty_rays} rays measured matter where the model saw none; they were filled evenly.")
    progress(1.0, "reconstruction done")
    return Reconstruction(
        volume,
        before,
        estimate.deviation,
        used,
        pictures,
        errors,
        errors_before,
        name,
        "" if loaded is None else loaded.file.sha256,
        model_seconds,
        time.monotonic() - started,
        notes,
        scales,
    )


def _method(
    model: str | Path | LoadedModel | Method | None, ask: Callable[[ModelFile], bool] | None
) -> tuple[Method, LoadedModel | None]:
    """The method, and the model that it runs."""
    if model is not None and not isinstance(model, (str, Path, LoadedModel)):
        return model, None
    loaded = model if isinstance(model, LoadedModel) else load_model(model, "volume", ask)
    return method_for(loaded.file.card), loaded
