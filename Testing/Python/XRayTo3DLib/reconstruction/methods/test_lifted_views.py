"""What a model of lifted-views/1 gets and how its answer is taken, seen through a model that uses all of its inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from backprojector import CARD, LEFT, RIGHT
from scipy import ndimage
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel, ModelFile
from XRayTo3DLib.reconstruction.grids import grid_for
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

GRID = Grid.centred((5, -10, 20), (32, 24, 40), 8.0)
ODD = Grid.centred((5, -10, 20), (31, 23, 37), (8.0, 8.0, 8.0))
#: Pairs of views and their distance; every one is another geometry for the model.
PAIRS = ((("AP", "LAT"), None), (("AP", "LAT"), 1000.0), (("PA", "RLAT+15"), 1200.0), (("LAO30CRAN20", "LAT"), None))


@pytest.fixture(scope="module")
def model(backprojector: LoadedModel) -> LoadedModel:
    return backprojector


@pytest.fixture(scope="module")
def body() -> Volume:
    """A smooth trunk with dense balls on the left and above: like no mirror image of itself."""
    z, y, x = np.indices(GRID.shape) * 8.0 + np.reshape(GRID.origin[::-1], (3, 1, 1, 1))
    trunk = 1000 / (1 + np.exp((np.hypot((x - 5) / 100, (y + 10) / 70) - 1) * 20)) / (1 + np.exp((abs(z - 20) - 120) / 8))
    balls = sum(
        weight * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / 18**2)
        for a, b, c, weight in ((55, 0, 40, 900), (-30, -40, -30, 500), (10, 20, 90, 700))
    )
    return Volume((trunk + balls - 1000).astype(np.float32), GRID)


def xrays(body: Volume, words: tuple[str, ...], distance: float | None) -> list[Radiograph]:
    views = [view_projection(w, GRID.centre, (60, 64), 8.0, distance) for w in words]
    return render_drr(body, views, list(words))


def expected(radiographs: list[Radiograph], grid: Grid, sides: tuple[float, float] = (LEFT, RIGHT)) -> np.ndarray:
    """The model's answer by the definition, from the real detectors: 1/mm [z, y, x]."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1).reshape(-1, 3)
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    seen = [
        ndimage.map_coordinates(r.line_integrals, r.projection.project(points)[:, ::-1].T, order=1, cval=0.0) for r in radiographs
    ]
    length_mm = 32 * grid.voxel_volume ** (1 / 3)  # pictures are divided by the line integral of 32 voxels of water
    least = np.maximum(np.min(seen, axis=0), 0) / length_mm * np.where(points[:, 0] > 0, *sides)
    return least.reshape(grid.size).T


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Equal but for the second interpolation on the virtual detector."""
    return bool(np.abs(found - wanted).mean() <= 0.02 * np.abs(wanted).mean())


@each(("words", "distance"), PAIRS)
def test_every_picture_reaches_the_model_where_it_belongs(model, body, words, distance):
    plain = xrays(body, words, distance)
    first, second = plain
    zero = np.zeros_like(first.line_integrals)
    pictures = {
        "plain": [r.line_integrals for r in plain],
        "swapped": [second.line_integrals, first.line_integrals],
        "mirrored": [r.line_integrals[:, ::-1] for r in plain],
        "upside down": [r.line_integrals[::-1] for r in plain],
        "scaled": [2 * r.line_integrals for r in plain],
        "one zeroed": [first.line_integrals, zero],
    }
    answers = {}
    for name, images in pictures.items():
        given = [replace(r, line_integrals=np.ascontiguousarray(i)) for r, i in zip(plain, images, strict=True)]
        for grid in (GRID, ODD):
            answers[name] = reconstruct(given, model, grid, fuse_views=False, check_views=False).before_fusion.array
            assert close(answers[name], expected(given, grid)), name
    assert answers["plain"].max() > 0 and not answers["one zeroed"].any()
    np.testing.assert_allclose(answers["scaled"], 2 * answers["plain"], rtol=1e-4, atol=1e-7)
    assert not any(close(answers[name], answers["plain"]) for name in ("swapped", "mirrored", "upside down"))


def test_left_stays_left_and_answers_are_mirrored_only_where_the_card_asks(model, body):
    radiographs = xrays(body, ("AP", "LAT"), 1000.0)
    middle = replace(GRID, origin=(-124.0, *GRID.origin[1:]))  # its own mirror image is where the model's sides meet
    once = reconstruct(radiographs, model, middle, fuse_views=False, check_views=False)
    assert once.deviation is None
    x, y, z = 40, 0, 40  # beside the ball on the left
    left, right = (tuple(np.rint(middle.to_index @ (s * x, y, z, 1)).astype(int)[2::-1]) for s in (1, -1))
    assert once.volume.array[left] > 1.5 * once.volume.array[right]
    asking = LoadedModel(replace(model.file, card={**model.file.card, "mirror_averaging": True}), model.module)
    twice = reconstruct(radiographs, asking, middle, fuse_views=False, check_views=False).volume.array
    assert close(twice, expected(radiographs, middle, ((LEFT + RIGHT) / 2,) * 2))


def stating(model: LoadedModel, inputs: dict | None = None, grid: dict | None = None) -> LoadedModel:
    """The model with other limits on its card."""
    card = model.file.card
    own = {k: v for k, v in {**card["outputs"]["grid"], **(grid or {})}.items() if v is not None}
    changed = {**card, "inputs": {**card["inputs"], **(inputs or {})}, "outputs": {**card["outputs"], "grid": own}}
    return LoadedModel(replace(model.file, card=changed), model.module)


def test_what_the_card_does_not_allow_is_one_sentence(model, body):
    parallel, cone = xrays(body, ("AP", "LAT"), None), xrays(body, ("AP", "LAT"), 1000.0)
    fixed = {"size": [16, 16, 16], "multiple_of": None}
    refused = (
        (stating(model, {"views": {"minimum": 3, "maximum": 3}}), parallel, GRID, "takes 3 to 3 views, not 2"),
        (stating(model, {"beam": ["parallel"]}), cone, GRID, "takes parallel beams, but AP has a cone beam"),
        (stating(model, {"beam": ["cone"]}), parallel, GRID, "takes cone beams, but AP has a parallel beam"),
        (stating(model, grid={"spacing_mm": [2, 4]}), parallel, GRID, "voxels of 2 to 4 mm, not 8 x 8 x 8 mm"),
        (stating(model, grid={"spacing_mm": [9, 16]}), parallel, GRID, "voxels of 9 to 16 mm"),
        (stating(model, grid=fixed), parallel, GRID, "gives 16 x 16 x 16 voxels only, not 32 x 24 x 40"),
        (stating(model, grid={"maximum": [64, 64, 32]}), parallel, GRID, "at most 64 x 64 x 32 voxels"),
        (stating(model, {"range": [0, 0.05]}), parallel, GRID, "takes pictures of 0 to 0.05"),
    )
    for limited, radiographs, grid, sentence in refused:
        with pytest.raises(InputError, match=sentence):
            reconstruct(radiographs, limited, grid, check_views=False)
    allowed = stating(
        model, {"range": [0, 50], "beam": ["parallel"]}, {"size": [16, 16, 16], "spacing_mm": [12, 12], "multiple_of": None}
    )
    grid = grid_for(allowed.file.card, parallel)  # what is taken when no grid is named
    assert grid.size == (16, 16, 16) and grid.spacing == (12.0, 12.0, 12.0)
    assert reconstruct(parallel, allowed, check_views=False).volume.grid.same_as(grid)
    assert grid_for(model.file.card, parallel).size == (64, 64, 64)
    assert grid_for(stating(model, grid={"maximum": [48, 96, 64]}).file.card, parallel).size == (48, 64, 64)


class Answering(torch.nn.Module):
    """Answers a table of odd things."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images, matrices, beams, affine, size):  # type: ignore[no-untyped-def]
        volume = torch.ones(1, 1, *size)
        return {
            "wrong shape": volume[:, :, 1:],
            "no batch": volume[0],
            "two patients": volume.expand(2, 1, *size),
            "three channels": volume.expand(1, 3, *size),
            "NaN": volume * float("nan"),
            "infinite": volume / 0,
            "negative": -1e-3 * volume,
            "a list": [volume],
            "complex": volume * 1j,
        }[self.kind]


def test_only_finite_answers_from_zero_on_of_the_right_shape_are_taken(body):
    radiographs = xrays(body, ("AP", "LAT"), None)
    file = ModelFile(Path("odd.pt"), {**CARD, "name": "odd"}, "0" * 64, False)
    sentences = {
        "wrong shape": "gave the shape",
        "no batch": "gave the shape",
        "two patients": "gave the shape",
        "three channels": "gave the shape",
        "NaN": "not finite",
        "infinite": "not finite",
        "negative": "below 0",
        "a list": "gave list, not a real tensor",
        "complex": "gave Tensor, not a real tensor",
    }
    for kind, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence):
            reconstruct(radiographs, LoadedModel(file, Answering(kind)), GRID, check_views=False)
