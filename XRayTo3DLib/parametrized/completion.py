"""A partial X-ray completed: what it shows stays, markers are fitted to it, and the rest is predicted from the surface.

The prediction outside is shifted until it meets the given pixels: the difference along the seam goes on smoothly into the unseen
part and fades there (a screened Laplace equation, the membrane of gradient-domain blending: Perez et al., SIGGRAPH 2003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import spsolve

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.parametrized.loop import MOST_ROUNDS, TOLERANCE_MM, MarkersAndImage, State
from XRayTo3DLib.parametrized.surface_image import SurfaceImage
from XRayTo3DLib.progress import Progress, silent

#: The difference at the seam falls to 1/e of itself over this many mm.
FADE_MM = 40.0
#: Markers that explain the given pixels no worse than this times as well as those before them are kept.
_NO_WORSE = 1.01
#: A partial X-ray shows at least this many pixels of the picture.
_LEAST_PIXELS = 64


@dataclass(frozen=True, eq=False)
class Completion:
    """A completed X-ray.

    - ``xray``: float32 [row, column], line integrals: the given pixels untouched, the rest predicted;
    - ``state``: the parametrized X-ray whose markers were fitted (its own ``xray`` is the prediction everywhere);
    - ``shown``: bool [row, column], the given pixels.
    """

    xray: np.ndarray
    state: State
    shown: np.ndarray


def complete(
    networks: MarkersAndImage,
    state: State,
    partial: np.ndarray,
    shown: np.ndarray,
    progress: Progress = silent,
    fade_mm: float = FADE_MM,
) -> Completion:
    """Complete ``partial`` (line integrals [row, column] in the frame of ``state``) beyond the pixels that are ``shown``.

    Markers are found in the picture that is real where it can be, round by round; those count whose X-ray is nearest to the given
    pixels, which may be the first ones. Held and locked markers stay. Raises :class:`InputError` when picture
    and mask do not fit the frame, or show too little.
    """
    size = state.surface.projection.size
    partial, shown = np.asarray(partial, dtype=np.float32), np.asarray(shown, dtype=bool)
    if partial.shape != size or shown.shape != size:
        raise InputError(f"The partial X-ray has {partial.shape} pixels, not the {size} of the frame: place it in the frame first.")
    if np.count_nonzero(shown) < _LEAST_PIXELS:
        raise InputError("The partial X-ray shows next to nothing of the region: check where it stands, and its landmarks.")
    if not np.isfinite(partial[shown]).all():
        raise InputError("The partial X-ray holds NaN or infinite pixels: mask them, or compute it again.")
    seen = shown & state.surface.silhouette
    state = best = replace(state, rounds=0, converged=False)
    while not state.converged and state.rounds < MOST_ROUNDS:
        progress(state.rounds / MOST_ROUNDS, "Fitting markers to the partial X-ray")
        picture = blended(state.xray, partial, shown, state.surface.projection, state.surface.silhouette, fade_mm)
        state = _fitted(networks, state, picture)
        # Later ones have settled more in what is not seen: they win unless they explain what is seen worse.
        best = state if _misfit(state, partial, seen) <= _NO_WORSE * _misfit(best, partial, seen) else best
    state = replace(best, rounds=state.rounds, moved_mm=state.moved_mm, converged=state.converged)
    xray = blended(state.xray, partial, shown, state.surface.projection, state.surface.silhouette, fade_mm)
    progress(1.0, "X-ray completed")
    return Completion(xray, state, shown)


def _misfit(state: State, partial: np.ndarray, seen: np.ndarray) -> float:
    """How far the prediction is from the given pixels that show the body, on average."""
    return float(np.abs(state.xray - partial)[seen].mean()) if seen.any() else 0.0


def _fitted(networks: MarkersAndImage, state: State, picture: np.ndarray) -> State:
    """One round in which the markers are those of ``picture``."""
    found, _ = networks.markers(state.surface.array, picture)
    free = ~(state.held | state.locked) & state.present & np.isfinite(found[:, 0])
    points = state.points.copy()
    share = 1.0 if state.rounds < MOST_ROUNDS // 4 else 0.5
    points[free] += share * (found[free] - points[free])
    way = (found - state.points)[free] * state.surface.projection.spacing
    moved = float(np.linalg.norm(way, axis=1).max()) if len(way) else 0.0
    xray = networks.xray(state.surface.array, points)
    rounds = state.rounds + 1
    return replace(state, points=points, xray=xray, rounds=rounds, moved_mm=moved, converged=moved < TOLERANCE_MM)


def blended(
    predicted: np.ndarray, given: np.ndarray, shown: np.ndarray, projection: Projection, body: np.ndarray, fade_mm: float = FADE_MM
) -> np.ndarray:
    """``given`` where it is ``shown``, bit for bit, and ``predicted`` elsewhere, moved to meet it at the seam; float32, from 0 on.

    Outside the ``body`` (bool [row, column]) the prediction stays as it is.
    """
    result = np.where(shown, given, predicted).astype(np.float32)
    unknown = ~shown & body
    if unknown.any() and shown.any():
        offset = _membrane(np.where(shown & body, given - predicted, 0.0), shown, unknown, projection.spacing, fade_mm)
        result[unknown] = np.maximum(result[unknown] + offset, 0)
    return result


def _membrane(
    difference: np.ndarray, shown: np.ndarray, unknown: np.ndarray, spacing: tuple[float, float], fade_mm: float
) -> np.ndarray:
    """The offsets of the ``unknown`` pixels: ``difference`` on the shown side of the seam, fading with distance from it.

    Solves div grad u = u / fade^2 with the values of shown neighbours, and no flow across all other borders.
    """
    number = np.full(unknown.shape, -1)
    number[unknown] = np.arange(np.count_nonzero(unknown))
    count = int(number.max()) + 1
    diagonal, right = np.full(count, 1 / fade_mm**2), np.zeros(count)
    rows, columns, values = [], [], []
    for axis, step in enumerate(spacing):
        weight = 1 / step**2
        for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            own = tuple(here if a == axis else slice(None) for a in (0, 1))
            other = tuple(there if a == axis else slice(None) for a in (0, 1))
            inner = (number[own] >= 0) & (number[other] >= 0)
            seam = (number[own] >= 0) & shown[other]
            np.add.at(diagonal, number[own][inner | seam], weight)
            np.add.at(right, number[own][seam], weight * difference[other][seam])
            rows.append(number[own][inner])
            columns.append(number[other][inner])
            values.append(np.full(np.count_nonzero(inner), -weight))
    everything = np.arange(count)
    matrix = sparse.csc_matrix(
        (np.concatenate([*values, diagonal]), (np.concatenate([*rows, everything]), np.concatenate([*columns, everything])))
    )
    return np.asarray(spsolve(matrix, right))


def in_frame(radiograph: Radiograph, surface: SurfaceImage) -> tuple[np.ndarray, np.ndarray]:
    """A radiograph's line integrals in the pixels of a region's frame, and which of these it shows: float32 and bool [row, column].

    Pixels are matched where they meet the plane through the frame's middle; a cone beam is exact there alone. Raises
    :class:`InputError` for beams more than 5 degrees apart, and for values that are no line integrals.
    """
    projection = surface.projection
    if radiograph.unknown:
        raise InputError(
            f"The scale of the X-ray {radiograph.name!r} is not known ({', '.join(radiograph.unknown)}): give line integrals."
        )
    apart = radiograph.projection.angle_to(projection)
    if apart > 5:
        raise InputError(
            f"The X-ray {radiograph.name!r} looks {apart:.0f} degrees away from the view of the frame: give one of that view."
        )
    rows, columns = np.meshgrid(*(np.arange(n) for n in projection.size), indexing="ij")
    places = projection.pixel_positions(np.column_stack([rows.ravel(), columns.ravel()]))
    middle, ray = np.mean(list(surface.points.values()), axis=0), projection.beam_direction
    places = places - (places - middle) @ ray[:, None] * ray
    at = radiograph.projection.project(places)[:, ::-1].reshape(*projection.size, 2)
    height, width = radiograph.projection.size
    shown = ((at >= 0) & (at <= np.array([height - 1, width - 1]))).all(axis=2) & np.isfinite(at).all(axis=2)
    where = np.where(shown[..., None], at, 0).transpose(2, 0, 1)
    values = map_coordinates(radiograph.line_integrals.astype(np.float64), where, order=1)
    if radiograph.valid is not None:
        shown &= map_coordinates(radiograph.valid.astype(np.float64), where, order=1) > 0.999
    return np.where(shown, values, 0).astype(np.float32), shown
