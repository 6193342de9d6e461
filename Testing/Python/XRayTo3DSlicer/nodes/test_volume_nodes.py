"""A CT, a reconstruction and its uncertainty as volume nodes and back."""

import numpy as np
import pytest
import XRayTo3DSlicer
from scene_parts import values
from XRayTo3DSlicer.nodes import display, volume_nodes

from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation


@pytest.mark.parametrize("kind", ["oblique", "left_handed"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_volume_there_and_back(scene, request, kind, dtype):
    grid = request.getfixturevalue(kind)
    volume = Volume(values(grid, dtype), grid)
    node = volume_nodes.volume_to_node(volume, "CT")
    back = volume_nodes.volume_from_node(node)
    assert back.grid.same_as(grid, 1e-6)
    assert back.unit == "HU" and back.array.dtype == dtype
    np.testing.assert_array_equal(back.array, volume.array)


def test_volume_is_a_copy(scene, oblique):
    array = values(oblique)
    node = volume_nodes.volume_to_node(Volume(array, oblique), "CT")
    kept = array.copy()
    array[:] = 0
    first = volume_nodes.volume_from_node(node).array
    np.testing.assert_array_equal(first, kept)
    first[:] = 1
    np.testing.assert_array_equal(volume_nodes.volume_from_node(node).array, kept)


def test_reconstruction_is_shown_in_hu_and_its_attenuation_comes_back(scene, oblique):
    mu = np.random.default_rng(0).uniform(0, 2 * MU_WATER, oblique.shape).astype(np.float32)
    node = volume_nodes.volume_to_node(Volume(mu, oblique, "1/mm"), "Reconstruction")
    assert node.GetAttribute("XRayTo3D.Unit") == "HU"
    assert node.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"
    np.testing.assert_allclose(to_attenuation(volume_nodes.volume_from_node(node)).array, mu, atol=1e-8)
    shown = node.GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel()) == (display.CT_WINDOW, display.CT_LEVEL)
    assert not shown.GetAutoWindowLevel()


def test_deviation_is_zero_where_nothing_is_uncertain(scene, oblique):
    deviation = np.zeros(oblique.shape, np.float32)
    deviation[2, 2, 2] = MU_WATER / 10
    node = volume_nodes.deviation_to_node(Volume(deviation, oblique, "1/mm"), "Uncertainty")
    back = volume_nodes.volume_from_node(node).array
    assert back[2, 2, 2] == pytest.approx(100) and back.sum() == pytest.approx(100)


def test_node_modules_can_be_named_from_the_package():
    assert XRayTo3DSlicer.volume_nodes is volume_nodes
    with pytest.raises(AttributeError, match="no attribute 'volumes'"):
        _ = XRayTo3DSlicer.volumes
