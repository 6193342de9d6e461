"""What a real detector makes of a radiograph: photon statistics, blur and electronic noise.

In this order: photons arrive one by one (Poisson), the scintillator spreads their light (a Gaussian), the electronics add
their noise (Gaussian), and the logarithm is taken. Blur comes after the photon noise and smooths it, as in a real detector;
it acts on the signal and not on its logarithm.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph

#: More photons a pixel than any detector counts, and far from where Poisson numbers overflow.
_MOST_PHOTONS = 1e12
_WIDEST_BLUR_MM = 1000.0
#: Full width at half maximum of a Gaussian over its standard deviation.
_FWHM = 2 * float(np.sqrt(2 * np.log(2)))


def check_exposure(
    photons: float | None = None, electronic_noise: float = 0.0, blur: float = 0.0, seed: int | list[int] = 0
) -> None:
    """Raise :class:`InputError` unless :func:`expose` can work with these values."""
    if photons is not None and not 1 <= photons <= _MOST_PHOTONS:
        raise InputError(
            f"{photons:g} photons a pixel make no picture: give 1 to {_MOST_PHOTONS:g} (about 1e5 for a radiograph, 1e3 for "
            "fluoroscopy)."
        )
    if not 0 <= electronic_noise <= _MOST_PHOTONS:
        raise InputError(
            f"The electronic noise of {electronic_noise:g} photons is no standard deviation: give a number from 0 to "
            f"{_MOST_PHOTONS:g}."
        )
    if electronic_noise > 0 and photons is None:
        raise InputError("The electronic noise is given in photons a pixel, but the number of photons is not: give both.")
    if not 0 <= blur <= _WIDEST_BLUR_MM:
        raise InputError(f"A blur of {blur:g} mm is no width: give one from 0 to {_WIDEST_BLUR_MM:g} mm (0.1 to 0.5 mm is usual).")
    numbers = seed if isinstance(seed, (list, tuple)) else [seed]
    if not all(isinstance(number, (int, np.integer)) and number >= 0 for number in numbers):
        raise InputError(f"The seed {seed!r} must be a whole number of at least 0: give another one.")


def expose(
    radiograph: Radiograph,
    photons: float | None = None,
    electronic_noise: float = 0.0,
    blur: float = 0.0,
    seed: int | list[int] = 0,
) -> Radiograph:
    """The radiograph as a detector would have measured it, with a sentence about it in its notes.

    - ``photons``: mean number a pixel in the open beam, for quantum noise. A polychromatic beam is treated like one of
      photons that all bring the mean signal, which leaves out a few per cent of noise;
    - ``electronic_noise``: standard deviation, in photons a pixel;
    - ``blur``: full width at half maximum in mm at the detector; beyond its edge the picture is continued;
    - ``seed``: a whole number, or several; the same seed and view name give the same noise, other names other noise.

    A pixel that receives less than half a photon is given half a photon, so that its line integral stays finite. Raises
    :class:`InputError` for values that cannot be and for a radiograph without a known scale.
    """
    check_exposure(photons, electronic_noise, blur, seed)
    if photons is None and blur == 0:
        return radiograph
    if not radiograph.calibrated:
        raise InputError(
            f"The radiograph {radiograph.name!r} is a picture of unknown scale: noise and blur need line integrals; use a DRR."
        )
    if not np.isfinite(radiograph.line_integrals).all():
        raise InputError(f"The radiograph {radiograph.name!r} holds NaN or infinite pixels: make it again without them.")
    numbers = seed if isinstance(seed, (list, tuple)) else [seed]
    # By the name and not by its place in a list: a view looks the same whatever other views are made with it.
    random = np.random.default_rng([zlib.crc32(radiograph.name.encode()), *map(int, numbers)])
    open_beam = 1.0 if photons is None else float(photons)
    # No object brightens the beam ten thousandfold; the bounds keep everything finite.
    signal = open_beam * np.exp(-np.clip(radiograph.line_integrals.astype(np.float64), -10, 600))
    if photons is not None:
        signal = random.poisson(signal).astype(np.float64)
    if blur > 0:
        sigma = [blur / _FWHM / step for step in radiograph.projection.spacing]
        signal = ndimage.gaussian_filter(signal, sigma, mode="nearest")
    if electronic_noise > 0:
        signal += random.normal(0.0, electronic_noise, signal.shape)
    least = np.finfo(np.float64).tiny if photons is None else 0.5
    measured = -np.log(np.maximum(signal, least) / open_beam)
    notes = (*radiograph.notes, _describe(photons, electronic_noise, blur, numbers[0]))
    return replace(radiograph, line_integrals=measured.astype(np.float32), notes=notes)


def _describe(photons: float | None, electronic_noise: float, blur: float, seed: int) -> str:
    parts = []
    if photons is not None:
        parts.append(f"quantum noise of {photons:g} photons a pixel in the open beam (seed {seed})")
    if blur > 0:
        parts.append(f"blur of {blur:g} mm (full width at half maximum)")
    if electronic_noise > 0:
        parts.append(f"electronic noise of {electronic_noise:g} photons")
    return f"Simulated detector: {', '.join(parts)}."
