"""The polychromatic beam: sums by hand, its limits, beam hardening, and the two materials of a CT."""

from __future__ import annotations

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import fit_projection, view_projection
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.simulation import exposure
from XRayTo3DLib.simulation.beam import Beam, bone_part, describe, tube_beam
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.materials import ALUMINIUM, CALIBRATION_KEV, CORTICAL_BONE, IODINE, METALS, WATER

ONE_ENERGY = Beam(np.array([CALIBRATION_KEV]), np.ones(1))


def water(*thickness: float) -> dict:
    """The paths of water of some thicknesses in mm."""
    return {WATER: MU_WATER * np.array(thickness)}


def fine_sum(kilovolts: float, paths: dict) -> np.ndarray:
    """``-ln(I / I0)`` by a sum over steps of 2 eV, written down from Kramers' law."""
    energies = np.arange(10.001, kilovolts, 0.002)
    photons = (kilovolts - energies) / energies * np.exp(-ALUMINIUM.mass_attenuation(energies) * 2.699 * 0.25)
    left = photons * energies
    total = sum(np.outer(path, material.relative_attenuation(energies)) for material, path in paths.items())
    return -np.log((left * np.exp(-total)).sum(axis=1) / left.sum())


def test_two_energies_by_hand():
    beam = Beam(np.array([60.0, 100.0]), np.array([0.25, 0.75]))
    at_70 = {m: float(m.mass_attenuation(70.0)) for m in (WATER, CORTICAL_BONE)}
    # 10 cm of water and 3 g/cm^2 of bone, with the tabulated cm^2/g.
    paths = {WATER: np.array([[10 * at_70[WATER]]]), CORTICAL_BONE: np.array([[3 * at_70[CORTICAL_BONE]]])}
    expected = -np.log(0.25 * np.exp(-2.059 - 0.9444) + 0.75 * np.exp(-1.707 - 0.5565))
    assert beam.line_integrals(paths) == pytest.approx(expected, rel=1e-12)
    assert beam.line_integrals(paths).shape == (1, 1)
    # 0.25 / 60 photons of 60 keV for 0.75 / 100 of 100 keV.
    assert beam.mean_energy() == pytest.approx((0.25 + 0.75) / (0.25 / 60 + 0.75 / 100))


@each("kilovolts", [40, 80, 150])
def test_slabs_agree_with_a_fine_sum(kilovolts):
    paths = {
        WATER: np.array([0.5, 4, 4, 4, 2, 0]),
        CORTICAL_BONE: np.array([0.0, 1, 0, 3, 0, 0]),
        METALS["steel"]: np.array([0.0, 0, 4, 1, 0, 0]),
        IODINE: np.array([0.0, 0, 0, 0, 0.5, 0.1]),
    }
    np.testing.assert_allclose(tube_beam(kilovolts).line_integrals(paths), fine_sum(kilovolts, paths), rtol=4e-4)


def test_one_energy_is_the_ordinary_drr(phantom_volume, monkeypatch):
    view = [fit_projection("AP+10", phantom_volume.grid, 16.0)]
    plain = render_drr(phantom_volume, view)[0].line_integrals
    monkeypatch.setattr(exposure, "tube_beam", lambda kilovolts: ONE_ENERGY)
    np.testing.assert_allclose(
        render_drr(phantom_volume, view, exposure=Exposure(70))[0].line_integrals, plain, rtol=1e-5, atol=1e-6
    )


