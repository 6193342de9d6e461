"""What a picture of unknown scale looks like: which region, which view, which way up: told from ranks, which no curve changes.

The pixels behind the body are replaced by their rank there and averaged over 12 x 12 fields of its bounding box: a monotone
curve, gain and offset leave that as it is. The fields are compared with those of X-rays of training CTs (``Resources/Calibration``)
by their Mahalanobis distance: a linear discriminant, which is what so few patients can bear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage, stats

from XRayTo3DLib.files import resources_folder
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.reference import view_kind
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

#: Fields along a side.
SIDE = 12
#: How common X-rays of a region are beside the others: a chest whose lungs are white looks like an abdomen. Of 105 real chests 101
#: are taken for one, of 36 fields of abdomens (training CTs) 27.
_COMMON = {"abdomen": 0.1}
#: Fields that go together, and so count as one.
_TOGETHER = 3.0


@dataclass(frozen=True)
class Look:
    """A kind of picture: ``region`` and ``view`` as the references name them, and whether the head is up."""

    region: str
    view: str
    upright: bool


@dataclass(frozen=True, eq=False)
class Appearance:
    """How like each known kind a picture is.

    ``chances`` of each :class:`Look` (1 in all); ``likeness``, the correlation of its fields with those of the nearest kind.
    """

    chances: dict[Look, float]
    likeness: float

    def chance(self, **wanted: str | bool) -> float:
        """The sum over the looks that have these values."""
        return sum(p for look, p in self.chances.items() if all(getattr(look, key) == value for key, value in wanted.items()))

    def region(self, view: str) -> str:
        """The likeliest region of a picture that is upright and of this view."""
        regions = {look.region for look in self.chances}
        return max(sorted(regions), key=lambda region: self.chance(region=region, view=view, upright=True))


@dataclass(frozen=True, eq=False)
class Looks:
    """The known kinds: ``means`` (kinds, fields), ``whitening`` (fields, fields) of their covariance."""

    looks: tuple[Look, ...]
    means: np.ndarray
    whitening: np.ndarray

    def compare(self, fields: np.ndarray) -> Appearance:
        """The appearance of fields (SIDE * SIDE,)."""
        squares = (((fields - self.means) @ self.whitening.T) ** 2).sum(axis=1)
        # Fields beside each other are not independent: one in three counts.
        logs = -0.5 * (squares - squares.min()) / _TOGETHER
        chances = np.exp(logs) / np.exp(logs).sum()
        told = dict(zip(self.looks, chances.tolist(), strict=True))
        nearest = self.means[int(np.argmin(squares))]
        likeness = float(np.corrcoef(fields, nearest)[0, 1]) if np.ptp(fields) > 0 else 0.0
        return Appearance(told, likeness)


def fields_of(radiograph: Radiograph, shadow: Shadow) -> np.ndarray:
    """Mean ranks (-0.5 to 0.5; 0 beside the body) behind the body, over fields of its bounding box: (SIDE * SIDE,)."""
    rows, columns = np.flatnonzero(shadow.body.any(axis=1)), np.flatnonzero(shadow.body.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    body, values = shadow.body[box], radiograph.line_integrals[box]
    ranks = np.zeros(body.shape)
    ranks[body] = stats.rankdata(values[body]) / max(int(body.sum()), 1) - 0.5
    ranks[~body] = -0.5
    return _averaged(ranks).ravel()


def _averaged(picture: np.ndarray) -> np.ndarray:
    """Means over SIDE x SIDE fields of equal size."""
    factors = [SIDE / n for n in picture.shape]
    smooth = ndimage.gaussian_filter(picture, [0.3 / f for f in factors], mode="nearest")
    centres = np.meshgrid(*[(np.arange(SIDE) + 0.5) / f - 0.5 for f in factors], indexing="ij")
    return ndimage.map_coordinates(smooth, np.array(centres), order=1, mode="nearest")


@cache
def known_looks() -> Looks:
    """The bundled kinds."""
    with np.load(resources_folder() / "Calibration" / "looks.npz") as stored:
        looks = tuple(Look(region, view, up == "up") for region, view, up in stored["looks"].tolist())
        means, whitening = stored["means"].astype(np.float64), stored["whitening"].astype(np.float64)
        return Looks(looks, means, whitening)


def appearance(radiograph: Radiograph, shadow: Shadow) -> Appearance:
    """How like each known kind the picture is."""
    return known_looks().compare(fields_of(radiograph, shadow))


def guessed_region(radiographs: Sequence[Radiograph], shadows: Sequence[Shadow]) -> tuple[str, str]:
    """The region that the views of one patient show, by all of them together, and words that say that it was guessed."""
    looks = [appearance(r, s) for r, s in zip(radiographs, shadows, strict=True)]
    regions = sorted({look.region for look in known_looks().looks})

    def together(region: str) -> float:
        chances = [look.chance(region=region, view=view_kind(r), upright=True) for look, r in zip(looks, radiographs, strict=True)]
        return float(np.log(np.maximum(chances, 1e-6)).sum() + np.log(_COMMON.get(region, 1.0)))

    return max(regions, key=together), " (guessed)"
