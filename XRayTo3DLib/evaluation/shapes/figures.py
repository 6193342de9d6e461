"""The figures of one organ against its truth, each a finite number, or none with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.shapes.landmarks import landmark_error_mm
from XRayTo3DLib.geometry.grid import Grid

#: What a row holds as numbers, in the order of a table.
FIGURES = ("dice", "iou", "hausdorff_mm", "hd95_mm", "surface_distance_mm", "landmark_mm", "volume_error", "seconds")


@dataclass(frozen=True, eq=False)
class ShapeAnswer:
    """What a method gives for an organ: ``mask`` (bool [z, y, x], on the grid of the truth), and what it says of the volume.

    ``interval_ml``: (low, high) that holds the true volume in 90 % of cases, or ``None``.
    """

    method: str
    mask: np.ndarray
    volume_ml: float
    interval_ml: tuple[float, float] | None = None
    seconds: float | None = None


def shape_figures(truth: np.ndarray, grid: Grid, answer: ShapeAnswer, organ: str = "") -> dict[str, Any]:
    """The figures of a row; ``undefined`` says why one of them is ``None``.

    ``volume_error`` is ``|found - true| / true``; ``volume_signed`` the same with its sign; ``covered`` whether the interval holds
    the true volume. Distances are between surface voxels at the spacing of the truth's own voxels.
    """
    found = np.asarray(answer.mask, dtype=bool)
    overlap = metrics.dice(truth, found)
    distances = metrics.surface_distances(truth, found, grid)
    true_ml = metrics.volume_ml(truth, grid)
    signed = (answer.volume_ml - true_ml) / true_ml
    low, high = answer.interval_ml or (None, None)
    numbers: dict[str, float | None] = {
        "dice": overlap,
        "iou": overlap / (2 - overlap),
        "hausdorff_mm": None if distances is None else max(float(way.max()) for way in distances),
        "hd95_mm": None if distances is None else metrics.hd95_of(distances),
        "surface_distance_mm": None if distances is None else float(np.concatenate(distances).mean()),
        "landmark_mm": None if distances is None else landmark_error_mm(truth, found, grid, organ),
        "volume_error": abs(signed),
        "seconds": answer.seconds,
    }
    finite = {name: value if value is not None and np.isfinite(value) else None for name, value in numbers.items()}
    reasons = {name: "the answer holds nothing of the organ" for name in finite if finite[name] is None and name != "seconds"}
    if finite["seconds"] is None:
        reasons["seconds"] = "nothing was computed"
    return {
        **finite,
        "volume_signed": signed,
        "volume_ml": answer.volume_ml,
        "volume_ml_truth": true_ml,
        "interval_ml": None if low is None else [low, high],
        "covered": None if low is None or high is None else bool(low <= true_ml <= high),
        "undefined": reasons,
    }
