"""Segmentations come back from .seg.nrrd as they were written, with the colours and codes of the one catalogue."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.catalogue import CATALOGUE, COLOURS, structure_colour, terminology
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample_labels, resample_mask
from XRayTo3DLib.io.segmentations import read_labelmap, write_segmentation

GRID = Grid((7, 6, 5), (2.0, 3.0, 4.0), (-5.0, 6.0, 7.0), np.diag([-1.0, -1.0, 1.0]))


def test_a_segmentation_is_read_as_it_was_written(tmp_path):
    labels = np.random.default_rng(4).integers(0, 4, GRID.shape).astype(np.uint8)
    names = {2: "bone", 1: "left femur", 3: "Fémur droit"}
    write_segmentation(Labelmap(labels, GRID, names), tmp_path / "a.seg.nrrd")
    found = read_labelmap(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(found.array, labels)
    assert list(found.names.items()) == list(names.items()) and found.grid.same_as(GRID)
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    colours = [tuple(map(float, image.GetMetaData(f"Segment{n}_Color").split())) for n in range(3)]
    orange, blue, yellow, *_ = COLOURS.values()
    np.testing.assert_allclose(colours, [CATALOGUE["bone"].colour, blue, yellow], atol=1e-5)
    assert structure_colour("other", 7) == structure_colour("other", 0) == orange
    tags = [image.GetMetaData(f"Segment{n}_Tags") for n in range(3)]
    assert "SCT^272673000^Bone" in tags[0] and not any("SCT" in tag for tag in tags[1:]) and terminology("left femur") is None


def test_labels_and_masks_on_another_grid():
    labels = np.zeros(GRID.shape, np.int32)
    labels[1:3, 2:4, 3:5] = 70000  # any type of whole numbers
    fine = Grid((14, 12, 10), (1.0, 1.5, 2.0), GRID.origin, GRID.direction)
    moved = resample_labels(labels, GRID, fine)
    assert moved.dtype == np.int32 and set(np.unique(moved)) == {0, 70000}
    np.testing.assert_array_equal(moved[::2, ::2, ::2], labels)
    assert resample_labels(labels, GRID, GRID) is labels
    mask = resample_mask(labels > 0, GRID, fine)
    np.testing.assert_array_equal(mask[::2, ::2, ::2], labels > 0)
    assert mask[3, 5, 7] and not mask[3, 5, 11]
    # What touches the border reaches to the faces of its voxels, not only to their centres.
    beyond = Grid((1, 1, 1), (1.0, 1.0, 1.0), GRID.affine[:3, :3] @ np.array([-0.4, 2, 2]) + GRID.affine[:3, 3])
    assert resample_mask(np.ones(GRID.shape, bool), GRID, beyond).all()