def test_thin_objects_attenuate_by_the_mean_over_the_spectrum():
    beam = tube_beam(90)
    mean = float(beam.weights @ WATER.relative_attenuation(beam.energies))
    assert beam.line_integrals(water(1e-3))[0] / (MU_WATER * 1e-3) == pytest.approx(mean, rel=1e-4)
    assert beam.line_integrals(water(0.0))[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("material", [WATER, CORTICAL_BONE, METALS["titanium"], IODINE], ids=lambda m: m.name)
def test_the_beam_hardens(material):
    path = np.linspace(0.01, 12, 60)
    measured = tube_beam(100).line_integrals({material: path})
    assert (np.diff(measured) > 0).all()
    assert (np.diff(measured / path) < 0).all()


def test_more_kilovolts_less_contrast_of_bone():
    behind_bone = {WATER: MU_WATER * np.array([200.0, 190.0]), CORTICAL_BONE: CORTICAL_BONE.attenuation * np.array([0, 10.0])}
    contrast = [np.diff(tube_beam(kilovolts).line_integrals(behind_bone))[0] for kilovolts in (50, 70, 90, 120, 150)]
    assert (np.diff(contrast) < 0).all() and contrast[-1] > 0


def test_energies_are_those_of_the_beam():
    for kilovolts in (40, 80, 150):
        beam = tube_beam(kilovolts)
        assert beam.weights.sum() == pytest.approx(1) and (beam.weights > 0).all()
        assert beam.energies.min() > 10 and beam.energies.max() < kilovolts
        energies = [beam.effective_energy(depth) for depth in (0, 50, 200, 400)]
        assert (np.diff(energies) > 0).all() and energies[-1] < kilovolts
    assert ONE_ENERGY.effective_energy(0) == pytest.approx(CALIBRATION_KEV, abs=0.01) == ONE_ENERGY.effective_energy(200)


def test_the_radiograph_states_its_beam(phantom_volume):
    view = [fit_projection("AP", phantom_volume.grid, 16.0)]
    (note,) = render_drr(phantom_volume, view, exposure=Exposure(85))[0].notes
    beam = tube_beam(85)
    assert note == describe(85, beam)
    for figure in ("85 kV", "2.5 mm", f"{beam.effective_energy():.1f} keV", f"{beam.effective_energy(200):.1f} keV"):
        assert figure in note
    assert render_drr(phantom_volume, view)[0].notes == ()


def test_nothing_overflows_behind_metal():
    thick = {METALS["steel"]: np.array([500.0, 5000.0]), WATER: np.zeros(2)}
    measured = tube_beam(60).line_integrals(thick)
    assert np.isfinite(measured).all() and measured[1] > measured[0] > 500


@each("kilovolts", [39.9, 150.1, 0, -80, float("nan"), float("inf")])
def test_tubes_that_cannot_be(kilovolts, phantom_volume):
    with pytest.raises(InputError, match="40 to 150"):
        render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 16.0)], exposure=Exposure(kilovolts))


def test_bone_begins_at_soft_tissue_and_is_all_from_cortical_bone_on():
    hu = np.linspace(-1000, 4000, 5001)
    mu = MU_WATER * (1 + hu / 1000)
    bone = bone_part(mu)
    assert (bone[hu <= 100] == 0).all()
    above = mu >= CORTICAL_BONE.attenuation
    np.testing.assert_array_equal(bone[above], mu[above])
    assert (bone <= mu).all() and (np.diff(bone) >= 0).all()
    assert np.diff(bone).max() < 2 * np.diff(mu).max()  # no jump
    assert bone_part(mu.astype(np.float32)).dtype == np.float32
    # Half way, the voxel holds half soft tissue and half cortical bone by volume.
    half = (1.1 * MU_WATER + CORTICAL_BONE.attenuation) / 2
    assert bone_part(np.array(half)) == pytest.approx(CORTICAL_BONE.attenuation / 2)


def test_a_block_of_bone_and_water_agrees_with_the_sum():
    hu = np.full((20, 20, 20), -1000.0, dtype=np.float32)
    hu[2:-2, 2:8, 2:-2] = 0
    hu[2:-2, 8:12, 2:-2] = 2000
    grid = Grid.centred((0, 0, 0), 20, 5.0)
    view = view_projection("AP", (0, 0, 0), (1, 1), 1.0, None)
    measured = render_drr(Volume(hu, grid), [view], exposure=Exposure(70))[0].line_integrals[0, 0]
    paths = {WATER: np.array([6 * 5 * MU_WATER]), CORTICAL_BONE: np.array([4 * 5 * 3 * MU_WATER])}
    assert measured == pytest.approx(fine_sum(70, paths)[0], rel=2e-3)


def test_the_volume_is_left_as_it_was(phantom_volume):
    from XRayTo3DLib.images.volume import to_attenuation

    mu = to_attenuation(phantom_volume)
    before = mu.array.copy()
    view = [fit_projection("AP", phantom_volume.grid, 16.0)]
    first, second = (render_drr(v, view, exposure=Exposure(80))[0].line_integrals for v in (mu, phantom_volume))
    np.testing.assert_array_equal(mu.array, before)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
