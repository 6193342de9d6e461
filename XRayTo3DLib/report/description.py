"""What is said of a reconstruction: for ``metrics.json``, for the report, and for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from XRayTo3DLib.evaluation.comparison import RANGE, compare_with_ct
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.reconstruction.answer import Answer


def results_of(radiographs: Sequence[Radiograph], answer: Answer, ct: Volume | None) -> tuple[dict[str, Any], Volume | None]:
    """What ``metrics.json`` holds of one reconstruction, and the CT on its grid where there is one to compare with."""
    found = answer.found
    results: dict[str, Any] = {
        "xrays": [beam_in_words(r) for r in radiographs],
        "model": {"name": found.model_name, "sha256": found.model_sha256},
        "reconstruction": describe(answer),
        "peak_memory_gb": peak_memory_gb(),
    }
    if ct is None:
        return results, None
    compared = compare_with_ct(ct, {"reconstruction": found.volume}, {"reconstruction": answer.labels}, found.radiographs)
    return results | {"range": RANGE, "comparison_with_ct": compared.figures}, compared.truth


def describe(answer: Answer) -> dict[str, Any]:
    """What ``metrics.json`` says of an answer on its own, without the truth."""
    found = answer.found
    return {
        "views": [
            {
                "name": radiograph.name,
                "calibrated": radiograph.calibrated,
                "valid": 1.0 if radiograph.valid is None else float(radiograph.valid.mean()),
                "pixel_mm": list(radiograph.projection.spacing),
                "reprojection_error": after,
                "reprojection_error_before_fusion": before,
            }
            for radiograph, after, before in zip(found.radiographs, found.errors, found.errors_before, strict=True)
        ],
        "surfaces": [
            {"name": s.name, "volume_ml": s.volume_ml, "closed": s.closed, "cut_by_the_grid": s.cut} for s in answer.surfaces
        ],
        "grid": describe_grid(found.volume.grid),
        "seconds": found.seconds,
        "notes": found.notes,
    }


def describe_grid(grid: Grid) -> dict[str, Any]:
    """A grid for ``metrics.json``: LPS, mm."""
    return {
        "size": list(grid.size),
        "spacing_mm": list(grid.spacing),
        "origin_lps_mm": list(grid.origin),
        "direction": grid.direction.tolist(),
    }


def grid_in_words(grid: Grid) -> str:
    """A grid for people."""
    size = " x ".join(map(str, grid.size))
    spacing = " x ".join(f"{s:.2f}" for s in grid.spacing)
    extent = " x ".join(f"{n * s:.0f}" for n, s in zip(grid.size, grid.spacing, strict=True))
    return f"{size} voxels of {spacing} mm ({extent} mm)"


def beam_in_words(radiograph: Radiograph) -> str:
    """The geometry of a radiograph for people."""
    projection = radiograph.projection
    rows, columns = projection.size
    beam = f"{projection.beam} beam"
    if projection.source_to_detector is not None:
        beam = f"{projection.beam} beam, source to detector {projection.source_to_detector:.0f} mm"
    return f"{radiograph.name}: {beam}, {rows} x {columns} pixels of {projection.spacing[0]:.3g} mm"


def peak_memory_gb() -> float | None:
    """The most memory this process has held, in GB; ``None`` where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)
