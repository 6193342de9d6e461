"""What is refused before a reconstruction, and what the user must be told of the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.overlap import chord_lengths
from XRayTo3DLib.geometry.projection import SAME_VIEW_DEGREES
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import silent
from XRayTo3DLib.reconstruction.methods.base import Method


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


def notes_on(radiographs: Sequence[Radiograph], grid: Grid) -> list[str]:
    """What the user must be told of these views over this grid."""
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
    chord = chord_lengths(grid, radiograph.projection, margin=0.5)
    values = np.maximum(radiograph.line_integrals, 0)
    if radiograph.valid is not None:
        values = np.where(radiograph.valid, values, 0)
    return float(values[chord <= 0].sum() / max(float(values.sum()), 1e-12))


def check_names(method: Method, model: LoadedModel | None, radiographs: list[Radiograph], grid: Grid, errors: list[float]) -> None:
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
    pictures = reproject(method.run(model, other, grid, silent).mean, other)
    ratio = np.mean(errors_of(other, pictures)) / np.mean(errors)
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
