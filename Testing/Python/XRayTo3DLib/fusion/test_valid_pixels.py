"""Pixels that are no measurements pull nothing and count nowhere, from the averaging of pixels to the fused volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.fusion.closed_form import distribute, fuse_slabs
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.fusion.reprojection import errors_of, reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.inpainting import filled
from XRayTo3DLib.images.pixel_matching import matched
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((0, 0, 0), (24, 20, 28), 14.0)


def masked(radiograph: Radiograph, window: tuple[slice, slice], value: float) -> Radiograph:
    """The radiograph with other values in a window, which are no measurement."""
    values, valid = radiograph.line_integrals.copy(), np.ones(radiograph.projection.size, bool)
    values[window], valid[window] = value, False
    return replace(radiograph, line_integrals=values, valid=valid)


@pytest.mark.parametrize("distance", [1500.0, None])
def test_a_letter_in_one_view_changes_nothing_but_its_own_rays(phantom, distance):
    truth = Volume(to_attenuation(phantom.volume(GRID)).array, GRID, "1/mm")
    views = [view_projection(word, GRID.centre, (34, 30), 13.0, distance) for word in ("AP", "LAT")]
    ap, lateral = render_drr(phantom.volume(GRID), views, ["AP", "LAT"])
    start = Volume(np.where(truth.array > 0.002, 0.015, 0).astype(np.float32), GRID, "1/mm")
    letter = (slice(9, 13), slice(12, 16))  # inside the body
    dark, bright = (masked(ap, letter, value) for value in (0.0, 9.0))
    whole, one, other, believed = (
        fuse(start, [view, lateral], tolerance=1e-3) for view in (ap, dark, bright, replace(bright, valid=None))
    )
    assert np.array_equal(one.volume.array, other.volume.array) and one.errors == other.errors
    behind = reproject(Volume(np.ones(GRID.shape, np.float32), GRID, "1/mm"), [ap])[0] > 0
    assert behind[letter].all() and max(one.errors) < 2e-3
    off, off_believed = (np.abs(found.volume.array - whole.volume.array).mean() for found in (one, believed))
    assert off < 0.1 * off_believed
    # What no ray of the letter crosses is as it would be without it, but for what the lateral view shares out in those slices.
    slices = np.abs(one.volume.array - whole.volume.array).max(axis=(1, 2))
    touched = np.flatnonzero(slices > 0.02 * truth.array.max())
    rows = 28 - np.interp([9 - 3, 13 + 3], [0, 33], [0, 28])
    assert touched.min() > rows.min() - 4 and touched.max() < rows.max() + 4
    assert errors_of([bright], [ap.line_integrals]) == pytest.approx([0.0], abs=1e-9)


def test_the_closed_form_leaves_rays_that_were_not_measured_as_they_are(rng):
    values, measured = rng.uniform(0, 0.03, (12, 6, 7)), rng.uniform(0.5, 4, (6, 7))
    valid = rng.random((6, 7)) > 0.3
    found = distribute(values, np.where(valid, measured, np.nan), 2.0, valid=valid)
    np.testing.assert_array_equal(found[:, ~valid], values[:, ~valid])
    np.testing.assert_allclose(found.sum(axis=0)[valid] * 2.0, measured[valid], rtol=1e-9)
    volume = Volume(values.astype(np.float32), Grid.centred((0, 0, 0), (7, 6, 12), 2.0), "1/mm")
    beam = view_projection((0, 0, 1), (0, 0, 0), (6, 7), 2.0, None)
    pictures = [np.where(valid, measured, junk).astype(np.float32) for junk in (0.0, 50.0)]
    slabs = [list(fuse_slabs(volume, Radiograph(p, beam, "up", valid=valid), 2.0, rows=4)) for p in pictures]
    assert all(np.array_equal(a.array, b.array) for a, b in zip(*slabs, strict=True))


def test_means_of_pixels_are_those_of_the_valid_ones(rng):
    values = rng.uniform(0, 4, (12, 18)).astype(np.float32)
    valid = np.ones((12, 18), bool)
    valid[0:4, 0:4] = valid[5, 7] = valid[8:10, 6:12] = False
    beam = view_projection("AP", size=(12, 18), spacing=1.0, source_to_detector=None)
    for junk in (0.0, 1e6):
        found = matched(Radiograph(np.where(valid, values, junk).astype(np.float32), beam, "AP", valid=valid), 4.0, np.zeros(3))
        blocks = np.ma.array(values[:, 1:17], mask=~valid[:, 1:17]).reshape(3, 4, 4, 4)
        np.testing.assert_allclose(found.line_integrals[found.valid], blocks.mean(axis=(1, 3))[found.valid], rtol=1e-5)
        assert np.array_equal(found.valid, (~blocks.mask).mean(axis=(1, 3)) >= 0.5) and not found.valid.all()
    alone = matched(Radiograph(np.where(valid, values, 1e6).astype(np.float32), beam, "AP", valid=valid), 1.0, np.zeros(3))
    assert (alone.line_integrals[~valid] == 0).all() and np.array_equal(alone.valid, valid)


def test_holes_are_filled_by_what_is_around_them():
    rows, columns = np.mgrid[:41, :58]
    smooth = (3 + np.sin(rows / 15) + np.cos(columns / 20)).astype(np.float32)
    valid = np.ones(smooth.shape, bool)
    valid[10:16, 20:26] = valid[:, :5] = valid[30, 40] = False
    beam = view_projection("AP", size=smooth.shape, spacing=1.0)
    one, other = (filled(Radiograph(np.where(valid, smooth, junk).astype(np.float32), beam, "AP", valid=valid)) for junk in (0, 99))
    assert np.array_equal(one, other) and np.array_equal(one[valid], smooth[valid])
    assert np.abs(one - smooth)[8:18, 18:28].max() < 0.1 and abs(one[30, 40] - smooth[30, 40]) < 0.05
    assert np.abs(one - smooth).max() < 0.3
    assert filled(Radiograph(smooth, beam, "AP")) is smooth or np.array_equal(filled(Radiograph(smooth, beam, "AP")), smooth)
