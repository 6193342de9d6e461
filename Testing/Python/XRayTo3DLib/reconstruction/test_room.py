"""What would not fit into the machine's memory is refused before anything is allocated."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from XRayTo3DLib import memory
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.reconstruction.methods.baselines import Mean
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.reconstruction.refine import refine
from XRayTo3DLib.reconstruction.result import Reconstruction


def test_grids_that_do_not_fit_are_one_sentence_before_they_are_allocated(barrel, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 4 << 30)
    rng = np.random.default_rng(1)
    words = ("AP", "LAT")
    radiographs = [
        Radiograph(rng.random((24, 24), np.float32), view_projection(w, (0, 0, 0), (24, 24), 20.0, None), w) for w in words
    ]
    small, large = Grid.centred((0, 0, 0), (24, 24, 24), 16.0), Grid.centred((0, 0, 0), (600, 600, 600), 4.0)
    volume = Volume(np.full(small.shape, 0.01, np.float32), small, "1/mm")
    done = Reconstruction(volume, volume, None, radiographs, [], [1.0], [1.0], "barrel", "", 0.0, 0.0)
    empty = Volume(np.broadcast_to(np.float32(0.01), large.shape), large, "1/mm")
    tracemalloc.start()
    try:
        for work, sentence in (
            (lambda: reconstruct(radiographs, barrel, large, check_views=False), "600 x 600 x 600 voxels needs .* GiB"),
            (lambda: reconstruct(radiographs, Mean(), large, check_views=False), "600 x 600 x 600 voxels needs .* GiB"),
            (lambda: refine(done, radiographs, 0.5), "768 x 768 x 768 voxels needs .* GiB"),
            (lambda: fuse(empty, radiographs), "600 x 600 x 600 voxels needs .* GiB"),
        ):
            with pytest.raises(InputError, match=sentence):
                work()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert fuse(volume, radiographs, iterations=1).volume.grid.same_as(small)
