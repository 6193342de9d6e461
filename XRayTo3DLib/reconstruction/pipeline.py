"""From radiographs to a volume: prepare the views, run the model, fuse, and say how far the result agrees with each view."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.fusion.reprojection import reproject, reprojection_error
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import SAME_VIEW_DEGREES, Projection
from XRayTo3DLib.geometry.views import DEFAULT_SOURCE_TO_DETECTOR, DEFAULT_SOURCE_TO_ISOCENTRE
from XRayTo3DLib.images.pixel_matching import coarse
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.models.zoo import LoadedModel, ModelFile, load_model, run_volume_model
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction import virtual_detector
from XRayTo3DLib.reconstruction.detail import with_detail
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.simulation.drr import check_overlap

DEFAULT_SIZE = 64
DEFAULT_SPACING = 4.0
#: The largest voxels that the bundled model was trained on, in mm.
_LARGEST_SPACING = 6.4
#: Share of a picture's maximum above which a pixel is in the body's shadow.
_SHADOW = 0.05
#: Rounds of fitting gain and offset of uncalibrated radiographs.
_CALIBRATION_ROUNDS = 3


def common_centre(projections: Sequence[Projection]) -> np.ndarray:
    """LPS mm of the point closest to all beam axes; for a single view the middle of its detector or, cone beam, its isocentre.

    A file does not say where the isocentre of a single cone beam is: it is taken at the default share of the distance.
    """
    if len(projections) == 1:
        view = projections[0]
        if view.source is None:
            return view.centre
        return view.source + DEFAULT_SOURCE_TO_ISOCENTRE / DEFAULT_SOURCE_TO_DETECTOR * (view.centre - view.source)
    total, right = np.zeros((3, 3)), np.zeros(3)
    for view in projections:
        across = np.eye(3) - np.outer(view.beam_direction, view.beam_direction)
        total += across
        right += across @ view.centre
    return np.linalg.lstsq(total, right, rcond=None)[0]


def default_grid(
    projections: Sequence[Projection], size: int | Sequence[int] = DEFAULT_SIZE, spacing: float = DEFAULT_SPACING
) -> Grid:
    """The LPS grid around the views' common centre: 64^3 voxels of 4 mm unless asked otherwise."""
    return Grid.centred(common_centre(projections), size, spacing)


def covering_spacing(radiographs: Sequence[Radiograph]) -> float:
    """The voxel size in mm with which 64 voxels hold the body's shadow in every calibrated view: 4 to 6.4 mm."""
    centre = common_centre([r.projection for r in radiographs])
    reach = 0.0
    for radiograph in radiographs:
        projection, values = radiograph.projection, radiograph.line_integrals
        rows, columns = np.nonzero(values > _SHADOW * values.max())
        if not radiograph.calibrated or not len(rows):
            continue
        column, row = projection.project(centre[None])[0]
        shrink = 1.0
        if projection.source is not None:
            shrink = float(abs(projection.normal @ (centre - projection.source))) / float(projection.source_to_detector or 1)
        half_width = (np.abs(columns - column).max() + 0.5) * projection.spacing[1]
        half_height = (np.abs(rows - row).max() + 0.5) * projection.spacing[0]
        reach = max(reach, shrink * max(half_width, half_height))
    return float(np.clip(2 * reach / DEFAULT_SIZE, DEFAULT_SPACING, _LARGEST_SPACING))


