"""Digitally reconstructed radiographs: what an X-ray of a CT would measure, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid, Projection
from XRayTo3DLib.images import Volume, to_attenuation
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.projector import project
from XRayTo3DLib.radiographs import Radiograph
from XRayTo3DLib.views import view_projection


def render_drr(
    volume: Volume,
    projections: Sequence[Projection],
    names: Sequence[str] | None = None,
    progress: Progress = silent,
) -> list[Radiograph]:
    """Line integrals of a CT (HU or 1/mm) for each projection, as radiographs with float32 pixels.

    ``names`` are the views' names. Raises :class:`InputError` when the CT lies outside a beam.
    """
    labels = list(names) if names is not None else [f"view {i + 1}" for i in range(len(projections))]
    for label, projection in zip(labels, projections, strict=True):
        check_overlap(volume.grid, projection, label)
    attenuation = to_attenuation(volume)
    mu = torch.from_numpy(np.ascontiguousarray(attenuation.array, dtype=np.float32))
    found = []
    for index, (label, projection) in enumerate(zip(labels, projections, strict=True)):
        progress(index / len(projections), f"DRR {label}")
        found.append(Radiograph(project(mu, volume.grid, [projection])[0].numpy(), projection, label))
    progress(1.0, "DRRs done")
    return found


def check_overlap(grid: Grid, projection: Projection, name: str) -> None:
    """Raise :class:`InputError` when no ray of the projection can cross the grid."""
    corners = projection.project(grid.corners)
    if np.isnan(corners).all():
        raise InputError(f"The volume lies behind the source of {name}: turn the beam or move the isocentre into the volume.")
    if np.isnan(corners).any():
        return  # the source is beside or inside the volume: some ray crosses it
    rows, columns = projection.size
    low, high = corners.min(axis=0), corners.max(axis=0)
    if high[0] < -0.5 or high[1] < -0.5 or low[0] > columns - 0.5 or low[1] > rows - 0.5:
        raise InputError(
            f"The beam of {name} misses the volume (its shadow falls on columns {low[0]:.0f} to {high[0]:.0f}, rows "
            f"{low[1]:.0f} to {high[1]:.0f} of a detector of {columns} x {rows}): move the isocentre into the volume."
        )


def fit_projection(
    view: str,
    grid: Grid,
    pixel: float = 2.0,
    source_to_detector: float | None = 1500.0,
    source_to_isocentre: float | None = None,
) -> Projection:
    """The projection of a named view aimed at the grid's centre, with a detector just large enough for the whole grid.

    ``pixel`` is the side of a detector pixel in mm; distances are in mm as in :func:`XRayTo3DLib.views.view_projection`.
    """
    aimed = view_projection(view, grid.centre, (2, 2), pixel, source_to_detector, source_to_isocentre)
    corners = aimed.project(grid.corners)
    if np.isnan(corners).any():
        raise InputError("The source stands inside the volume: use a larger source-to-isocentre distance.")
    columns, rows = (int(np.ceil(2 * np.abs(corners - 0.5).max(axis=0)[i])) + 2 for i in (0, 1))
    return view_projection(view, grid.centre, (rows, columns), pixel, source_to_detector, source_to_isocentre)


def to_display(radiograph: Radiograph, look: str = "film") -> np.ndarray:
    """A picture for the eye, float32 from 0 to 1: never an input to a computation.

    ``film``: bone white, windowed from 0 to the 99.5th percentile with the gamma of a lightened film; ``inverted``: its
    negative, bone black; ``opacity``: ``1 - exp(-p)``.
    """
    values = np.maximum(radiograph.line_integrals.astype(np.float32), 0)
    if look == "opacity":
        return 1 - np.exp(-values)
    if look not in ("film", "inverted"):
        raise InputError(f"The look {look!r} is not known: use film, inverted or opacity.")
    top = float(np.percentile(values, 99.5)) or 1.0
    picture = np.clip(values / top, 0, 1) ** 1.2
    return picture if look == "film" else 1 - picture
