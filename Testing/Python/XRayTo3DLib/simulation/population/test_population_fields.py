from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.simulation.population.fields import (
    check_axes,
    displaced,
    exponential,
    jacobian_determinants,
    node_points,
    resampled,
    sample,
)

GRID = Grid((17, 15, 13), (8.0, 8.0, 10.0), (-64.0, -56.0, -60.0))


def linear(matrix: np.ndarray) -> torch.Tensor:
    """The velocity ``matrix @ x``."""
    return (node_points(GRID) @ torch.tensor(matrix, dtype=torch.float32).T).permute(3, 0, 1, 2)


def test_the_exponential_is_that_of_the_matrix_and_its_inverse_that_of_the_negative_field():
    assert node_points(GRID)[2, 1, 3].tolist() == [-40.0, -48.0, -40.0]
    matrix = np.array([[0.2, 0.1, 0.0], [-0.15, -0.1, 0.05], [0.0, 0.1, 0.15]])
    points = torch.tensor([[10.0, -8.0, 5.0], [-12.0, 4.0, -20.0]])
    moved = displaced(points, exponential(linear(matrix), GRID), GRID)
    np.testing.assert_allclose(moved.numpy(), points.numpy() @ expm(matrix).T, atol=0.1)
    there_and_back = displaced(moved, exponential(-linear(matrix), GRID), GRID)
    np.testing.assert_allclose(there_and_back.numpy(), points.numpy(), atol=0.1)
    shift = torch.zeros((3, *GRID.shape)) + torch.tensor([3.0, -2.0, 50.0])[:, None, None, None]
    np.testing.assert_allclose(exponential(shift, GRID).numpy(), shift.numpy(), atol=1e-4)
    determinants = jacobian_determinants(exponential(linear(matrix), GRID), GRID)[5:7, 6:8, 7:9]
    np.testing.assert_allclose(determinants.numpy(), np.exp(np.trace(matrix)), rtol=0.02)


def test_a_field_that_folds_as_a_displacement_does_not_as_a_velocity():
    generator = torch.Generator().manual_seed(1)
    coarse = Grid((5, 5, 5), (32.0, 28.0, 30.0), GRID.origin)
    nodes = torch.zeros((3, 5, 5, 5))
    nodes[:, 1:4, 1:4, 1:4] = 30 * torch.randn((3, 3, 3, 3), generator=generator)
    rough = resampled(nodes, coarse, GRID)
    assert int((jacobian_determinants(rough, GRID) <= 0).sum()) > 100
    fine = GRID.resized(tuple(3 * n for n in GRID.size))
    moved = exponential(resampled(rough, GRID, fine), fine)
    assert int((jacobian_determinants(moved, fine) <= 0).sum()) == 0


def test_values_between_nodes_beyond_them_and_grids_that_are_not_aligned():
    values = node_points(GRID)[..., :1].permute(3, 0, 1, 2)
    points = torch.tensor([[-60.0, 0.0, 0.0], [-90.0, 0.0, 0.0]])
    assert sample(values, GRID, points)[:, 0].tolist() == [-60.0, -64.0]
    assert sample(values, GRID, points, "zeros")[1, 0] == 0
    check_axes(GRID)
    turned = Grid((4, 4, 4), (1.0, 1.0, 1.0), direction=np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]]))
    with pytest.raises(InputError, match="aligned with LPS"):
        check_axes(turned)
