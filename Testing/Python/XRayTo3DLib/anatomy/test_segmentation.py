from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom, thorax_phantom


@pytest.fixture(scope="module")
def phantom_labels(phantom_volume):
    return segment_ct(phantom_volume)


def test_phantom_structures(phantom_volume, phantom_labels):
    hu = phantom_volume.array
    assert phantom_labels.names == {1: "body", 2: "lungs", 3: "bone"}
    assert phantom_labels.array.dtype == np.uint8
    whole = phantom_labels.array > 0
    lungs = whole & (hu < -415) & (hu > -900)
    lungs &= np.abs(np.arange(hu.shape[2]) - 47.5) * 4 > 24  # without the trachea's partial voxels
    assert metrics.dice(phantom_labels.mask("lungs"), lungs) > 0.95
    assert metrics.dice(phantom_labels.mask("bone"), hu > 160) > 0.95
    assert metrics.volume_ml(whole, phantom_volume.grid) == pytest.approx(
        metrics.volume_ml(hu > -300, phantom_volume.grid) + metrics.volume_ml(lungs, phantom_volume.grid), rel=0.02
    )


def test_attenuation_gives_the_same(phantom_volume, phantom_labels):
    assert np.array_equal(segment_ct(to_attenuation(phantom_volume)).array, phantom_labels.array)


def test_couch_and_tubes_are_not_body(phantom_volume, phantom_labels):
    hu = phantom_volume.array.copy()
    hu[:, 68, 10:86] = 100  # a plate under the patient
    hu[20:60, 3, 40] = 300  # a line above
    found = segment_ct(Volume(hu, phantom_volume.grid))
    assert np.array_equal(found.array[:, 67:], phantom_labels.array[:, 67:])
    assert metrics.dice(found.array > 0, phantom_labels.array > 0) > 0.999


def test_any_spacing_and_any_axis_order(phantom_labels):
    # The same thorax with the patient's long axis along the rows of the array, mirrored, on 3 x 5 x 4 mm.
    direction = np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]])
    size, spacing = np.array([104, 76, 60]), np.array([3.0, 5.0, 4.0])
    grid = Grid(tuple(size), tuple(spacing), tuple(-direction @ (spacing * (size - 1) / 2)), direction)
    found = segment_ct(thorax_phantom().volume(grid))
    for name, tolerance in (("lungs", 0.06), ("bone", 0.12), ("body", 0.05)):
        own, other = metrics.volume_ml(found.mask(name), grid), metrics.volume_ml(phantom_labels.mask(name), phantom_labels.grid)
        assert own == pytest.approx(other, rel=tolerance), name


def test_fine_voxels_are_worked_on_coarsely_and_put_back():
    lung = Ellipsoid((3, 0, 0), (26, 24, 28), 0.0193)
    chest = Phantom((Ellipsoid((0, 0, 0), (46, 36, 40), 0.0193), replace(lung, difference=-0.8 * 0.0193)))
    grid = Grid.centred((0, 0, 0), (131, 99, 57), (0.8, 0.8, 1.6))
    volume = chest.volume(grid)
    labels = segment_ct(volume)
    assert labels.grid is grid
    lungs = Phantom((lung,)).volume(grid).array > -500
    assert metrics.dice(labels.mask("lungs"), lungs) > 0.97
    assert metrics.hd95_mm(labels.mask("lungs"), lungs, grid) < 1.7
    assert not labels.mask("bone").any()


def test_gas_outside_and_in_the_bowel_is_not_lung(phantom_volume):
    hu = phantom_volume.array.copy()
    hu[6:16, 30:42, 20:40] = -1000
    labels = segment_ct(Volume(hu, phantom_volume.grid))
    assert not labels.mask("lungs")[8:14, 32:40, 22:38].any()
    assert labels.mask("body")[8:14, 32:40, 22:38].all()


