"""A polychromatic X-ray beam: its spectrum, and what it measures behind several materials.

The spectrum is Kramers' law (Phil. Mag. 46, 1923) for a tungsten tube behind 2.5 mm of aluminium; the lines of tungsten and
the attenuation in the anode are left out, so that the beam is a little softer than a real one (at 80 kV its photons have
40 keV on average; detailed models say 43). The detector absorbs every photon and signals its energy. Scatter is left out.

A CT measures one number a voxel, so that two materials have to be told apart by it: below :data:`SOFT_HU` a voxel is water of
another density (air, lung, fat, muscle), from there to cortical bone a mixture of that soft tissue and cortical bone by
volume, above it denser bone. Contrast agent in the CT is taken for bone. The mixture attenuates exactly what the CT measured
at the energy of its calibration, 70 keV: with a beam of that one energy the result is the ordinary DRR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.simulation.materials import ALUMINIUM, CORTICAL_BONE, WATER, Material

#: Soft tissue ends here: blood and muscle have 40 to 60 HU, and noise must not turn them into bone.
SOFT_HU = 100.0
FILTER_MM = 2.5
LOWEST_KILOVOLTS, HIGHEST_KILOVOLTS = 40.0, 150.0

_SOFT = MU_WATER * (1 + SOFT_HU / 1000)
#: Gauss-Legendre nodes between 10 keV, the K edges of molybdenum and iodine, and the tube's voltage. Line integrals differ
#: by less than 2e-4 from those of a sum over thousands of energies, also behind metal and iodine.
_EDGES_KEV, _NODES = (10.0, 19.9995, 33.1694), (4, 6, 12)
#: Pixels computed at once; bounds the memory of a call, not its result.
_CHUNK_PIXELS = 32768


@dataclass(frozen=True, eq=False)
class Beam:
    """``energies`` in keV and the share of the detector's signal, ``weights``, that each brings without an object."""

    energies: np.ndarray
    weights: np.ndarray

    def line_integrals(self, paths: Mapping[Material, np.ndarray]) -> np.ndarray:
        """``-ln(I / I0)`` behind several materials, float64.

        ``paths`` holds for each material a picture of the line integrals that it alone would have at the energy of the CT's
        calibration; all pictures have the same shape. Finite for any finite input.
        """
        pictures = list(paths.values())
        at_calibration = np.stack([np.ravel(picture) for picture in pictures])
        relative = np.stack([material.relative_attenuation(self.energies) for material in paths], axis=1)
        found = np.empty(at_calibration.shape[1])
        for begin in range(0, len(found), _CHUNK_PIXELS):
            pixels = slice(begin, begin + _CHUNK_PIXELS)
            each = relative @ at_calibration[:, pixels].astype(np.float64)
            least = each.min(axis=0)  # taken out of the sum, so that it does not vanish behind thick metal
            found[pixels] = least - np.log(self.weights @ np.exp(least - each))
        return found.reshape(np.shape(pictures[0]))

    def mean_energy(self) -> float:
        """Mean energy of the photons in keV; the weights count energy, so it is divided out."""
        return float(self.weights.sum() / (self.weights / self.energies).sum())

    def effective_energy(self, water: float = 0.0) -> float:
        """Energy in keV of one-energy photons that water attenuates as it does this beam behind ``water`` mm of it."""
        relative = WATER.relative_attenuation(self.energies)
        left = self.weights * np.exp(-MU_WATER * water * relative)
        energies = np.linspace(HIGHEST_KILOVOLTS, _EDGES_KEV[0], 1401)
        return float(np.interp(left @ relative / left.sum(), WATER.relative_attenuation(energies), energies))


def tube_beam(kilovolts: float) -> Beam:
    """The beam of a tube at 40 to 150 kV, as described above; another voltage is an :class:`InputError`."""
    if not LOWEST_KILOVOLTS <= kilovolts <= HIGHEST_KILOVOLTS:  # also false for NaN
        raise InputError(
            f"A tube voltage of {kilovolts:g} kV cannot be simulated: give {LOWEST_KILOVOLTS:g} to {HIGHEST_KILOVOLTS:g} kV."
        )
    ends = [*_EDGES_KEV, float(kilovolts)]
    rules = [np.polynomial.legendre.leggauss(number) for number in _NODES]
    pieces = list(zip(ends, ends[1:], rules, strict=False))
    energies = np.concatenate([(low + high) / 2 + (high - low) / 2 * nodes for low, high, (nodes, _) in pieces])
    shares = np.concatenate([(high - low) / 2 * shares for low, high, (_, shares) in pieces])
    # Kramers: photons fall as (V - E) / E; each signals its energy E.
    filtered = np.exp(-ALUMINIUM.density * ALUMINIUM.mass_attenuation(energies) * FILTER_MM / 10)
    signal = shares * (kilovolts - energies) * filtered
    return Beam(energies, signal / signal.sum())


def describe(kilovolts: float, beam: Beam) -> str:
    """The beam in one sentence, for a radiograph's notes."""
    return (
        f"Simulated beam: {kilovolts:g} kV (Kramers' spectrum behind {FILTER_MM:g} mm of aluminium), mean photon energy "
        f"{beam.mean_energy():.1f} keV, effective energy in water {beam.effective_energy():.1f} keV, behind 20 cm of it "
        f"{beam.effective_energy(200.0):.1f} keV; soft tissue and cortical bone."
    )


def bone_part(attenuation: np.ndarray) -> np.ndarray:
    """The part of each voxel's attenuation (1/mm at the CT's calibration) that is cortical bone; the rest is water.

    Continuous, 0 up to soft tissue and all of it from cortical bone on; any shape; the dtype of ``attenuation``, which is float.
    """
    bone = CORTICAL_BONE.attenuation
    part = np.maximum((attenuation - _SOFT) * (bone / (bone - _SOFT)), 0)
    return np.where(attenuation >= bone, attenuation, part)
