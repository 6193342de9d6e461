"""Attenuation of water, bone, metals and iodine between 10 and 150 keV.

Mass attenuation coefficients are those of NIST (Hubbell and Seltzer, NISTIR 5632; total attenuation with coherent
scattering), interpolated as logarithms over the logarithm of the energy by monotone cubics, piecewise between the K edges.
Against the fine tables of Penelope that is within 1 % at nearly all energies and within 2 % below 20 keV; a straight line
between the tabulated points would be 4 % too high there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

#: The energy in keV at which a CT's HU are taken to be measured: there water has the 0.193 1/cm of images.MU_WATER.
CALIBRATION_KEV = 70.0

_ENERGIES = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
#: cm^2/g at these energies.
_COEFFICIENTS = {
    "water": (5.329, 1.673, 0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505),
    "cortical bone": (28.51, 9.032, 4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480),
    "Al": (26.23, 7.955, 3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378),
    "Ti": (110.7, 35.87, 15.85, 4.972, 2.214, 1.213, 0.7661, 0.4052, 0.2721, 0.1649),
    "V": (121.7, 39.82, 17.68, 5.564, 2.472, 1.347, 0.8438, 0.4371, 0.2877, 0.1682),
    "Cr": (138.7, 45.72, 20.38, 6.434, 2.856, 1.551, 0.9640, 0.4904, 0.3166, 0.1788),
    "Fe": (170.6, 57.08, 25.68, 8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717, 0.1964),
    "Co": (184.2, 62.01, 28.03, 8.962, 3.980, 2.144, 1.314, 0.6414, 0.3950, 0.2023),
    "Ni": (209.0, 70.81, 32.20, 10.34, 4.600, 2.474, 1.511, 0.7306, 0.4439, 0.2208),
    "Mo": (85.76, 28.54, 79.55, 28.10, 12.94, 7.040, 4.274, 1.962, 1.096, 0.4208),
    "I": (162.6, 55.12, 25.43, 8.561, 22.10, 12.32, 7.579, 3.510, 1.942, 0.6978),
}
#: K edges in keV, with the coefficients below and above them.
_EDGES = {"Mo": (19.9995, 13.08, 79.55), "I": (33.1694, 6.553, 35.82)}


@dataclass(frozen=True)
class Material:
    """A mixture: its ``name``, ``density`` in g/cm^3 and mass fractions of the substances above."""

    name: str
    density: float
    composition: tuple[tuple[str, float], ...]

    def mass_attenuation(self, energies: np.ndarray | float) -> np.ndarray:
        """cm^2/g at ``energies`` (keV, from 10 to 150)."""
        found = sum(share * _interpolated(substance, energies) for substance, share in self.composition)
        return np.asarray(found, dtype=np.float64)

    @property
    def attenuation(self) -> float:
        """1/mm of the solid material at :data:`CALIBRATION_KEV`."""
        return float(self.density * self.mass_attenuation(CALIBRATION_KEV)) / 10

    def relative_attenuation(self, energies: np.ndarray | float) -> np.ndarray:
        """Attenuation at ``energies`` (keV) over that at :data:`CALIBRATION_KEV`; the density cancels."""
        return self.mass_attenuation(energies) / self.mass_attenuation(CALIBRATION_KEV)


def _interpolated(substance: str, energies: np.ndarray | float) -> np.ndarray:
    wanted = np.asarray(energies, dtype=np.float64)
    tabulated, coefficients = np.array(_ENERGIES), np.array(_COEFFICIENTS[substance])
    if substance not in _EDGES:
        return _smooth(tabulated, coefficients, wanted)
    edge, below, above = _EDGES[substance]
    low, high = tabulated < edge, tabulated > edge
    return np.where(
        wanted < edge,
        _smooth(np.append(tabulated[low], edge), np.append(coefficients[low], below), np.minimum(wanted, edge)),
        _smooth(np.append(edge, tabulated[high]), np.append(above, coefficients[high]), np.maximum(wanted, edge)),
    )


def _smooth(tabulated: np.ndarray, coefficients: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.exp(PchipInterpolator(np.log(tabulated), np.log(coefficients))(np.log(wanted)))


WATER = Material("water", 1.0, (("water", 1.0),))
#: ICRU-44.
CORTICAL_BONE = Material("cortical bone", 1.92, (("cortical bone", 1.0),))
ALUMINIUM = Material("aluminium", 2.699, (("Al", 1.0),))
#: Its density is that of the element in a solution: mg/mL times 1e-3.
IODINE = Material("iodine", 1.0, (("I", 1.0),))
#: The alloys of implants, by the names that users give: Ti-6Al-4V, 316L (its manganese and silicon counted as iron), and
#: the cast Co-28Cr-6Mo.
METALS = {
    "titanium": Material("titanium alloy Ti-6Al-4V", 4.43, (("Ti", 0.90), ("Al", 0.06), ("V", 0.04))),
    "steel": Material("stainless steel 316L", 8.0, (("Fe", 0.685), ("Cr", 0.17), ("Ni", 0.12), ("Mo", 0.025))),
    "cobalt-chromium": Material("cobalt-chromium Co-28Cr-6Mo", 8.3, (("Co", 0.66), ("Cr", 0.28), ("Mo", 0.06))),
}