def test_contrast_agent_in_a_thick_vessel_is_not_bone(phantom_volume, phantom_labels):
    bright = phantom_volume.array.copy()
    index = np.indices(bright.shape)[::-1].reshape(3, -1).T * 4.0 + phantom_volume.grid.origin
    heart = (((index - [10, -24, -38]) / [40, 34, 40]) ** 2).sum(axis=1).reshape(bright.shape) < 1
    bright[heart & (bright > -100)] = 350
    labels = segment_ct(Volume(bright, phantom_volume.grid))
    assert labels.mask("bone")[heart].mean() < 0.1
    elsewhere = ~heart
    assert metrics.dice(labels.mask("bone") & elsewhere, phantom_labels.mask("bone") & elsewhere) > 0.9


def test_nothing_but_air_is_refused():
    with pytest.raises(InputError, match="No body"):
        segment_ct(Volume(np.full((20, 20, 20), -1000.0, dtype=np.float32), Grid((20, 20, 20), (4.0, 4.0, 4.0))))


#: Voxels (z,y,x) of the public chest CT in structures of a reference segmentation (TotalSegmentator), drawn at random; those of
#: vertebrae above 250 HU, and those beside the lungs at most 12 mm from them.
REFERENCE = {
    "lungs": (
        "110,93,126 63,103,85 152,108,111 101,48,68 52,117,140 118,93,71 111,122,55 94,57,79 121,90,98 48,128,121 90,129,120 "
        "138,81,115 129,68,49 97,59,63 108,90,139 128,107,64 84,111,122 54,116,102 39,116,76 125,119,61 113,101,124 73,53,62 "
        "36,115,43 110,121,128 80,106,98 146,79,112 61,103,46 124,123,54 103,82,122 84,57,46 100,87,129 91,116,128 62,89,150 "
        "103,96,120 111,108,67 129,108,71 135,94,48 125,103,41 51,99,86 111,131,115"
    ),
    "heart": (
        "107,76,95 104,89,76 72,63,88 115,93,94 68,68,91 107,73,101 78,95,95 83,93,111 107,85,95 101,90,82 84,98,101 75,64,104 "
        "82,89,119 66,74,116 101,68,102 115,88,95 102,74,91 106,85,97 66,72,102 84,78,104 80,93,109 80,82,126 72,65,114 "
        "84,89,82 90,66,105 64,62,107 79,91,111 69,57,116 83,64,82 86,73,121 77,99,96 78,63,129 84,82,107 76,77,111 72,66,111 "
        "66,71,88 89,93,84 108,81,90 78,78,87 76,94,106"
    ),
    "vertebrae": (
        "29,119,87 113,130,87 142,123,82 120,112,83 15,104,86 29,124,92 8,113,84 65,126,91 141,121,80 15,107,83 158,92,83 "
        "46,134,88 4,109,85 162,102,80 158,100,89 76,144,84 157,103,86 104,119,81 6,110,97 154,98,87 123,135,82 69,128,80 "
        "94,120,81 3,102,87 72,127,89 24,118,93 153,95,86 35,112,83 139,120,86 18,122,92 158,103,83 37,115,85 130,112,80 "
        "1,114,95 58,133,88 13,121,92 55,134,85 146,97,78 24,108,104 70,133,77"
    ),
    "beside_lungs": (
        "64,118,32 147,94,130 54,130,132 140,81,91 77,101,95 30,117,38 111,75,143 68,138,110 51,114,139 149,79,119 145,102,131 "
        "100,97,30 68,94,29 36,127,53 154,104,93 104,133,125 132,90,138 56,132,71 89,125,39 126,126,54 78,110,95 77,67,149 "
        "52,116,110 90,48,102 100,92,144 72,68,43 72,113,146 88,97,109 105,52,104 82,66,144 152,103,93 96,62,33 127,76,76 "
        "130,122,88 112,91,70 106,129,127 81,91,151 47,135,125 105,74,29 83,138,119"
    ),
}


