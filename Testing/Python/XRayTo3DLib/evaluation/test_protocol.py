"""The protocol's grid is where the protocol says, whatever lies on the couch."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.protocol import body_centre, protocol_grid
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume


def ct(with_couch: bool) -> Volume:
    grid = Grid((80, 60, 70), (4.0, 4.0, 4.0), (-100.0, 50.0, 7.0))
    array = np.full(grid.shape, -1000, np.int16)
    array[:, 20:40, 10:50] = 0
    if with_couch:
        array[:, 50:52, 5:75] = 200
    return Volume(array, grid)


@pytest.mark.parametrize("with_couch", [False, True])
def test_grid_hangs_from_the_scans_top_centred_on_the_body(with_couch):
    volume = ct(with_couch)
    x, y = body_centre(volume)
    assert (x, y) == pytest.approx((-100 + 4 * 29.5, 50 + 4 * 29.5), abs=4.0)
    grid = protocol_grid(volume)
    assert grid.size == (64, 64, 64) and grid.spacing == (4.0, 4.0, 4.0)
    assert grid.origin[2] + 63 * 4.0 == pytest.approx(7.0 + 69 * 4.0)
    np.testing.assert_allclose(grid.centre[:2], [x, y])


def test_no_body_is_an_error():
    volume = ct(False)
    with pytest.raises(InputError, match="No body"):
        body_centre(Volume(np.full_like(volume.array, -900), volume.grid))
