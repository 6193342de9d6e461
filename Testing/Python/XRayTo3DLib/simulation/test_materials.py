"""Attenuation coefficients: the tabulated values, the K edges, and what lies between."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.simulation.materials import ALUMINIUM, CALIBRATION_KEV, CORTICAL_BONE, IODINE, METALS, WATER

ENERGIES = np.linspace(10, 150, 281)


def test_water_at_the_calibration_is_the_water_of_hu():
    assert WATER.attenuation == pytest.approx(MU_WATER, rel=2e-3)
    assert WATER.relative_attenuation(CALIBRATION_KEV) == pytest.approx(1, abs=1e-12)


def test_tabulated_values_are_met_and_what_lies_between_is_smooth():
    assert WATER.mass_attenuation(60.0) == pytest.approx(0.2059)
    np.testing.assert_allclose(IODINE.mass_attenuation(np.array([30.0, 40.0])), [8.561, 22.10])
    # A power law between two points is a straight line of the logarithms; aluminium bends away from it by Compton scatter.
    middle = float(ALUMINIUM.mass_attenuation(np.sqrt(20.0 * 30.0)))
    assert middle < np.sqrt(3.441 * 1.128) and middle == pytest.approx(np.sqrt(3.441 * 1.128), rel=0.03)


@pytest.mark.parametrize("material", [WATER, CORTICAL_BONE, ALUMINIUM, METALS["titanium"]], ids=lambda m: m.name)
def test_without_an_edge_attenuation_falls_with_the_energy(material):
    assert (np.diff(material.mass_attenuation(ENERGIES)) < 0).all()


def test_the_k_edges_jump_upwards():
    below, above = IODINE.mass_attenuation(np.array([33.16, 33.18]))
    assert above / below == pytest.approx(35.82 / 6.553, rel=0.01)
    for metal in ("steel", "cobalt-chromium"):  # molybdenum
        below, above = METALS[metal].mass_attenuation(np.array([19.999, 20.0]))
        assert above > below
    assert (np.diff(IODINE.mass_attenuation(ENERGIES[ENERGIES > 33.17])) < 0).all()


def test_an_alloy_is_the_sum_of_its_elements():
    steel = METALS["steel"]
    by_hand = 0.685 * 1.205 + 0.17 * 0.964 + 0.12 * 1.511 + 0.025 * 4.274
    assert steel.mass_attenuation(60.0) == pytest.approx(by_hand, rel=1e-12)
    assert all(sum(share for _, share in metal.composition) == pytest.approx(1) for metal in METALS.values())
    order = [METALS[name].attenuation for name in ("titanium", "steel", "cobalt-chromium")]
    assert CORTICAL_BONE.attenuation < order[0] < order[1] < order[2]
