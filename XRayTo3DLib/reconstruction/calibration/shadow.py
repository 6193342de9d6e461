"""The body's shadow in a picture of unknown scale, and the open beam beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.images.radiograph import Radiograph

#: Shares of a picture's range: below the first a pixel may be the open beam; the body begins this much above the beam's own level.
_DARK, _RISE = 0.08, 0.015
#: How even an open beam is, in shares of the range.
_EVEN = 0.02
#: The rim of a body, in mm at the detector: there its thickness falls to nothing.
RIM_MM = 30.0
#: Smaller shares of the picture are no open beam.
_LEAST = 0.004


@dataclass(frozen=True, eq=False)
class Shadow:
    """``body``, ``beam``: bool [row, column], what was measured behind and beside the patient; ``air``: the open beam's value."""

    body: np.ndarray
    beam: np.ndarray
    air: float | None

    @property
    def inner_only(self) -> bool:
        """Whether only the inner part compares with other patients': the field ends in the body, or shows no open beam."""
        return self.air is None or self.cut

    def inner(self, spacing: tuple[float, float]) -> np.ndarray:
        """The body without :data:`RIM_MM` along the open beam, not along the field's edges; all of it where little is left."""
        sides = [2 * max(1, round(RIM_MM / side)) + 1 for side in spacing]
        beam = ndimage.maximum_filter(self.beam, sides, mode="constant")
        left = self.body & ~beam
        return left if left.sum() > 0.3 * self.body.sum() else self.body

    @property
    def width(self) -> float:
        """Mean pixels of a row that the body crosses, over those rows."""
        rows = self.body.sum(axis=1)
        return float(rows[rows > 0].mean()) if rows.any() else 0.0

    @property
    def cut(self) -> bool:
        """Whether the field ends in the body on the left or right, over a fifth of its rows."""
        rows = self.body.any(axis=1)
        return max(float(self.body[rows, 0].mean()), float(self.body[rows, -1].mean())) > 0.2 if rows.any() else False


def shadow_of(radiograph: Radiograph) -> Shadow:
    """The shadow in a picture whose values rise with attenuation.

    The open beam is dark, even, and reaches the edge of what was measured; a dark lung is neither even nor at the edge.
    """
    values = radiograph.line_integrals
    valid = np.ones(values.shape, dtype=bool) if radiograph.valid is None else radiograph.valid
    low, high = np.percentile(values[valid], [0.2, 99.5])
    span = max(float(high - low), 1e-9)
    dark = valid & (values < low + _DARK * span)
    air = _at_edge(dark, valid)
    if air.sum() < _LEAST * valid.sum():
        return Shadow(valid, np.zeros_like(valid), None)
    level = float(np.median(values[air]))
    spread = 1.4826 * float(np.median(np.abs(values[air] - level)))
    if spread > _EVEN * span:
        return Shadow(valid, np.zeros_like(valid), None)
    beam = _at_edge(valid & (values < level + max(4 * spread, _RISE * span)), valid)
    body = ndimage.binary_opening(valid & ~beam, iterations=1) if min(values.shape) > 16 else valid & ~beam
    if body.sum() < _LEAST * valid.sum():
        return Shadow(valid, np.zeros_like(valid), None)
    return Shadow(body, beam, level)


def _at_edge(mask: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The pieces of ``mask`` that reach the edge of what is valid."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    rim = valid & ~ndimage.binary_erosion(valid, border_value=0)
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(pieces[rim])] = True
    keep[0] = False
    return keep[pieces]
