"""Renderings of surfaces without a graphics card."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.report import rendering


def test_a_ball_is_a_disc(ball):
    picture = rendering.render([[ball(0, "bone")]], side=100)
    assert picture.shape == (100, 100, 3) and picture.min() >= 0 and picture.max() <= 1
    seen = np.abs(picture - rendering._BACKGROUND).max(axis=2) > 0.05
    radius = np.sqrt(seen.sum() / np.pi)
    rows, columns = np.nonzero(seen)
    assert radius == pytest.approx(47, abs=1.5)  # 94 % of the panel
    assert abs(rows.mean() - 49.5) < 1 and abs(columns.mean() - 49.5) < 1
    assert seen[50].sum() == columns.max() - columns.min() + 1  # no holes


def test_left_is_right_in_the_picture_and_the_front_covers_the_back(ball):
    both = rendering.render([[ball(-5, "bone"), ball(5, "lungs")], []], side=80)
    assert both.shape == (80, 160, 3)
    alone = rendering.render([[ball(-5, "bone"), ball(5, "lungs")]], side=80)
    seen = np.abs(alone - rendering._BACKGROUND).max(axis=2) > 0.05
    blue_share = alone[..., 2] / alone.sum(axis=2)
    columns = np.arange(80)
    bone = seen & (blue_share < 0.265)
    assert columns @ bone.sum(axis=0) / bone.sum() < 40  # the patient's right is on the viewer's left
    np.testing.assert_allclose(both[:, 80:], np.broadcast_to(rendering._BACKGROUND, (80, 80, 3)))
