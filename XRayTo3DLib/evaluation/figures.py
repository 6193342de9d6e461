"""The figures of one answer in the protocol, each a finite number, or none with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.cases import Case
from XRayTo3DLib.evaluation.comparison import IMAGE_FIGURES, STRUCTURE_FIGURES, compare, structures
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation

STRUCTURES = ("body", "bone", "lungs")
FIGURES = (
    *IMAGE_FIGURES,
    "reprojection",
    *(f"{name}_{figure}" for name in STRUCTURES for figure in STRUCTURE_FIGURES),
    "seconds",
)
#: The ceiling is measured on the CT's own voxels, but not on finer ones than this, in mm.
_FINEST_MM = 2.0


def volume_figures(case: Case, answer: Volume) -> dict[str, Any]:
    """The figures of a HU volume on the case's grid that need no X-rays; ``undefined`` says why a figure is ``None``."""
    found = figures_between(case.truth, case.structures, answer)
    if case.labels is not None:
        error = np.abs(metrics.hu_range(case.truth.array) - metrics.hu_range(answer.array))
        found["hu_mae_labels"] = {int(n): float(error[case.labels == n].mean()) for n in np.unique(case.labels) if n}
    return found


def figures_between(truth: Volume, labels: Labelmap | None, answer: Volume) -> dict[str, Any]:
    """The same of any two volumes (HU) on one grid; ``labels`` are the structures of the truth."""
    own = structures(answer)
    both = compare(truth, answer, labels, own)
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for figure in IMAGE_FIGURES:
        found[figure] = _finite(both[figure])
        if found[figure] is None:
            reasons[figure] = "equal to the truth" if both[figure] == float("inf") else "no body in the truth, or a grid too thin"
    for name in STRUCTURES:
        measured, reason = _structure(name, labels, both.get("structures", {}))
        for figure in STRUCTURE_FIGURES:
            found[f"{name}_{figure}"] = measured[figure]
            if measured[figure] is None:
                reasons[f"{name}_{figure}"] = reason
    found["undefined"] = reasons
    return found


def _structure(name: str, labels: Labelmap | None, both: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The figures of a structure, and why one of them is ``None``."""
    if labels is None:
        return dict.fromkeys(STRUCTURE_FIGURES), "no body was found in the CT"
    if name != "body" and not labels.mask(name).any():
        return dict.fromkeys(STRUCTURE_FIGURES), f"the CT has no {name}"
    if name not in both or both[name]["volume_ml"] == 0:
        # Nothing found is the worst overlap there is, but a distance to nothing is no number.
        return {"dice": 0.0, "hd95_mm": None, "nsd": 0.0}, f"no {name} was found in the answer"
    return both[name], ""


def reprojection_figure(answer: Volume, radiographs: Sequence[Radiograph]) -> float | None:
    """The worst view's relative error of the line integrals; ``None`` when a radiograph is blank."""
    pictures = reproject(to_attenuation(answer), radiographs)
    return _finite(max(errors_of(radiographs, pictures)))


def ceiling_figures(case: Case) -> dict[str, Any]:
    """What the grid itself costs: the truth put on the case's grid and back on the CT's own voxels, measured there.

    No answer on this grid can be expected to be closer to the CT than that. The voxels are LPS-aligned, inside the grid's outer
    faces, of the CT's own spacing but not below 2 mm.
    """
    box, ct = case.truth.grid, case.ct or case.truth
    spacing = np.maximum(ct.grid.spacing, _FINEST_MM)
    size = np.maximum(1, np.floor(np.array(box.size) * box.spacing / spacing + 1e-6)).astype(int)
    fine = Grid.centred(box.centre, tuple(size), tuple(spacing))
    truth, back = resample(ct, fine, smooth=True), resample(case.truth, fine)
    return figures_between(truth, structures(truth), back)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
