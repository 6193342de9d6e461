from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

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


def test_real_lungs_and_bones_against_a_reference(real_ct, shared):
    path = shared / "data" / "torso" / "lidc_0001_chest.labels.nii.gz"
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    labels = segment_ct(real_ct)
    lungs = (reference >= 10) & (reference <= 14)
    assert metrics.dice(labels.mask("lungs"), lungs) > 0.96
    assert metrics.hd95_mm(labels.mask("lungs"), lungs, real_ct.grid) < 5
    bone = labels.mask("bone")
    assert bone[reference == 51].mean() < 0.15  # the heart is full of contrast agent
    vertebrae = (reference >= 26) & (reference <= 50) & (real_ct.array > 250)
    assert bone[vertebrae].mean() > 0.8
    assert 900 < metrics.volume_ml(bone, real_ct.grid) < 1600


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
