"""Arms that hang at the sides, as in a radiograph of a patient who cannot lift them: a simple model.

The CTs have raised arms, outside of the field. An arm here is an upper arm of muscle in a coat of fat with a humerus (cortical bone
around marrow), tapering from the shoulder to the elbow and beyond along the body, with the sizes of an adult man (Winter,
Biomechanics and Motor Control of Human Movement, 2009, gives the proportions).
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.geometry.grid import Grid

#: Radii in mm at the shoulder and 300 mm below it: of the arm, its muscle, the humerus and its marrow; HU from the outside in.
_RADII = ((52.0, 40.0), (42.0, 31.0), (12.0, 11.0), (5.5, 5.0))
_HU = (-95.0, 50.0, 1050.0, 30.0)
_LENGTH_MM = 300.0
#: Half-width in mm that an arm needs beyond the body, and between its skin and the body's.
_ROOM_MM, _GAP_MM = 130.0, 4.0
#: Below the top of the scan, where shoulders widen it.
_SHOULDER_MM = 60.0
_BODY_HU = -300.0


def with_arms(
    hounsfield: np.ndarray, labels: np.ndarray, grid: Grid, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Grid]:
    """A CT and its labels on a wider grid, with an arm at each side; the body stays as it is."""
    added = int(np.ceil(_ROOM_MM / grid.spacing[0]))
    wider = grid.padded((added, 0, 0))
    sides = ((0, 0), (0, 0), (added, added))
    made = np.pad(hounsfield, sides, constant_values=-1000.0)
    numbers = np.pad(labels, sides)
    body = made > _BODY_HU
    x = wider.origin[0] + wider.spacing[0] * np.arange(wider.size[0])
    y = wider.origin[1] + wider.spacing[1] * np.arange(wider.size[1])
    scale, forward = generator.uniform(0.85, 1.15), generator.normal(0, 12)
    top = wider.origin[2] + wider.spacing[2] * (wider.size[2] - 1) - _SHOULDER_MM
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    middle = y[rows].mean() + forward
    columns = [np.flatnonzero(plane.any(axis=0)) for plane in body]
    edges = np.array([[x[c[0]], x[c[-1]]] if len(c) else [np.nan, np.nan] for c in columns])
    for side, sign in ((0, -1.0), (1, 1.0)):
        wall = np.nanmax(sign * edges[:, side]) if np.isfinite(edges[:, side]).any() else 0.0
        for k in range(len(made)):
            below = top - (wider.origin[2] + wider.spacing[2] * k)
            if below < 0:
                continue
            share = min(below / _LENGTH_MM, 1.5)
            radii = [scale * (first + (last - first) * share) for first, last in _RADII]
            centre = sign * (wall + _GAP_MM + scale * _RADII[0][0])
            distance = np.hypot(x[None, :] - centre, y[:, None] - middle)
            for radius, value in zip(radii, _HU, strict=True):
                inside = (distance < radius) & ~body[k]
                made[k][inside] = value
    return made, numbers, wider
