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
from XRayTo3DLib.simulation.exposure import Exposure

#: Full width at half maximum of a Gaussian over its standard deviation.
_FWHM = 2 * float(np.sqrt(2 * np.log(2)))


def expose(radiograph: Radiograph, exposure: Exposure, repeat: int = 0) -> Radiograph:
    """The radiograph as the detector of an exposure would have measured it, with a sentence about it in its notes.

    Views of one name are told apart by ``repeat``, so that none repeats another's noise. Beyond the detector's edge the
    picture is continued for its blur. A pixel that receives less than half a photon is given half a photon, so that its line
    integral stays finite. Raises :class:`InputError` for a radiograph without a known scale.
    """
    if exposure.is_ideal_detector:
        return radiograph
    if not radiograph.calibrated:
        raise InputError(
            f"The radiograph {radiograph.name!r} is a picture of unknown scale: noise and blur need line integrals; use a DRR."
        )
    if not np.isfinite(radiograph.line_integrals).all():
        raise InputError(f"The radiograph {radiograph.name!r} holds NaN or infinite pixels: make it again without them.")
    # By the name and not by its place in a list: a view looks the same whatever other views are made with it.
    random = np.random.default_rng([zlib.crc32(radiograph.name.encode()), exposure.seed, *([repeat] if repeat else [])])
    photons, blur = exposure.photons, exposure.blur
    open_beam = 1.0 if photons is None else float(photons)
    # No object brightens the beam ten thousandfold; the bounds keep everything finite.
    signal = open_beam * np.exp(-np.clip(radiograph.line_integrals.astype(np.float64), -10, 600))
    if photons is not None:
        signal = random.poisson(signal).astype(np.float64)
    if blur > 0:
        sigma = [blur / _FWHM / step for step in radiograph.projection.spacing]
        signal = ndimage.gaussian_filter(signal, sigma, mode="nearest")
    if exposure.electronic_noise > 0:
        signal += random.normal(0.0, exposure.electronic_noise, signal.shape)
    least = np.finfo(np.float64).tiny if photons is None else 0.5
    measured = -np.log(np.maximum(signal, least) / open_beam)
    notes = (*radiograph.notes, _describe(exposure))
    return replace(radiograph, line_integrals=measured.astype(np.float32), notes=notes)


def _describe(exposure: Exposure) -> str:
    parts = []
    if exposure.photons is not None:
        parts.append(f"quantum noise of {exposure.photons:g} photons a pixel in the open beam (seed {exposure.seed})")
    if exposure.blur > 0:
        parts.append(f"blur of {exposure.blur:g} mm (full width at half maximum)")
    if exposure.electronic_noise > 0:
        parts.append(f"electronic noise of {exposure.electronic_noise:g} photons")
    return f"Simulated detector: {', '.join(parts)}."
