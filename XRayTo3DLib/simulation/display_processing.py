"""Display processing: what a vendor's console does to line integrals before anybody sees them, simulated at random from a seed.

A picture for the eye is no measurement any more. In the order of a console: the slow part of the picture is compressed (dynamic
range control, as in the multi-scale processing of Vuylsteke and Schoeters, Proc. SPIE 2167, 1994), edges are raised (unsharp mask),
the contrast is equalised from place to place (contrast-limited adaptive histogram equalisation, Zuiderveld 1994), a window is cut
out, a monotone curve (gamma, or the sigmoid of a film) is laid over it, and what is left is rounded to 8 or 12 bits. Gain, offset
and curve are lost. It is meant for measuring what a calibration restores: the truth is known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph

#: Above this share of the 99th percentile a pixel is behind the patient; the window of a console is laid over those.
_SHADOW = 0.03
#: The widest sigmoid: the slope of its middle over that of a straight line.
_STEEPEST = 3.0


@dataclass(frozen=True)
class DisplayProcessing:
    """What is done to the line integrals, in this order; the values as they stand leave the picture linear.

    - ``compression`` [0, 1): the share of the slow part (Gaussian of ``compression_mm``) that is taken away, about its mean;
    - ``sharpening``: the share of the fast part (above a Gaussian of ``sharpening_mm``) that is added once more;
    - ``equalisation`` [0, 1]: the weight of the equalised picture in the mixture;
    - ``black``, ``white``: the window, from 0 (air) in shares of the 99.5th percentile behind the patient;
    - ``gamma``: the exponent over the window; ``steepness`` (from 0, a straight line): of the sigmoid over it, about ``middle``;
    - ``bits``: of the grey levels; 0 leaves them as they are.
    """

    compression: float = 0.0
    compression_mm: float = 40.0
    sharpening: float = 0.0
    sharpening_mm: float = 4.0
    equalisation: float = 0.0
    black: float = 0.0
    white: float = 1.0
    gamma: float = 1.0
    steepness: float = 0.0
    middle: float = 0.5
    bits: int = 0

    def __post_init__(self) -> None:
        within = 0 <= self.compression < 1 and 0 <= self.equalisation <= 1 and self.sharpening >= 0 and self.steepness >= 0
        if not (within and self.black < self.white and self.gamma > 0 and min(self.compression_mm, self.sharpening_mm) > 0):
            raise InputError(f"{self} means nothing: give shares of 0 to 1, black below white, and widths and gamma above 0.")

    @classmethod
    def random(cls, seed: int) -> DisplayProcessing:
        """One of the consoles of the world: the same for the same seed."""
        draw = np.random.default_rng([7919, seed])
        some = draw.random(3) < [0.5, 0.7, 0.3]
        curved = draw.random() < 0.5
        return cls(
            compression=float(some[0] * draw.uniform(0.05, 0.35)),
            compression_mm=float(draw.uniform(25, 60)),
            sharpening=float(some[1] * draw.uniform(0.1, 0.8)),
            sharpening_mm=float(draw.uniform(1.5, 10)),
            equalisation=float(some[2] * draw.uniform(0.1, 0.4)),
            black=float(draw.uniform(-0.02, 0.08)),
            white=float(draw.uniform(0.95, 1.15)),
            gamma=float(np.exp(draw.uniform(-0.5, 0.5))),
            steepness=float(curved * draw.uniform(0.5, _STEEPEST)),
            middle=float(draw.uniform(0.35, 0.65)),
            bits=int(draw.choice([8, 12])),
        )


def process(radiograph: Radiograph, processing: DisplayProcessing, white: float = 1.0) -> Radiograph:
    """The radiograph as a console shows it: values 0 (black, little attenuation) to ``white``, their scale unknown."""
    values = np.asarray(radiograph.line_integrals, dtype=np.float64)
    spacing = np.array(radiograph.projection.spacing)
    shadow = values > _SHADOW * np.percentile(values, 99)
    top = float(np.percentile(values[shadow], 99.5)) if shadow.any() else 0.0
    if top <= 0:
        raise InputError(f"The radiograph {radiograph.name!r} shows nothing: process one with matter in its field.")
    if processing.compression:
        slow = ndimage.gaussian_filter(values, processing.compression_mm / spacing, mode="nearest")
        # Air stays air, or the open beam would no longer be even, which no console lets happen.
        inside = np.clip(ndimage.gaussian_filter(shadow.astype(float), 3 / spacing, mode="nearest"), 0, 1)
        values = values - processing.compression * inside * (slow - slow[shadow].mean()) * np.clip(values / (0.3 * top), 0, 1)
    if processing.sharpening:
        values = values + processing.sharpening * (
            values - ndimage.gaussian_filter(values, processing.sharpening_mm / spacing, mode="nearest")
        )
    shown = np.clip((values / top - processing.black) / (processing.white - processing.black), 0, 1)
    if processing.equalisation:
        from skimage.exposure import equalize_adapthist

        shown = (1 - processing.equalisation) * shown + processing.equalisation * equalize_adapthist(shown, clip_limit=0.01)
    shown = _sigmoid(shown**processing.gamma, processing.steepness, processing.middle)
    if processing.bits:
        levels = 2**processing.bits - 1
        shown = np.round(levels * shown) / levels
    note = "Processed for display (simulated): gain, offset and curve are unknown."
    return replace(
        radiograph,
        line_integrals=(white * shown).astype(np.float32),
        unknown=UNKNOWN,
        notes=(*radiograph.notes, note),
    )


def _sigmoid(shares: np.ndarray, steepness: float, middle: float) -> np.ndarray:
    """A logistic curve through (0, 0) and (1, 1) about ``middle``; a straight line where ``steepness`` is 0."""
    if steepness == 0:
        return shares
    low, high, values = (1 / (1 + np.exp(-2 * steepness * (x - middle))) for x in (0.0, 1.0, shares))
    return (values - low) / (high - low)
