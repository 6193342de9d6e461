"""Blocks of pixels: each mean was measured, and stands at the middle of the pixels it is the mean of."""

import numpy as np
import pytest

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.pixel_matching import matched
from XRayTo3DLib.images.radiograph import Radiograph


def test_every_block_is_the_mean_of_the_pixels_at_its_place():
    for distance in (None, 1500.0):
        for size in ((24, 24), (25, 30), (31, 23), (29, 4), (3, 40), (2, 2)):
            projection = view_projection("RAO20CAUD10", (4, 5, 6), size, (1.5, 2.0), distance)
            # A plane over the detector: the mean of any pixels is its value at their middle. The edge continues nothing.
            ramp = (projection.rays()[0] if distance is None else projection.pixel_positions(np.argwhere(np.ones(size)))) @ [
                1,
                2,
                -3,
            ]
            found = matched(Radiograph(ramp.reshape(size).astype(np.float32), projection, "AP"), 7.0, np.array([4.0, 5, 6]))
            own = found.projection
            places = own.pixel_positions(np.argwhere(np.ones(own.size)))
            assert found.line_integrals.ravel() == pytest.approx(places @ [1, 2, -3], abs=2e-3), (distance, size)
            blocks = [round(new / old) for new, old in zip(own.spacing, projection.spacing, strict=True)]
            assert blocks == [min(n, most) for n, most in zip(size, (4, 3) if distance is None else (5, 4), strict=True)]
            assert own.spacing == pytest.approx([b * s for b, s in zip(blocks, projection.spacing, strict=True)])
            # What is left off is less than a block, and as much on one side as on the other to a pixel.
            corners = projection.project(own.pixel_positions(np.array([[-0.5, -0.5], np.array(own.size) - 0.5])))[:, ::-1]
            first, last = corners[0] + 0.5, np.array(size) - 0.5 - corners[1]
            assert (first > -1e-6).all() and (last > -1e-6).all()
            assert (first + last < np.array(blocks) - 0.5).all() and np.abs(first - last).max() < 1 + 1e-6


def test_a_bright_edge_counts_once():
    picture = np.zeros((10, 9), np.float32)
    picture[-1] = picture[:, -1] = 1000
    found = matched(Radiograph(picture, view_projection("AP", (0, 0, 0), (10, 9), 1.0, None), "AP"), 4.0, np.zeros(3))
    # Two rows and a column fill no block; a row of each side goes, and the last column.
    assert found.line_integrals.tolist() == [[0, 0], [0, 0]]
