"""Heat maps and the points in them, and the networks behind their cards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spot_networks import COLUMNS, NAMES, ROWS, SPOT, UNIT, SpotImage, spot_card, spot_networks
from torch import nn

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.torchscript import quickened
from XRayTo3DLib.models.zoo import load_model, save_model
from XRayTo3DLib.parametrized.heat_maps import heat_map_points, heat_maps
from XRayTo3DLib.parametrized.networks import Networks


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))


def body() -> np.ndarray:
    surface = np.zeros((2, ROWS, COLUMNS), np.float32)
    surface[:, 4:-4, 6:-6] = [[[2.5]], [[1.2]]]
    return surface


def test_points_become_gaussians_and_come_back_to_a_hundredth_of_a_pixel():
    generator = np.random.default_rng(1)
    points = torch.as_tensor(generator.uniform(5, 26, (3, 4, 2)))
    maps = heat_maps(points, (32, 48))
    row, column = 11, 20
    off = points[1, 2] - torch.tensor([row, column])
    assert float(maps[1, 2, row, column]) == pytest.approx(float(torch.exp(-off.square().sum() / 8)))
    found, presence = heat_map_points(maps)
    torch.testing.assert_close(found, points, atol=0.01, rtol=0)
    torch.testing.assert_close(presence, torch.ones_like(presence), atol=0.05, rtol=0)
    # A place that is not sure spreads the mass: it is there all the same, in the middle. A far stain does not pull it.
    spread = heat_maps(points, (32, 48), 4.0) / 4
    stained = spread.clone()
    stained[..., -1, -1] += 0.2
    for several in (spread, stained):
        torch.testing.assert_close(heat_map_points(several)[0], points, atol=0.15, rtol=0)
    torch.testing.assert_close(heat_map_points(spread)[1], torch.ones(3, 4, dtype=torch.double), atol=0.15, rtol=0)
    # One that is absent is a picture of zeros, and its presence is none; a gradient leads towards a brighter place.
    points[0, 0] = torch.nan
    assert float(heat_maps(points, (32, 48))[0, 0].abs().max()) == 0 == float(heat_map_points(torch.zeros(1, 1, 8, 8))[1])
    maps = heat_maps(points[1:], (32, 48)).requires_grad_(True)
    (slope,) = torch.autograd.grad(heat_map_points(maps)[0][0, 0, 0], maps)
    where = points[1, 0].round().long()
    assert float(slope[0, 0, where[0] + 2, where[1]]) > 0 > float(slope[0, 0, where[0] - 2, where[1]])


def test_the_networks_give_line_integrals_and_pixels_and_agree(tmp_path):
    networks = spot_networks(tmp_path)
    assert networks.landmarks == NAMES and networks.size == (ROWS, COLUMNS)
    surface = body()
    points = np.array([[12.25, 14.5], [np.nan, np.nan]])
    xray = networks.xray(surface, points)
    assert xray.shape == (ROWS, COLUMNS) and xray.dtype == np.float32
    assert xray[20, 40] == pytest.approx(UNIT * 0.6, rel=1e-3)
    assert xray[12, 14] == pytest.approx(UNIT * (0.6 + SPOT * np.exp(-(0.25**2 + 0.5**2) / 8)), rel=1e-3)
    found, presence = networks.markers(surface, xray)
    np.testing.assert_allclose(found[0], points[0], atol=0.02)
    assert np.isnan(found[1]).all() and presence[1] < 0.01
    np.testing.assert_array_equal(networks.xray(surface, None), networks.xray(surface, np.full((2, 2), np.nan)))
    assert np.isnan(networks.markers(surface, None)[0]).all()
    networks.check(NAMES, (ROWS, COLUMNS), 4.0, "AP")


def test_what_does_not_fit_is_one_sentence(tmp_path):
    networks = spot_networks(tmp_path)
    surface = body()
    for work, words in (
        (lambda: networks.check(("nose", *NAMES[1:]), (ROWS, COLUMNS), 4.0), r"landmarks are not those .*\(nose\)"),
        (lambda: networks.check(NAMES, (ROWS, COLUMNS), 5.0), "of 5 mm are not what"),
        (lambda: networks.check(NAMES, (ROWS, COLUMNS), 4.0, "LLAT"), "view LLAT is none"),
        (lambda: networks.xray(surface[:, 1:], None), "is not what the model spot_xray takes"),
        (lambda: networks.xray(surface, np.zeros((3, 2))), "one row a landmark"),
        (lambda: networks.xray(surface * np.nan, None), "NaN or infinite"),
        (lambda: Networks(networks.image, networks.image), "speaks the interface 'image-net/1', not 'marker-net/1'"),
        (
            lambda: spot_networks(tmp_path, image=spot_card("xray", spacing_mm=2.0)),
            r"do not fit together \(spacing_mm: 4.0 and 2.0\)",
        ),
        (lambda: spot_networks(tmp_path, image=spot_card("xray", size=[32])), "does not say its size"),
        (
            lambda: spot_networks(tmp_path, marker={k: v for k, v in spot_card("landmarks").items() if k != "landmarks"}),
            "its landmarks",
        ),
    ):
        with pytest.raises(InputError, match=words) as error:
            work()
        assert "\n" not in str(error.value)


class Negative(SpotImage):
    def forward(self, surface: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return -self.spot * surface[:, 1:]


class Small(SpotImage):
    def forward(self, surface: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return self.spot * surface[:, 1:, 1:]


def test_a_model_that_breaks_its_word_is_named(tmp_path):
    good = spot_networks(tmp_path)
    for kind, words in ((Negative, "values below 0"), (Small, r"gave \(1, 1, 31, 48\), not a real tensor")):
        save_model(kind(), spot_card("xray"), tmp_path / "bad.pt")
        bad = load_model(tmp_path / "bad.pt", ask=lambda m: True)
        with pytest.raises(InputError, match=f"spot_xray.*{words}"):
            Networks(good.marker, bad).xray(body(), None)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x))


def test_a_module_made_quick_answers_the_same_and_is_made_so_once():
    module = torch.jit.script(Normed().eval())
    quick = quickened(module)
    assert quick is not module and quickened(module) is quick
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(quick(x), module(x))
    assert quickened(quick) is quick  # what is fixed already stays what it is
