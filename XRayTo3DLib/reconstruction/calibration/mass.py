"""Views of one patient share the body: each integrates the same slices, so they agree on the mass of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.inpainting import filled
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow
from XRayTo3DLib.reconstruction.methods import virtual_detector

#: Bands of slices that are compared, and the least share of the largest band's mass that one must hold.
_BANDS, _LEAST = 8, 0.2


def band_masses(radiographs: Sequence[Radiograph], grid: Grid) -> np.ndarray:
    """Line integrals summed over bands of slices (bands, views), in the same unit for all views.

    The sums are taken on the virtual detectors, at the grid's centre: for parallel beams at right angles to the long axis that is
    the slices' mass exactly, for cone beams but for the few slices' shift at the front and the back of the patient.
    """
    pictures = [virtual_detector.to_virtual(filled(r), r.projection, grid) for r in radiographs]
    rows = [picture.sum(axis=1, dtype=np.float64) for picture in pictures]
    return np.array([[part.sum() for part in np.array_split(row, _BANDS)] for row in rows]).T


def comparable(radiographs: Sequence[Radiograph], shadows: Sequence[Shadow], grid: Grid) -> list[int]:
    """The views whose slices can be compared: beams at right angles to the long axis, and the body whole in the field."""
    level = [abs(float(r.projection.beam_direction @ grid.direction[:, 2])) < 0.2 for r in radiographs]
    return [i for i, shadow in enumerate(shadows) if level[i] and not shadow.cut]


def disagreement(radiographs: Sequence[Radiograph], shadows: Sequence[Shadow], grid: Grid) -> np.ndarray:
    """The logarithms of the masses of each view's bands over the views' mean (bands * views,), 0 for bands that hold little.

    Empty for one view, or where the field cuts the body.
    """
    usable = comparable(radiographs, shadows, grid)
    if len(usable) < 2:
        return np.zeros(0)
    masses = band_masses([radiographs[i] for i in usable], grid)
    logs = np.log(np.maximum(masses, 1e-9))
    logs -= logs.mean(axis=1, keepdims=True)
    return np.where((masses > _LEAST * masses.max(axis=0)).all(axis=1, keepdims=True), logs, 0).ravel()