def reconstruct(
    radiographs: Sequence[Radiograph],
    model: str | Path | LoadedModel | None = None,
    grid: Grid | None = None,
    fuse_views: bool = True,
    beta: float = BETA,
    check_views: bool = True,
    ask: Callable[[ModelFile], bool] | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """A volume from one or more radiographs.

    - ``model``: a name, a path or a loaded model of the task ``volume``; the bundled one by default;
    - ``grid``: where to reconstruct (its sizes are padded to what the model needs, and cut back); by default 64^3 voxels around the
      views' common centre, of 4 mm, or of up to 6.4 mm where the body's shadow needs more room;
    - ``fuse_views``, ``beta``: correct the result until it re-projects, see :mod:`XRayTo3DLib.fusion.iterative`;
    - ``check_views``: refuse calibrated views whose pictures contradict their names;
    - ``ask``: whether to trust a model from elsewhere, see :func:`XRayTo3DLib.models.zoo.load_model`.

    Raises :class:`InputError` for views that are missing, alike or beside the grid, and for models that do not fit.
    """
    started = time.monotonic()
    if not radiographs:
        raise InputError("No radiograph was given: give at least one view.")
    check_distinct(radiographs)
    loaded = model if isinstance(model, LoadedModel) else load_model(model, "volume", ask)
    _check_count(loaded, len(radiographs))
    grid = grid or default_grid([r.projection for r in radiographs], spacing=covering_spacing(radiographs))
    for radiograph in radiographs:
        check_overlap(grid, radiograph.projection, radiograph.name or "a view")
    progress(0.05, f"model {loaded.file.name}")
    used, notes = coarse(radiographs, grid), _notes(radiographs, grid)
    if all(r.calibrated for r in used):
        mu, deviation = _predict(loaded, used, grid)
    else:
        used, mu, deviation, found = _calibrate(loaded, used, grid, part(progress, 0.05, 0.4))
        notes += found
    model_seconds = time.monotonic() - started
    before = Volume(mu, grid, "1/mm")
    pictures = reproject(before, used)
    errors = errors_before = [reprojection_error(r.line_integrals, p) for r, p in zip(used, pictures, strict=True)]
    if check_views and all(r.calibrated for r in radiographs):
        _check_names(loaded, used, grid, errors_before)
    volume = before
    if fuse_views:
        fused = fuse(before, used, beta, progress=part(progress, 0.4, 0.95))
        volume = fused.volume
        pictures = reproject(volume, used)
        errors = [reprojection_error(r.line_integrals, p) for r, p in zip(used, pictures, strict=True)]
        if fused.empty_rays:
            notes.append(f"{fused.empty_rays} rays measured matter where the model saw none; they were filled evenly.")
    progress(1.0, "reconstruction done")
    return Reconstruction(
        volume,
        before,
        None if deviation is None else Volume(deviation, grid, "1/mm"),
        used,
        pictures,
        errors,
        errors_before,
        loaded.file.name,
        loaded.file.sha256,
        model_seconds,
        time.monotonic() - started,
        notes,
    )


def refine(
    reconstruction: Reconstruction,
    radiographs: Sequence[Radiograph],
    spacing: float,
    beta: float = BETA,
    progress: Progress = silent,
) -> Reconstruction:
    """The reconstruction on a finer grid (``spacing`` mm): interpolated, then fused again with more of the radiographs' detail.

    ``radiographs`` are those that were reconstructed, at their own resolution and in the same order.
    """
    reconstruction = with_detail(reconstruction, radiographs, spacing)
    whole = reconstruction.volume.grid
    ratio = np.array(whole.spacing) / spacing
    size = tuple(max(1, round(n * r)) for n, r in zip(whole.size, ratio, strict=True))
    grid = whole.resized(size)
    fused = fuse(_spread(reconstruction.volume, grid), reconstruction.radiographs, beta, iterations=20, progress=progress)
    pictures = reproject(fused.volume, reconstruction.radiographs)
    errors = [reprojection_error(r.line_integrals, p) for r, p in zip(reconstruction.radiographs, pictures, strict=True)]
    return replace(
        reconstruction,
        volume=fused.volume,
        before_fusion=_spread(reconstruction.before_fusion, grid),
        deviation=None if reconstruction.deviation is None else _spread(reconstruction.deviation, grid),
        reprojections=pictures,
        errors=errors,
    )


def _spread(volume: Volume, grid: Grid) -> Volume:
    """Linear interpolation onto a finer grid of the same extent, constant in the outermost half voxel."""
    padded = Volume(np.pad(volume.array, 1, mode="edge"), volume.grid.padded(1), volume.unit)
    return resample(padded, grid)


def check_distinct(radiographs: Sequence[Radiograph]) -> None:
    """Raise :class:`InputError` for two views that show the same: the same beam, its opposite, or the same picture."""
    for i, one in enumerate(radiographs):
        for other in radiographs[i + 1 :]:
            names = f"{one.name or f'view {i + 1}'} and {other.name or 'another view'}"
            angle = one.projection.angle_to(other.projection)
            if min(angle, 180 - angle) < SAME_VIEW_DEGREES:
                raise InputError(
                    f"The views {names} are the same view ({angle:.1f} degrees apart; opposite beams count as one): give views "
                    f"from directions at least {SAME_VIEW_DEGREES:g} degrees apart, or correct their names."
                )
            if one.line_integrals.shape == other.line_integrals.shape and _alike(one.line_integrals, other.line_integrals):
                raise InputError(f"The views {names} hold the same picture: give each view its own image.")


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return any(np.allclose(one, picture, rtol=1e-4, atol=1e-4 * float(np.abs(one).max())) for picture in (other, other[:, ::-1]))


def _check_count(model: LoadedModel, count: int) -> None:
    limits = model.file.card["inputs"]["views"]
    if not limits["minimum"] <= count <= limits["maximum"]:
        raise InputError(
            f"The model {model.file.name} takes {limits['minimum']} to {limits['maximum']} views, not {count}: give another number "
            "of views or choose another model."
        )


def _predict(model: LoadedModel, radiographs: Sequence[Radiograph], grid: Grid) -> tuple[np.ndarray, np.ndarray | None]:
    """The model's attenuation and standard deviation in 1/mm on ``grid``, float32 [z, y, x]."""
    multiple = int(model.file.card["outputs"]["grid"].get("multiple_of", 1))
    padded = grid.padded(0, [-n % multiple for n in grid.size])
    virtual = [virtual_detector.virtual_projection(r.projection, padded) for r in radiographs]
    images = [virtual_detector.to_virtual(r.line_integrals, r.projection, padded) for r in radiographs]
    seen = np.stack(images) / virtual_detector.scale(padded)
    matrices = np.stack([virtual_detector.matrix(p, padded) for p in virtual])
    beams = np.stack([virtual_detector.beam(p, padded) for p in virtual])
    # The mirrored patient under mirrored beams is as likely a patient: the mean of both answers is better than either.
    output = 0.5 * (
        _run(model, seen, matrices, beams, padded)
        + _run(model, seen[:, :, ::-1], *virtual_detector.mirrored(matrices, beams, padded, seen.shape[2]), padded)[..., ::-1]
    )
    cut = MU_WATER * output[:, : grid.shape[0], : grid.shape[1], : grid.shape[2]]
    return np.ascontiguousarray(cut[0]), np.ascontiguousarray(cut[1]) if len(cut) > 1 else None


def _run(model: LoadedModel, images: np.ndarray, matrices: np.ndarray, beams: np.ndarray, grid: Grid) -> np.ndarray:
    """The model's output (channels, z, y, x), checked."""
    output = run_volume_model(model, np.ascontiguousarray(images), matrices, beams, grid.affine, grid.shape)
    if output.ndim != 4 or output.shape[1:] != grid.shape or not np.isfinite(output).all():
        raise InputError(f"The model {model.file.name} gave a result of the wrong shape or not finite: use another model.")
    return output


def _calibrate(
    model: LoadedModel, radiographs: list[Radiograph], grid: Grid, progress: Progress
) -> tuple[list[Radiograph], np.ndarray, np.ndarray | None, list[str]]:
    """Fit gain and offset of uncalibrated views so that the model's volume re-projects to them; say what was fitted.

    Starts from a picture whose dark end is air and whose bright end is half the grid in water. With a calibrated view beside
    them, that one fixes the scale.
    """
    start = 16 * virtual_detector.scale(grid) / 32
    used = list(radiographs)
    fits: dict[int, tuple[float, float]] = {}
    for index, radiograph in enumerate(radiographs):
        if not radiograph.calibrated:
            low, high = np.percentile(radiograph.line_integrals, [1, 99])
            gain = start / max(float(high - low), 1e-6)
            fits[index] = gain, -gain * float(low)
    for round_ in range(_CALIBRATION_ROUNDS):
        progress(round_ / _CALIBRATION_ROUNDS, "fitting gain and offset")
        for index, (gain, offset) in fits.items():
            values = np.maximum(gain * radiographs[index].line_integrals + offset, 0).astype(np.float32)
            used[index] = replace(radiographs[index], line_integrals=values)
        mu, deviation = _predict(model, used, grid)
        if round_ + 1 < _CALIBRATION_ROUNDS:
            for index, picture in zip(fits, reproject(Volume(mu, grid, "1/mm"), [used[i] for i in fits]), strict=True):
                gain, offset = np.polyfit(radiographs[index].line_integrals.ravel(), picture.ravel(), 1)
                if gain > 0:
                    fits[index] = float(gain), float(offset)
    notes = [
        f"{radiographs[i].name}: the scale of this picture is unknown; fitted line integral = {gain:.4g} x value + {offset:.4g}. "
        "Absolute attenuation is an estimate."
        for i, (gain, offset) in fits.items()
    ]
    return used, mu, deviation, notes


def _notes(radiographs: Sequence[Radiograph], grid: Grid) -> list[str]:
    notes = []
    for radiograph in radiographs:
        outside = _share_outside(radiograph, grid)
        if outside > 0.02:
            notes.append(
                f"{radiograph.name}: {outside:.0%} of what this view measured lies outside the reconstructed grid; use a larger "
                "grid or spacing."
            )
    if len(radiographs) == 1:
        notes.append("One view: depth comes from the model alone.")
    return notes


def _share_outside(radiograph: Radiograph, grid: Grid) -> float:
    """The share of the measured line integrals whose rays miss the grid."""
    ones = Volume(np.ones(grid.shape, np.float32), grid, "1/mm")
    chord = reproject(ones, [radiograph])[0]
    values = np.maximum(radiograph.line_integrals, 0)
    return float(values[chord <= 0].sum() / max(float(values.sum()), 1e-12))


def _check_names(model: LoadedModel, radiographs: list[Radiograph], grid: Grid, errors: list[float]) -> None:
    """Raise :class:`InputError` when the pictures fit the model clearly better under other names.

    Two views about at right angles are tried the other way round; a single frontal or lateral one is tried as the other.
    The shares were measured on heads, necks and torsos: see :data:`EXCHANGED`.
    """
    if len(radiographs) == 2 and 60 < radiographs[0].projection.angle_to(radiographs[1].projection) < 120:
        other = [
            replace(own, projection=other.projection.resampled(own.projection.size, own.projection.spacing))
            for own, other in zip(radiographs, reversed(radiographs), strict=True)
        ]
        kind = "pair"
    elif len(radiographs) == 1 and abs(radiographs[0].projection.beam_direction[2]) < 0.3:
        view = radiographs[0].projection
        kind = "frontal" if abs(view.beam_direction[1]) > 0.9 else "lateral" if abs(view.beam_direction[0]) > 0.9 else ""
        if not kind:
            return
        quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        other = [replace(radiographs[0], projection=view.moved(quarter if kind == "lateral" else quarter.T, grid.centre))]
    else:
        return
    mu, _ = _predict(model, other, grid)
    pictures = reproject(Volume(mu, grid, "1/mm"), other)
    ratio = np.mean([reprojection_error(r.line_integrals, p) for r, p in zip(other, pictures, strict=True)]) / np.mean(errors)
    if not ratio < EXCHANGED[kind]:
        return
    if kind == "pair":
        names = " and ".join(r.name for r in radiographs)
        raise InputError(
            f"The views {names} look exchanged (the model fits them {1 / ratio:.1f} times better the other way round): "
            "exchange the two files, or switch the check of the views off if the names are right."
        )
    likely = "lateral" if kind == "frontal" else "frontal"
    raise InputError(
        f"The {kind} view {radiographs[0].name} looks like a {likely} one (the model fits it {1 / ratio:.1f} times better as "
        "that): correct its name, or switch the check of the views off if it is right."
    )


#: Pictures count as misnamed when other names lower the model's own re-projection error below this share. On 11 validation heads
#: and necks and 7 torsos (Testing/Benchmarks/view_check.py) right names never went below 1.28 (pairs), 1.34 (frontal) and 0.83
#: (lateral). All exchanged pairs are caught, and of single views 10 of 18 laterals given as frontal, 15 of 18 frontals as lateral.
EXCHANGED = {"pair": 0.9, "frontal": 0.95, "lateral": 0.65}
