"""The protocol's grid is where the protocol says, whatever lies on the couch."""

from __future__ import annotations

import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.protocol import body_centre, protocol_grid, scan_top
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume


def ct(with_couch: bool) -> Volume:
    grid = Grid((80, 60, 70), (4.0, 4.0, 4.0), (-100.0, 50.0, 7.0))
    array = np.full(grid.shape, -1000, np.int16)
    array[:, 20:40, 10:50] = 0
    if with_couch:
        array[:, 50:52, 5:75] = 200
    return Volume(array, grid)


@each("with_couch", [False, True])
def test_grid_hangs_from_the_scans_top_centred_on_the_body(with_couch):
    volume = ct(with_couch)
    x, y = body_centre(volume)
    assert (x, y) == pytest.approx((-100 + 4 * 29.5, 50 + 4 * 29.5), abs=4.0)
    grid = protocol_grid(volume)
    assert grid.size == (64, 64, 64) and grid.spacing == (4.0, 4.0, 4.0)
    assert grid.origin[2] + 63 * 4.0 == pytest.approx(7.0 + 69 * 4.0)
    np.testing.assert_allclose(grid.centre[:2], [x, y])


def turned(volume: Volume, direction: np.ndarray) -> Volume:
    """The volume interpolated onto a grid of its own spacing with another direction, that holds all of it."""
    grid = volume.grid
    reach = np.ceil(np.ptp(grid.corners, axis=0) @ np.abs(direction) / grid.spacing).astype(int) + 2
    first = grid.centre - direction @ ((reach - 1) / 2 * np.array(grid.spacing))
    return resample(volume, Grid(tuple(reach), grid.spacing, tuple(first), direction))


def test_the_grid_is_the_same_for_a_scan_of_any_direction():
    volume = ct(True)
    wanted = protocol_grid(volume)
    for direction in (np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, 1.0, -1.0]), np.eye(3)[:, [2, 0, 1]]):
        size = np.abs(direction).T @ volume.grid.size
        first = volume.grid.centre - direction @ ((size - 1) / 2 * 4.0)
        stored = resample(volume, Grid(tuple(size), (4.0,) * 3, tuple(first), direction))
        assert protocol_grid(stored).same_as(wanted, 1e-9)
    # Turned on the couch, the box around the body is as it lies, and the top is the top.
    angle = np.radians(10)
    oblique = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    found = protocol_grid(turned(volume, oblique))
    assert np.abs(np.array(found.origin[:2]) - wanted.origin[:2]).max() <= 4
    assert found.origin[2] - wanted.origin[2] == pytest.approx(4, abs=4)  # the turned grid holds up to two slices more


def test_the_top_of_a_tilted_scan_is_above_the_body():
    angle = np.radians(15)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    grid = Grid((80, 60, 70), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0), tilt)
    index = np.array([30.0, 12.0, 69.0, 1.0])
    x, y, z = (grid.affine @ index)[:3]
    array = np.full(grid.shape, -1000, np.int16)
    assert scan_top(Volume(array, grid), x, y) == pytest.approx(z)
    # Beside the scan there is no top: the middle's is taken.
    middle = scan_top(Volume(array, grid), grid.centre[0], grid.centre[1])
    assert scan_top(Volume(array, grid), 5000.0, y) == pytest.approx(middle)


def test_no_body_is_an_error():
    volume = ct(False)
    with pytest.raises(InputError, match="No body"):
        body_centre(Volume(np.full_like(volume.array, -900), volume.grid))
