"""Grids and projections as values: frozen with all their arrays, equal by their numbers, and what is done to them."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection

ARRAYS = {
    Grid: ("direction", "affine", "to_index", "centre", "corners"),
    Projection: (
        *("origin", "row_direction", "column_direction", "source", "ray_direction", "normal", "centre"),
        *("beam_direction", "matrix", "detector_affine"),
    ),
}


@pytest.fixture
def oblique(turn) -> Grid:
    return Grid((4, 5, 6), (1.0, 2.0, 3.0), (7.1, 8.2, -9.3), turn * [1, -1, 1])


@pytest.fixture
def values(oblique):
    return [
        oblique,
        Grid.centred((0, 0, 0), 8),
        view_projection("LAO30CRAN15", (10, -20, 30), (40, 50), (1.5, 2.0), 1000.0, 700.0),
        view_projection("AP+10", (10, -20, 30), (40, 50), (1.5, 2.0), None, 100.0),
    ]


def test_no_array_of_a_value_or_of_its_copies_can_be_written_to(values):
    for value in values:
        for own in (value, pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value), replace(value)):
            for name in ARRAYS[type(value)]:
                array = getattr(own, name)
                while isinstance(array, np.ndarray):  # the array and all that it is a view of
                    assert not array.flags.writeable, name
                    with pytest.raises(ValueError, match="WRITEABLE"):
                        array.setflags(write=True)
                    array = array.base
    given = np.eye(3)
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), direction=given)
    given[0, 0] = 5
    assert grid.direction[0, 0] == 1


def test_values_are_equal_by_their_numbers_and_can_be_keys(values):
    for value in values:
        for same in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), replace(value)):
            assert same == value and hash(same) == hash(value)
        stored = json.loads(json.dumps(value.to_dict(), allow_nan=False))
        assert type(value).from_dict(stored) == value
        assert value != "a text" and value is not None and value != values[values.index(value) - 1]
    assert len({*values, *map(copy.deepcopy, values)}) == len(values)
    grid, view = values[0], values[2]
    changed = (
        replace(grid, size=(4, 5, 7)),
        replace(grid, spacing=(1.0, 2.0, 3.0000001)),
        replace(grid, origin=(7.1, 8.2, -9.30001)),
        replace(grid, direction=grid.direction @ np.diag([1, 1, -1.0])),
        replace(view, origin=view.origin + 1e-6),
        replace(view, row_direction=-view.row_direction),
        replace(view, column_direction=-view.column_direction),
        replace(view, spacing=(1.5, 2.1)),
        replace(view, size=(40, 51)),
        replace(view, source=view.source + 1e-6),
        replace(view, source=None, ray_direction=view.beam_direction),
    )
    assert len({*changed, grid, view}) == len(changed) + 2
    # Equal numbers hash alike whatever the sign of their zeros.
    one, other = (Grid((2, 2, 2), (1.0, 1.0, 1.0), (zero, 0, 0), np.eye(3) + zero) for zero in (0.0, -0.0))
    assert one == other and hash(one) == hash(other)


def test_stored_values_that_are_damaged_are_one_sentence(values):
    for value in values[1:]:
        good, kind = value.to_dict(), type(value)
        damaged = [None, [], "text", {}, {**good, "more": 1}, {**good, "size": None}, {**good, "size": ["a", "b", "c"]}]
        damaged += [{k: v for k, v in good.items() if k != name} for name in ("size", "spacing", "origin")]
        damaged += [{**good, "spacing": [1, [2], 3]}, {**good, "origin": [1, 2, float("nan")]}, {**good, "origin": {"x": 1}}]
        damaged += [{**good, "size": [2.5] * len(good["size"])}, {**good, "spacing": [True] * len(good["spacing"])}]
        for stored in damaged:
            with pytest.raises(InputError):
                kind.from_dict(stored)
    both = {**values[2].to_dict(), "ray_direction": [0, 1, 0]}
    with pytest.raises(InputError, match="either a source"):
        Projection.from_dict(both)


def test_wrong_types_are_one_sentence():
    for size in (None, "abc", (4, 4), (4, 4, 2.5), (4, 4, "4"), (4, 4, np.nan), [[4, 4, 4]], (True,) * 3):
        with pytest.raises(InputError, match="three sizes"):
            Grid(size, (1.0, 1.0, 1.0))
    for spacing in (None, 1.0, ("1", "1", "1"), (1, 1), (1, 1, np.inf), (1, 1, -1), (1, [1], 1)):
        with pytest.raises(InputError, match="voxel spacing"):
            Grid((4, 4, 4), spacing)
    for direction in (None, "text", np.ones((3, 3)), np.eye(4), np.full((3, 3), np.nan)):
        with pytest.raises(InputError, match="direction matrix"):
            Grid((4, 4, 4), (1.0, 1.0, 1.0), direction=direction)
    for origin in (None, "text", (1, 2), (1, 2, np.nan), (1e9, 0, 0)):
        with pytest.raises(InputError, match="volume origin"):
            Grid((4, 4, 4), (1.0, 1.0, 1.0), origin)
    for spacing in (None, "text", (1,), (1, "2"), (0, 1), 3.0):
        with pytest.raises(InputError, match="pixel spacing"):
            Projection((0, 0, 0), (1, 0, 0), (0, 0, 1), spacing, (4, 4), ray_direction=(0, 1, 0))
        if spacing is not None:
            with pytest.raises(InputError, match="pixel spacing"):
                Projection.from_matrix(np.eye(3, 4), (4, 4), spacing)
    for size in ("4", (4, 4), None, [[1, 2], [3]], 4.5, 0):
        with pytest.raises(InputError):
            Grid.centred((0, 0, 0), size)
        with pytest.raises(InputError):
            Grid.centred((0, 0, 0), 4, -1.0 if size in (0, 4.5) else size)
    for matrix in (None, "text", np.eye(3), [[1, 2], [3]], np.full((4, 4), np.nan), np.diag([1, 1, 1, 2]), np.diag([1, 1, 0, 1])):
        with pytest.raises(InputError):
            Grid.from_affine(matrix, (4, 4, 4))
        with pytest.raises(InputError):
            Grid.centred((0, 0, 0), 4).transformed(matrix)


def test_what_is_done_to_a_grid_is_what_is_done_to_its_array(oblique, rng):
    places = (oblique.affine[:3, :3] @ np.indices(oblique.shape)[::-1].reshape(3, -1)).T + oblique.affine[:3, 3]
    places = places.reshape(*oblique.shape, 3)

    def centres(grid):
        own = (grid.affine[:3, :3] @ np.indices(grid.shape)[::-1].reshape(3, -1)).T + grid.affine[:3, 3]
        return own.reshape(*grid.shape, 3)

    box = (slice(1, 5), slice(None, 3), slice(2, None))
    assert centres(oblique.cropped(box)) == pytest.approx(places[box])
    beyond = oblique.cropped((slice(-1, 7), slice(-2, 5), slice(0, 5)))
    assert beyond.size == (5, 7, 8) and centres(beyond)[1:7, 2:, :4] == pytest.approx(places)
    padded = oblique.padded((1, 2, 3), (0, 1, 2))
    assert padded.size == (5, 8, 11) and centres(padded)[3:-2, 2:-1, 1:] == pytest.approx(places)
    assert oblique.padded(1).cropped((slice(1, -1 + 8), slice(1, 6), slice(1, 5))).same_as(oblique, 1e-9)
    coarse = oblique.coarsened((2, 1, 3))
    assert coarse.size == (2, 5, 2) and centres(coarse) == pytest.approx(places.reshape(2, 3, 5, 2, 2, 3).mean(axis=(1, 4)))
    assert oblique.coarsened(4).size == (1, 2, 2)
    resized = oblique.resized((8, 5, 3))
    assert resized.corners == pytest.approx(oblique.corners) and resized.size == (8, 5, 3)
    assert Grid.from_affine(oblique.affine, oblique.size).same_as(oblique, 1e-9)
    matrix = np.eye(4)
    matrix[:3] = rng.normal(0, 1, (3, 4))
    moved = oblique.transformed(matrix)
    assert centres(moved) == pytest.approx(places @ matrix[:3, :3].T + matrix[:3, 3])
    for bad in ((slice(0, 2),) * 2, (slice(0, 4, 2),) * 3, (slice(3, 3), slice(0, 2), slice(0, 2))):
        with pytest.raises(InputError):
            oblique.cropped(bad)


def test_what_is_done_to_a_projection_is_what_is_done_to_its_picture(values, turn, rng):
    points = rng.normal(0, 40, (20, 3))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (5, -6, 7)
    for view in values[2:]:
        window = (slice(3, 20), slice(None, 31))
        assert view.cropped(window).size == (17, 31)
        assert view.cropped(window).project(points) == pytest.approx(view.project(points) - [0, 3])
        assert view.cropped((slice(-2, 40), slice(0, 50))).project(points) == pytest.approx(np.add(view.project(points), [0, 2]))
        # Pixel [0, 0] of the coarse detector is centred on the middle of its block.
        coarse = view.coarsened((4, 3))
        assert coarse.size == (10, 16) and coarse.spacing == pytest.approx((6.0, 6.0))
        assert coarse.project(points) == pytest.approx((view.project(points) - [1, 1.5]) / [3, 4])
        moved = view.transformed(matrix)
        assert moved.project(points @ turn.T + matrix[:3, 3]) == pytest.approx(view.project(points))
        assert moved.is_mirrored == view.is_mirrored
        corner = view.detector_affine @ [49, 39, 0, 1]
        assert corner[:3] == pytest.approx(view.pixel_positions(np.array([[39, 49]]))[0])
        assert np.linalg.det(view.detector_affine[:3, :3]) == pytest.approx(1.5 * 2.0)
        for bad in (np.diag([1, 1, -1, 1]), np.diag([1, 1, 1.01, 1]), np.eye(3), np.full((4, 4), np.nan), None, "text"):
            with pytest.raises(InputError, match="not rigid"):
                view.transformed(bad)
        perspective = np.eye(4)
        perspective[3, 0] = 1e-3
        with pytest.raises(InputError, match="not rigid"):
            view.transformed(perspective)
        with pytest.raises(InputError, match="two slices"):
            view.cropped((slice(0, 2),))
