import numpy as np
import pytest
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.volume import MU_WATER
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom, thorax_phantom


def test_a_ball_seen_through_its_middle_is_its_diameter():
    ball = Phantom((Ellipsoid((5, -3, 8), (40, 40, 40), 0.02),))
    for distance in (1000.0, None):
        picture = ball.line_integrals(view_projection("AP", (5, -3, 8), (3, 3), 60.0, distance))
        assert picture[1, 1] == pytest.approx(80 * 0.02)
        assert picture[0, 0] == 0


def test_a_turned_ellipsoid_shows_its_long_axis():
    # 30 degrees about z turn the long x axis towards +y, so it stands 60 degrees off the AP beam.
    stick = Phantom((Ellipsoid((0, 0, 0), (50, 5, 5), 1.0, (0, 0, 30)),))
    picture = stick.line_integrals(view_projection("AP", size=(1, 1), spacing=1.0, source_to_detector=None))
    along = np.array([np.cos(np.radians(60)) / 50, np.sin(np.radians(60)) / 5])
    assert picture[0, 0] == pytest.approx(2 / np.linalg.norm(along))


def test_a_cut_ellipsoid_is_the_intersection():
    slab = Ellipsoid((0, 0, 0), (1e6, 1e6, 10))
    disc = Phantom((Ellipsoid((0, 0, 0), (40, 40, 40), 1.0, within=(slab,)),))
    beam = view_projection([0, 0, -1], size=(1, 1), spacing=1.0, source_to_detector=None)
    assert disc.line_integrals(beam)[0, 0] == pytest.approx(20)


def test_rays_begin_at_the_source():
    ball = Phantom((Ellipsoid((0, 0, 0), (50, 50, 50), 1.0),))
    beam = view_projection("AP", (0, 30, 0), (1, 1), 1.0, source_to_detector=100.0, source_to_isocentre=30.0)
    assert ball.line_integrals(beam)[0, 0] == pytest.approx(50)


def test_thorax_integrals_match_brute_force(phantom):
    # Marching along a few rays through point samples is slow and inexact, but shares nothing with the closed form.
    beam = view_projection("LAO30CRAN15", size=(5, 5), spacing=70.0)
    points, directions = beam.rays()
    step = 0.25
    lengths = np.arange(800.0, 1800.0, step)
    expected = np.zeros(len(points))
    for ellipsoid in phantom.ellipsoids:
        inside = np.ones((len(points), len(lengths)), dtype=bool)
        for body in (ellipsoid, *ellipsoid.within):
            matrix, offset = body.to_unit()
            at = points @ matrix.T + offset
            towards = directions @ matrix.T
            squared = sum((at[:, [k]] + lengths * towards[:, [k]]) ** 2 for k in range(3))
            inside &= squared < 1
        expected += ellipsoid.difference * inside.sum(axis=1) * step
    assert expected.max() > 2
    assert phantom.line_integrals(beam).ravel() == pytest.approx(expected, abs=0.02)


def test_thorax_is_never_negative_and_looks_like_a_chest(phantom_volume):
    hu = phantom_volume.array
    assert hu.min() == -1000  # exactly: no sum of differences fell below zero attenuation by more than rounding
    assert (hu[40] < -800).any() and (hu > 250).any() and hu.max() < 1500
    ellipsoids = thorax_phantom().ellipsoids
    points = np.random.default_rng(0).uniform(-170, 170, (20000, 3))
    total = np.zeros(len(points))
    for ellipsoid in ellipsoids:
        inside = np.ones(len(points), dtype=bool)
        for body in (ellipsoid, *ellipsoid.within):
            matrix, offset = body.to_unit()
            inside &= ((points @ matrix.T + offset) ** 2).sum(axis=1) < 1
        total += ellipsoid.difference * inside
    assert total.min() > -1e-12
    assert total.max() < 2.5 * MU_WATER


def test_heart_left_liver_right_spine_behind(phantom_volume):
    grid, hu = phantom_volume.grid, phantom_volume.array

    def at(x, y, z):
        i, j, k = np.round((np.array([x, y, z]) - grid.origin) / grid.spacing).astype(int)
        return hu[k, j, i]

    assert at(55, -30, -38) > 0 > -700 > at(-95, -20, -20)  # heart in the left chest, lung in the right
    assert at(-66, 0, -85) == pytest.approx(60, abs=15)  # liver dome
    assert at(0, 52, 0) > 200 > at(0, -52, 0)


@each("mirror", [1, -1])
def test_voxels_follow_an_oblique_grid(turn, mirror):
    ball = Phantom((Ellipsoid((10, 20, 30), (30, 20, 25), MU_WATER),))
    direction = turn * [1, 1, mirror]
    spacing = np.array([3.0, 4.0, 5.0])
    size = np.array([32, 26, 20])
    origin = np.array([10, 20, 30]) - direction @ (spacing * (size - 1) / 2)
    volume = ball.volume(Grid(tuple(size), tuple(spacing), tuple(origin), direction), supersample=3)
    millilitres = (volume.array + 1000).sum() / 1000 * volume.grid.voxel_volume / 1000
    assert millilitres == pytest.approx(4 / 3 * np.pi * 30 * 20 * 25 / 1000, rel=5e-3)


def test_supersampling_converges():
    ball = Phantom((Ellipsoid((0.3, 0.7, -0.2), (11, 9, 10), MU_WATER),))
    grid = Grid.centred((0, 0, 0), 16, 2.0)
    exact = 4 / 3 * np.pi * 11 * 9 * 10
    errors = [abs((ball.volume(grid, n).array + 1000).sum() / 1000 * 8 / exact - 1) for n in (1, 4)]
    assert errors[1] < 2e-3


def test_a_negative_semi_axis_is_refused():
    with pytest.raises(InputError, match="positive lengths"):
        Ellipsoid((0, 0, 0), (1, 0, 1))
