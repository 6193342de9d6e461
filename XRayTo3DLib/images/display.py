"""How a radiograph is shown: pictures for the eye, made from line integrals and never an input to a computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from XRayTo3DLib.errors import InputError

if TYPE_CHECKING:
    from XRayTo3DLib.images.radiograph import Radiograph

LOOKS = ("film", "inverted", "opacity", "clinical")
#: DICOM's words for two of them.
_ALIASES = {"monochrome2": "film", "monochrome1": "inverted"}

#: The percentiles of a clinical window when none are given: single very bright pixels, as of metal, do not count.
PERCENTILES = (1.0, 99.0)
#: The beam of a pixel counts as having crossed something above this share of a bright pixel: air, its noise, clothes and
#: the very edge of the skin stay below; lung in a chest has a fifth.
_CROSSED = 0.1


def to_display(radiograph: Radiograph, look: str = "film", percentiles: tuple[float, float] = PERCENTILES) -> np.ndarray:
    """A picture for the eye, float32 [row, column] from 0 (black) to 1 (white).

    - ``film`` (or ``monochrome2``): bone white, from 0 to the 99.5th percentile with the gamma of a lightened film;
    - ``inverted`` (or ``monochrome1``): its negative, bone black;
    - ``opacity``: ``1 - exp(-p)``, the share of the beam that is stopped;
    - ``clinical``: bone white, in the window of :func:`clinical_window` for ``percentiles``, which only this look uses.

    A constant picture is shown in one grey. Raises :class:`InputError` for an unknown look, for percentiles that are not
    0 <= low < high <= 100, and for NaN or infinite pixels.
    """
    name = look.strip().lower()
    name = _ALIASES.get(name, name)
    if name not in LOOKS:
        raise InputError(f"The look {look!r} is not known: use {', '.join(LOOKS)}, monochrome1 or monochrome2.")
    measured = radiograph.line_integrals if radiograph.valid is None else radiograph.line_integrals[radiograph.valid]
    low, high = clinical_window(measured, percentiles)
    values = np.maximum(radiograph.line_integrals.astype(np.float32), 0)
    if name == "opacity":
        return -np.expm1(-values)
    if name == "clinical":
        return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    top = float(np.percentile(np.maximum(measured.astype(np.float32), 0), 99.5)) or 1.0
    picture = np.clip(values / top, 0, 1) ** 1.2
    return picture if name == "film" else 1 - picture


def clinical_window(line_integrals: np.ndarray, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
    """The line integrals to show black and white, ``low < high``: percentiles of the pixels whose beam crossed something.

    The air beside the patient does not count, however much of the picture it fills. Where all that was crossed has one
    value, black is 0. Raises :class:`InputError` as :func:`to_display` does.
    """
    values = np.asarray(line_integrals, dtype=np.float64)
    try:
        low, high = (float(value) for value in percentiles)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 <= low < high <= 100:
        raise InputError(f"The percentiles {percentiles} must be two numbers, 0 <= low < high <= 100: correct them.")
    if not np.isfinite(values).all():
        raise InputError("The radiograph holds NaN or infinite pixels: there is no picture of it; compute it again without them.")
    positive = values[values > 0]
    if not len(positive):
        return 0.0, 1.0
    crossed = positive[positive > _CROSSED * np.percentile(positive, 99)]
    black, white = (float(value) for value in np.percentile(crossed, (low, high)))
    return (black, white) if white > black else (0.0, white)
