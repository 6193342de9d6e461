"""Training data: many X-rays of one body by moving its markers, with annotations that go along.

Annotated places that are no markers are found again in each image by the normalised correlation of a patch around them, from the
nearest image before it (Teixeira et al., CVPR 2018, section 6.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.parametrized.loop import MarkersAndImage, State, settle
from XRayTo3DLib.progress import Progress, silent

#: Markers moved in one image, standard deviation and largest move in mm, and rounds that the loop is given.
_MOVED, SPREAD_MM, _LARGEST, _ROUNDS = 3, 8.0, 2.5, 4
#: Half the side of the patch that is found again, and how far it may have gone beside the largest move of a marker, in pixels.
_PATCH, _REACH = 6, 2
#: A patch is taken as found from this correlation on.
LEAST_CORRELATION = 0.5


@dataclass(frozen=True, eq=False)
class Variant:
    """One perturbed image: ``state``, and ``annotations``: [row, column] by name, those that were found again."""

    state: State
    annotations: Mapping[str, np.ndarray]


def augment(
    networks: MarkersAndImage,
    state: State,
    count: int,
    seed: int = 0,
    annotations: Mapping[str, np.ndarray] | None = None,
    spread_mm: float = SPREAD_MM,
    progress: Progress = silent,
) -> list[Variant]:
    """``count`` X-rays in which up to three markers were moved by some ``spread_mm``; the same seed gives the same.

    ``annotations``: [row, column] of other places in ``state.xray``; they are tracked. :class:`InputError` without markers.
    """
    free = np.flatnonzero(state.present & ~state.locked)
    if not len(free):
        raise InputError("No marker of this X-ray can be moved: unlock one.")
    generator = np.random.default_rng(seed)
    limit = np.array(state.surface.projection.size) - 1.0
    spacing = np.array(state.surface.projection.spacing)
    found = []
    for number in range(count):
        progress(number / count, f"X-ray {number + 1} of {count}")
        chosen = generator.choice(free, min(len(free), int(generator.integers(1, _MOVED + 1))), replace=False)
        way = np.clip(generator.normal(0, 1, (len(chosen), 2)), -_LARGEST, _LARGEST) * spread_mm / spacing
        drags = {state.names[i]: np.clip(state.points[i] + step, 0, limit) for i, step in zip(chosen, way, strict=True)}
        variant = settle(networks, state, drags, most_rounds=_ROUNDS)
        reach = int(np.ceil(np.abs(way).max())) + _REACH
        places = {name: track(state.xray, variant.xray, at, reach) for name, at in (annotations or {}).items()}
        found.append(Variant(variant, {name: at for name, at in places.items() if at is not None}))
    progress(1.0, "X-rays made")
    return found


def track(before: np.ndarray, after: np.ndarray, place: np.ndarray, reach: int, half: int = _PATCH) -> np.ndarray | None:
    """Where the patch around ``place`` [row, column] of one image is in another, to a fraction of a pixel; ``None`` if nowhere.

    ``reach``: how many pixels it may have gone. The best place of the normalised correlation, refined by a parabola an axis.
    """
    from skimage.feature import match_template

    centre = np.round(place).astype(int)
    pad = half + reach + 1
    wide = [np.pad(np.asarray(picture, dtype=np.float64), pad, mode="edge") for picture in (before, after)]
    row, column = centre + pad
    if not (0 <= centre[0] < before.shape[0] and 0 <= centre[1] < before.shape[1]):
        return None
    patch = wide[0][row - half : row + half + 1, column - half : column + half + 1]
    window = wide[1][row - half - reach : row + half + reach + 1, column - half - reach : column + half + reach + 1]
    if np.ptp(patch) < 1e-9:
        return None
    match = match_template(window, patch)
    best = np.unravel_index(int(match.argmax()), match.shape)
    if match[best] < LEAST_CORRELATION:
        return None
    finer = [_parabola(np.take(match, best[1 - axis], axis=1 - axis), int(best[axis])) for axis in (0, 1)]
    return np.asarray(place, dtype=np.float64) + np.array(finer) - reach


def _parabola(values: np.ndarray, best: int) -> float:
    if not 0 < best < len(values) - 1:
        return float(best)
    left, middle, right = values[best - 1 : best + 2]
    curve = left - 2 * middle + right
    return best + (0.5 * (left - right) / curve if curve < 0 else 0.0)
