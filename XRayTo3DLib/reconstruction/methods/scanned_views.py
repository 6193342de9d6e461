"""Scanned views for a network that knows cone and parallel beams alone.

A matrix cannot say "perspective across, parallel along": a beam that stands still takes the scanned beam's place, and the picture
is what that beam would have seen. That is not in the X-ray, but follows from an estimate of the patient: the stand-in's picture
is the projection of the estimate along its own rays, and the part of the X-ray that the estimate does not explain, carried over
where both beams meet in the middle of the grid. The first estimate is the network's answer to parallel beams, fused with the real,
scanned X-rays; what is wrong with it comes in only through the difference of two projections of it.

Measured on validation heads, two views, against cone beams: 3 dB below with the source where it is and no estimate, 0.1 dB with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.inpainting import filled
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.reconstruction.methods import virtual_detector

#: How far from the grid's centre, in mm, the source of a cone stands that takes a scanned beam's place: the less it spreads, the
#: less has to be made up of what lies above and below the grid.
DISTANCE = 2000.0
#: Rounds of fusion of the first estimate.
ROUNDS = 10


def distance_for(card: Mapping[str, Any]) -> float | None:
    """The distance of the source, in mm, that stands in for scanned beams with a model; ``None`` for parallel beams."""
    beams = card["inputs"].get("beam")
    return DISTANCE if beams is None or "cone" in beams else None


def first_distance_for(card: Mapping[str, Any]) -> float | None:
    """The same for the first estimate: a parallel beam is nearest to what is right along the scan, where a model takes it."""
    beams = card["inputs"].get("beam")
    return None if beams is None or "parallel" in beams else DISTANCE


def stand_ins(radiographs: Sequence[Radiograph], grid: Grid, distance: float | None) -> list[Projection]:
    """The virtual detector of every view; of scanned ones that of a cone from ``distance`` mm, or of a parallel beam."""
    found = []
    for projection in (r.projection for r in radiographs):
        if projection.is_scanned:
            axis = projection.beam_direction
            source, ray = (None, axis) if distance is None else (grid.centre - distance * axis, None)
            projection = replace(projection, source=source, ray_direction=ray, scan_axis=None)
        found.append(virtual_detector.virtual_projection(projection, grid))
    return found


def pictures(
    radiographs: Sequence[Radiograph], virtual: Sequence[Projection], grid: Grid, estimate: Volume | None = None
) -> list[np.ndarray]:
    """Line integrals on the virtual detectors, float32 (N, N); of scanned views with the help of an ``estimate`` in 1/mm."""
    found = []
    for radiograph, detector in zip(radiographs, virtual, strict=True):
        projection = radiograph.projection
        if not projection.is_scanned:
            found.append(virtual_detector.to_virtual(filled(radiograph), projection, grid))
            continue
        left, known = radiograph, np.zeros(detector.size, dtype=np.float32)
        if estimate is not None:
            mu = torch.as_tensor(estimate.array, dtype=torch.float32)
            seen, known = (p.numpy() for p in project(mu, estimate.grid, [projection, detector]))
            left = replace(radiograph, line_integrals=radiograph.line_integrals - seen)
        found.append(known + virtual_detector.to_virtual(filled(left), projection, grid, detector))
    return found
