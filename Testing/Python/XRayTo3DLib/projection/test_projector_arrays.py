"""Arrays of all kinds that users hold volumes and pictures in."""

import warnings

import numpy as np
import pytest
import torch
from beams import LEANS, beams, grid_of
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.projection.projector import Preview, backproject, project


def other_kinds(array):
    """The same numbers in arrays that torch takes only with help, or complains about."""
    read_only = array.copy()
    read_only.setflags(write=False)
    return {
        "reversed": array[::-1].copy()[::-1],
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "little-endian": array.astype(array.dtype.newbyteorder("<")),
        "read-only": read_only,
        "column by column": np.asfortranarray(array),
        "every other": np.repeat(array, 2, axis=-1)[..., ::2],
    }


@each("dtype", [np.float32, np.float64])
def test_any_layout_gives_the_same_picture(rng, back_end, dtype):
    grid = grid_of("oblique")
    view = beams(grid, 1, 1, LEANS["leaning"])["cone"]
    volume = rng.random(grid.shape).astype(dtype)
    (expected,) = project(volume, grid, [view])
    (preview,) = Preview(volume, grid).project([view])
    back = backproject([expected], grid, [view])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, other in other_kinds(volume).items():
            assert torch.equal(project(other, grid, [view])[0], expected), kind
            assert torch.equal(Preview(other, grid).project([view])[0], preview), kind
        for kind, other in other_kinds(expected.numpy()).items():
            assert torch.equal(backproject([other], grid, [view]), back), kind


@each("dtype", [np.int16, np.uint8, np.uint16, np.bool_])
def test_whole_numbers_count_as_float32(rng, back_end, dtype):
    grid = grid_of("straight")
    view = beams(grid, 2, -1, LEANS["steep"])["parallel"]
    volume = rng.integers(0, 2, grid.shape).astype(dtype)
    (found,) = project(volume, grid, [view])
    assert found.dtype == torch.float32
    assert torch.equal(found, project(volume.astype(np.float32), grid, [view])[0])


def test_complex_numbers_are_refused(rng):
    grid = grid_of("straight")
    view = beams(grid, 1, 1, LEANS["steep"])["cone"]
    with pytest.raises(InputError, match="real part"):
        project(rng.random(grid.shape) + 1j, grid, [view])
    with pytest.raises(InputError, match="real part"):
        backproject([np.full(view.size, 1j)], grid, [view])
