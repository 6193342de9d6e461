"""The grey picture in colour channels: equal ones, a tint of the whole film, and single coloured marks, which are left out."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.errors import InputError

#: Share of the full scale by which a channel may leave the tint of its grey; share of the picture that may do so.
_OFF_TINT, _MARKS = 0.06, 0.05
#: Share of the full scale that a tint may have; grey levels among which it may change.
_TINT, _LEVELS = 0.25, 32


def grey_of(channels: np.ndarray, full_scale: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Grey values (float64, the mean of the channels) and where they are those of the film (bool), both [row, column].

    ``channels`` [row, column, 3]. A film's base may have a tint, so that channels differ in the same way wherever the grey is the
    same. What leaves that way is a coloured mark. Raises :class:`InputError` when too much of the picture does.
    """
    grey = channels.mean(axis=-1)
    away = channels - grey[..., None]
    if np.abs(away).max() <= _OFF_TINT / 2 * full_scale:
        return grey, np.ones(grey.shape, bool)
    level = np.clip(grey / full_scale * _LEVELS, 0, _LEVELS - 1).astype(int)
    tint = np.zeros((_LEVELS, channels.shape[-1]))
    for own in np.unique(level):
        tint[own] = np.median(away[level == own], axis=0)
    film = np.abs(away - tint[level]).max(axis=-1) <= _OFF_TINT * full_scale
    tinted = np.abs(np.median(away.reshape(-1, away.shape[-1]), axis=0)).max()
    if np.count_nonzero(~film) > _MARKS * film.size or tinted > _TINT * full_scale:
        raise InputError(f"{name} is a colour image: an X-ray is grey; export it as greyscale, without coloured marks.")
    return grey, film
