"""The bundled mean volumes look like what they are the mean of, and are chosen by the X-rays."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.protocol import protocol_grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.reconstruction.methods.baselines import closest_mean, mean_volume
from XRayTo3DLib.simulation.drr import render_drr


def test_the_chest_mean_is_closer_to_a_chest_than_the_other(real_ct):
    grid = protocol_grid(real_ct)
    truth = resample(real_ct, grid)
    chest, neck = (
        metrics.psnr(metrics.hu_range(truth.array), metrics.hu_range(mean_volume(r, grid).array)) for r in ("chest", "head_neck")
    )
    assert chest > neck + 1 and chest > 12
    views = [view_projection(v, grid.centre, (64, 64), 4.0, None) for v in ("AP", "LAT")]
    region, volume = closest_mean(render_drr(truth, views), grid)
    assert region == "chest"
    np.testing.assert_array_equal(volume.array, mean_volume("chest", grid).array)


def test_an_unknown_region_is_an_error(real_ct):
    with pytest.raises(InputError, match="head_neck, chest"):
        mean_volume("knee", protocol_grid(real_ct))
