"""Simulated display processing: seeded, monotone where it is a curve, and never more than it says."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.simulation.display_processing import DisplayProcessing, process

ROW = np.linspace(0, 5, 64)
RAMP = Radiograph(np.tile(ROW, (64, 1)).astype(np.float32), view_projection("AP", (0, 0, 0), (64, 64), 4.0, None), "AP")


def test_a_curve_alone_keeps_the_order_and_a_window_alone_the_line():
    straight = process(RAMP, DisplayProcessing(white=1.1)).line_integrals
    np.testing.assert_allclose(straight[0], ROW / (1.1 * 5.0), atol=1e-6)  # 99.5 % of the ramp lie below its last pixel
    for curved in (DisplayProcessing(gamma=0.6), DisplayProcessing(steepness=2.0, middle=0.4), DisplayProcessing(bits=8)):
        made = process(RAMP, curved, white=5.0)
        assert (np.diff(made.line_integrals[0]) >= 0).all() and made.unknown == UNKNOWN and not made.calibrated
        assert made.line_integrals.min() >= 0 and abs(made.line_integrals.max() - 5) < 1e-6


def test_a_seed_is_a_console():
    made = [process(RAMP, DisplayProcessing.random(seed)).line_integrals for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    some = [DisplayProcessing.random(seed) for seed in range(60)]
    for word in ("compression", "sharpening", "equalisation", "steepness"):
        used = sum(getattr(one, word) > 0 for one in some)
        assert 5 < used < 55, word


def test_sharpening_overshoots_at_an_edge_and_what_means_nothing_is_refused():
    edge = np.where(np.arange(64) < 32, 1.0, 3.0)
    picture = Radiograph(np.tile(edge, (64, 1)).astype(np.float32), RAMP.projection, "AP")
    row = process(picture, DisplayProcessing(sharpening=0.5, sharpening_mm=8.0, white=2.0)).line_integrals[32]
    assert row[32] > row[-1] + 0.05 and row[31] < row[0] - 0.05
    for wrong in ({"compression": 1.5}, {"black": 1.0}, {"gamma": 0.0}):
        with pytest.raises(InputError, match="means nothing"):
            DisplayProcessing(**wrong)
