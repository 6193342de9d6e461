"""Radiographs of the CT as nodes, and a library that reconstructs without a model."""

import inspect

import numpy as np
import pytest

import XRayTo3DLib.reconstruction.pipeline as library
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation


@pytest.fixture
def views(logic, ct_node):
    return [logic.renderDRR(ct_node, view, size=(32, 32), spacing=16.0) for view in ("AP", "LAT")]


@pytest.fixture
def fake(monkeypatch, ct):
    """A library reconstruction that knows the CT, needs no model, and takes the arguments of the real one only."""
    signature = inspect.signature(library.reconstruct)
    calls = []

    def reconstruct(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        calls.append(given)
        radiographs = given["radiographs"]
        library.check_distinct(radiographs)
        grid = given["grid"] or library.default_grid([r.projection for r in radiographs], 16, 24.0)
        given["progress"](0.5, "half")
        volume = to_attenuation(resample(ct, grid))
        before = Volume(0.9 * volume.array, grid, "1/mm")
        return library.Reconstruction(
            volume=volume,
            before_fusion=before,
            deviation=Volume(0.1 * volume.array, grid, "1/mm"),
            radiographs=list(radiographs),
            reprojections=[np.asarray(p) for p in reproject(volume, radiographs)],
            errors=[0.25, 0.125],
            errors_before=[0.5, 0.375],
            model_name="a model",
            model_sha256="ab" * 32,
            model_seconds=0.5,
            seconds=1.0,
            notes=["a note"],
        )

    monkeypatch.setattr(library, "reconstruct", reconstruct)
    return calls
