"""Networks of formulas for the paper head: the X-ray has a blob at each marker, and markers are where the blobs are."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.parametrized.regions import Region

ROWS, COLUMNS = np.meshgrid(np.arange(128), np.arange(128), indexing="ij")
WIDTH = 3.0


class PaperNetworks:
    """``anchors``: [row, column] by name, where the surface says that markers are; those not named are absent.

    ``follows``: the share by which each marker follows the first one; ``overshoot``: markers found beyond the blobs never rest.
    """

    def __init__(
        self, region: Region, anchors: dict[str, tuple[float, float]], follows: float = 0.4, overshoot: float = 0.0
    ) -> None:
        self.landmarks = region.names
        self.anchors = np.full((len(region.names), 2), np.nan)
        for name, at in anchors.items():
            self.anchors[region.names.index(name)] = at
        self.first = region.names.index(next(iter(anchors)))
        self.follows, self.overshoot = follows, overshoot
        self.calls = 0

    def xray(self, surface: np.ndarray, points: np.ndarray | None) -> np.ndarray:
        self.calls += 1
        picture = surface[1] * 1.5
        for row, column in self.anchors if points is None else points:
            if np.isfinite(row):
                picture = picture + 0.8 * np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * WIDTH**2))
        return picture.astype(np.float32)

    def markers(self, surface: np.ndarray, xray: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        blobs = np.zeros_like(surface[1]) if xray is None else np.maximum(xray - surface[1] * 1.5 - 0.45, 0)
        found = self.anchors.copy()
        for index in np.flatnonzero(np.isfinite(self.anchors[:, 0])):
            near = blobs * ((ROWS - found[index, 0]) ** 2 + (COLUMNS - found[index, 1]) ** 2 <= 12**2)
            if near.sum() > 1e-3:
                found[index] = [(near * ROWS).sum() / near.sum(), (near * COLUMNS).sum() / near.sum()]
        drift = found[self.first] - self.anchors[self.first]
        others = np.arange(len(found)) != self.first
        found[others] = (self.anchors + self.follows * drift)[others] * 0.5 + 0.5 * found[others]
        found[others] += self.overshoot * np.sign(np.sin(37 * np.nan_to_num(found[others]).sum()))
        return found, np.isfinite(found[:, 0]).astype(float)
