"""What a volume looks like on its radiographs' detectors, and how far that is from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.projection.projector import project


def reproject(volume: Volume, radiographs: Sequence[Radiograph]) -> list[np.ndarray]:
    """Line integrals of ``volume`` (1/mm) on each radiograph's detector, float32 (rows, columns)."""
    mu = torch.as_tensor(volume.array, dtype=torch.float32)
    return [p.numpy() for p in project(mu, volume.grid, [r.projection for r in radiographs])]


def reprojection_error(measured: np.ndarray, reprojected: np.ndarray, where: np.ndarray | None = None) -> float:
    """Mean absolute difference of line integrals over the mean measured one (0.01 is 1 %), a picture each (rows, columns).

    This is the re-projection error everywhere in this software. NaN when the picture is blank or either holds NaN. ``where``
    (rows, columns, bool) leaves the other pixels out.
    """
    if measured.shape != reprojected.shape:
        raise InputError(f"Pictures of {measured.shape} and {reprojected.shape} pixels cannot be compared: use one detector.")
    if where is not None:
        measured, reprojected = measured[where], reprojected[where]
    if not measured.size:
        return float("nan")
    mean = float(np.mean(measured, dtype=np.float64))
    difference = float(np.abs(measured.astype(np.float64) - reprojected).mean())
    return difference / mean if mean > 0 else float("nan")


def errors_of(radiographs: Sequence[Radiograph], pictures: Sequence[np.ndarray]) -> list[float]:
    """The re-projection error of each radiograph, whose re-projections are ``pictures``, where it is valid."""
    return [reprojection_error(r.line_integrals, p, r.valid) for r, p in zip(radiographs, pictures, strict=True)]
