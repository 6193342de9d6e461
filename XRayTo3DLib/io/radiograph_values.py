"""What the numbers of an X-ray file are, decided by what the file states and never by their range, and line integrals of them.

DICOM says of its stored values how they depend on the beam (Pixel Intensity Relationship and its sign), whether they were
processed for display (Presentation Intent Type), and in which unit a rescaled value or one of the Modality LUT is (Rescale Type,
Modality LUT Type). Window and VOI LUT are for the eye and change nothing here. So a picture has one of these meanings:

- ``line_integral``: ``-ln(I / I0)`` as it stands;
- ``transmission``: ``I / I0``;
- ``intensity``: proportional to the beam, dose and fluence too: I0 is that of an exposed background, where there is one;
- ``log``: rises with the line integral by an unknown factor; its 0 is that of an exposed background, where there is one;
- ``display``: only rises with it.

References: DICOM PS3.3 C.8.11.3.1.2 (Pixel Intensity Relationship: of stored values), C.8.7.1.1.2 (XA: the Modality LUT leads
back to the intensity), C.11.1 (Modality LUT, Rescale Type), C.7.6.16.2.13 (Pixel Intensity Relationship LUT).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.open_beam import broken_pixels, open_background
from XRayTo3DLib.images.radiograph import UNKNOWN

#: What the values of a file can be; "auto" decides by the file.
KINDS = ("auto", "line_integral", "transmission", "intensity", "inverted")

#: The line integral that white stands for in a picture of unknown scale (black is 0): about that of 26 cm of water.
PICTURE_WHITE = 5.0


@dataclass(frozen=True, eq=False)
class Reading:
    """Numbers of one picture and their ``meaning`` (see the module).

    - ``values`` float64, ``valid`` (bool) where they are measurements, both [row, column]; ``log`` and ``display`` rise with
      attenuation;
    - ``saturated`` (bool, [row, column]): at the end of what can be stored, so that the beam was at least as strong;
    - ``full_field``: of a C-arm or an image intensifier, whose field the patient fills as a rule: no background is trusted.
    """

    values: np.ndarray
    valid: np.ndarray
    meaning: str
    saturated: np.ndarray | None = None
    full_field: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LineIntegrals:
    """Line integrals (float32) and where they are measurements (bool), both [row, column]; what is unknown of them; notes."""

    values: np.ndarray
    valid: np.ndarray
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


def line_integrals(reading: Reading, name: str) -> LineIntegrals:
    """Line integrals of a reading; where a pixel is no measurement they are 0, as of the open beam.

    Raises :class:`InputError` when nothing is left of the picture, or it is constant.
    """
    measured = reading.values[reading.valid]
    if not np.isfinite(measured).all():
        raise InputError(f"{name} holds NaN or infinite pixels: export it again without them.")
    if not measured.size:
        raise InputError(f"{name} holds no measurement: padding, shutters or transparency hide all of it; check the file.")
    if min(reading.values.shape) < 2 or measured.min() == measured.max():
        raise InputError(f"{name} is constant ({measured[0]:g} everywhere): it shows nothing; check the file.")
    if reading.meaning == "line_integral":
        return _finished(reading, reading.values, reading.valid, ())
    if reading.meaning == "display":
        low, high = float(measured.min()), float(measured.max())
        values = (reading.values - low) / (high - low) * PICTURE_WHITE
        note = "Gain, offset and curve of the picture are unknown; its values are only relative."
        return _finished(reading, values, reading.valid, UNKNOWN, note)
    return _of_logarithm(reading) if reading.meaning == "log" else _of_intensity(reading, name)


def _of_intensity(reading: Reading, name: str) -> LineIntegrals:
    values, valid = reading.values, reading.valid
    positive = values[valid & (values > 0)]
    if not positive.size:
        raise InputError(f"{name} has no positive intensity: it cannot be I in -ln(I / I0); name another kind.")
    # A pixel without signal gets half the smallest signal there is, instead of infinity; noise makes such pixels here and there,
    # but an area of them was hidden from the beam.
    attenuation = -np.log(np.maximum(np.where(valid, values, positive.max()), float(positive.min()) / 2))
    valid, notes = _unspoilt(reading, attenuation, _areas(valid & (values <= 0)))
    if reading.meaning == "transmission":
        return _finished(reading, attenuation, valid, (), *notes)
    background = None if reading.full_field else open_background(attenuation, valid)
    if background is not None:
        open_beam = float(np.median(values[background]))
        note = f"The open beam ({open_beam:g}) is the median of the exposed background, {background.mean():.0%} of the picture."
        return _finished(reading, attenuation + np.log(open_beam), valid, (), note, *notes)
    return _finished(reading, attenuation - float(attenuation[valid].min()), valid, UNKNOWN[:1], _no_open_beam(reading), *notes)


def _of_logarithm(reading: Reading) -> LineIntegrals:
    values, measured = reading.values, reading.values[reading.valid]
    scale = PICTURE_WHITE / max(float(np.ptp(np.percentile(measured, (0.5, 99.5)))), 1e-9 * float(np.ptp(measured)))
    valid, notes = _unspoilt(reading, scale * values)
    background = None if reading.full_field else open_background(values, valid, relative=True)
    note = "The values rise with the logarithm of the beam; their gain is unknown."
    if background is None:
        low, note = float(values[valid].min()), f"{note} {_no_open_beam(reading)}"
    else:
        low = float(np.median(values[background]))
    unknown = UNKNOWN[:2] if background is None else UNKNOWN[1:2]
    high = max(float(values[valid].max()), np.nextafter(low, np.inf))
    return _finished(reading, (values - low) / (high - low) * PICTURE_WHITE, valid, unknown, note, *notes)


def _no_open_beam(reading: Reading) -> str:
    why = "The patient fills the field of a C-arm as a rule" if reading.full_field else "No exposed background is in the field"
    return f"{why}, so the open beam is unknown: line integrals are known up to a constant."


def _unspoilt(reading: Reading, attenuation: np.ndarray, blind: np.ndarray | None = None) -> tuple[np.ndarray, list[str]]:
    """Where pixels measured the beam, and notes on those that did not: saturated, without any signal (``blind``), broken."""
    valid, notes = reading.valid, []
    for spoilt, told in ((reading.saturated, "saturated"), (blind, "without any signal")):
        if spoilt is not None and (valid & spoilt).any():
            notes.append(f"{_share(valid & spoilt)} {told} and left out.")
            valid = valid & ~spoilt
    broken = broken_pixels(attenuation, valid) & valid
    if broken.any():
        notes.append(f"{_share(broken)} hot or dead and left out.")
        valid = valid & ~broken
    return valid, notes


def _share(mask: np.ndarray) -> str:
    count = int(np.count_nonzero(mask))
    if count < 0.01 * mask.size:
        return f"{count} pixel{'s are' if count > 1 else ' is'}"
    return f"{count / mask.size:.0%} of the picture is"


def _areas(mask: np.ndarray) -> np.ndarray:
    """Those connected parts of a mask that hold a square of 3 pixels."""
    cores = ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
    return np.asarray(ndimage.binary_propagation(cores, np.ones((3, 3)), mask))


def _finished(reading: Reading, values: np.ndarray, valid: np.ndarray, unknown: tuple[str, ...], *notes: str) -> LineIntegrals:
    return LineIntegrals(np.where(valid, values, 0).astype(np.float32), valid, unknown, (*reading.notes, *notes))