def test_real_lungs_and_bones_against_a_reference(real_ct):
    labels = segment_ct(real_ct)

    def share(where: str, structure: str) -> float:
        voxels = np.array([voxel.split(",") for voxel in REFERENCE[where].split()], dtype=int)
        return float(labels.mask(structure)[tuple(voxels.T)].mean())

    assert share("lungs", "lungs") > 0.9 and share("beside_lungs", "lungs") < 0.06
    assert share("heart", "bone") < 0.16  # it is full of contrast agent
    assert share("vertebrae", "bone") > 0.9
    assert metrics.volume_ml(labels.mask("lungs"), labels.grid) == pytest.approx(3689, rel=0.04)  # the reference's
    assert 900 < metrics.volume_ml(labels.mask("bone"), real_ct.grid) < 1600


def test_real_ct_as_blurred_as_a_reconstruction(real_ct):
    fine = segment_ct(real_ct)
    grid = Grid.centred(real_ct.grid.centre, (92, 92, 84), 4.0)
    coarse = segment_ct(resample(real_ct, grid, smooth=True))
    for name, share in (("lungs", 0.1), ("bone", 0.35)):
        volumes = [metrics.volume_ml(found.mask(name), found.grid) for found in (fine, coarse)]
        assert volumes[1] == pytest.approx(volumes[0], rel=share), name


def test_a_haze_around_the_body_is_no_lung(phantom_volume):
    """A reconstruction from one view fades into the air: at -900 HU that air is not pure, and still outside."""
    hazy = Volume(np.maximum(phantom_volume.array, -900), phantom_volume.grid)
    found, clear = segment_ct(hazy).mask("lungs"), segment_ct(phantom_volume).mask("lungs")
    assert metrics.dice(found, clear) > 0.95


def test_lungs_behind_a_faint_wall_are_found_in_a_reconstruction_alone():
    """A chest whose front wall is -600 HU over the lungs, as one view leaves it, and an arm beside it with pure air between."""
    grid = Grid.centred((0, 0, 0), (80, 60, 40), 5.0)
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 5.0 for n in (40, 60, 80)), indexing="ij")
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu[(x / 150) ** 2 + (y / 110) ** 2 < 1] = 40
    lungs = (((np.abs(x) - 70) / 50) ** 2 + (y / 75) ** 2 < 1) & (np.abs(z) < 70)
    hu[lungs] = -850
    faint = (np.abs(np.abs(x) - 70) < 30) & (y < -50) & (np.abs(z) < 70) & (hu > 0)
    hu[faint] = -600
    hu[(np.abs(x - 178) < 12) & (np.abs(y) < 60)] = 40
    true = lungs.sum() * 0.125
    found = [(segment_ct(Volume(hu, grid), thin).array == 2).sum() * 0.125 for thin in (False, True)]
    assert found[0] < 0.2 * true and true < found[1] < 1.35 * true
    gap = (x > 152) & (x < 164) & (np.abs(y) < 40)
    assert not (segment_ct(Volume(hu, grid), thin_walls=True).array[gap] == 2).any()


def test_a_body_with_a_blurred_edge_begins_further_out_in_a_reconstruction():
    """A cylinder fades from 0 HU at 90 mm to -1000 HU at 110 mm: it begins at -300 HU in a CT, at -400 HU in a reconstruction."""
    grid = Grid.centred((0, 0, 0), (128, 128, 8), 2.0)
    radius = np.hypot(*np.meshgrid(*2 * [(np.arange(128) - 63.5) * 2.0]))
    hu = np.broadcast_to(np.clip((90 - radius) * 50, -1000, 0).astype(np.float32), grid.shape)
    for thin, edge in ((False, 96.0), (True, 98.0)):
        area = (segment_ct(Volume(hu, grid), thin).array[4] > 0).sum() * 4.0
        assert np.sqrt(area / np.pi) == pytest.approx(edge, abs=0.3)
