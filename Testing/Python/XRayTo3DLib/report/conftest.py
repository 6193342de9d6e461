"""What the tests of reports share: the surface of a ball."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.geometry.grid import Grid


@pytest.fixture
def ball():
    """Makes the surface of a ball with a radius of 30 mm, moved along x by some voxels of 5 mm."""
    grid = Grid.centred((0, 0, 0), 24, 5.0)
    z, y, x = np.indices(grid.shape) - 11.5
    return lambda shift, name: extract_surface((x - shift) ** 2 + y**2 + z**2 < 36, grid, name)
