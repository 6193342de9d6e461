"""DRRs: exact against the phantom's closed form, of a CT that was moved, and honest about a beam that misses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from tables import each

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import fit_projection, view_projection
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.simulation import drr
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom


@each("distance", [None, 1500.0])
def test_drr_of_the_phantom_is_its_line_integrals(phantom, phantom_volume, distance):
    projection = fit_projection("LAO30CRAN10", phantom_volume.grid, 8.0, distance)
    radiograph = render_drr(phantom_volume, [projection], ["LAO"])[0]
    exact = phantom.line_integrals(projection)
    assert radiograph.name == "LAO"
    assert radiograph.line_integrals.dtype == np.float32
    # What 4 mm voxels keep of the phantom's sharp edges; test_projector shows that it vanishes with the voxel size.
    assert np.abs(radiograph.line_integrals - exact).mean() < 0.02 * exact.mean()


def test_hu_and_attenuation_give_the_same(phantom_volume):
    projection = fit_projection("AP", phantom_volume.grid, 16.0)
    first, second = (render_drr(v, [projection])[0] for v in (phantom_volume, to_attenuation(phantom_volume)))
    np.testing.assert_array_equal(first.line_integrals, second.line_integrals)


def test_several_views_in_one_call_are_those_of_single_calls(phantom_volume):
    views = [fit_projection(word, phantom_volume.grid, 16.0) for word in ("AP", "LAT")]
    together = render_drr(phantom_volume, views, exposure=Exposure(80))
    for radiograph, projection, name in zip(together, views, ("view 1", "view 2"), strict=True):
        alone = render_drr(phantom_volume, [projection], exposure=Exposure(80))[0]
        np.testing.assert_allclose(radiograph.line_integrals, alone.line_integrals, rtol=1e-6, atol=1e-6)
        assert radiograph.projection is projection and radiograph.name == name
    assert render_drr(phantom_volume, []) == []


def test_a_moved_ct_is_the_ct_at_its_new_place(turn):
    ball = Phantom((Ellipsoid((10, 5, -8), (50, 50, 50), 0.0193), Ellipsoid((30, 5, -8), (20, 20, 20), 0.01)))
    volume = ball.volume(Grid.centred((0, 0, 0), 56, 2.5))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 1.3 * turn, (40, -25, 60)
    moved = [(matrix[:3, :3] @ e.centre + matrix[:3, 3], 1.3 * e.semi_axes[0], e.difference) for e in ball.ellipsoids]
    there = Phantom(tuple(Ellipsoid(tuple(centre), (radius,) * 3, difference) for centre, radius, difference in moved))
    projection = view_projection("LAO30CRAN15", moved[0][0], (40, 40), 6.0)
    found = render_drr(volume, [projection], transform=matrix)[0].line_integrals
    exact = there.line_integrals(projection)
    assert np.abs(found - exact).mean() < 0.02 * exact.mean()
    still = render_drr(volume, [projection], transform=np.eye(4).tolist())[0].line_integrals
    np.testing.assert_array_equal(still, render_drr(volume, [projection])[0].line_integrals)


@each("mirror", [1, -1])
def test_a_sheared_and_scaled_ct_gives_the_drr_of_its_resampled_copy(mirror, turn):
    grid = Grid((44, 40, 36), (3.0, 3.5, 4.0), (-70, -60 * mirror, -65), np.diag([1.0, mirror, 1.0]))
    volume = Phantom((Ellipsoid((0, 5, 0), (50, 40, 45), 0.0193, (20, 10, 5)),)).volume(grid, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[1.0, 0.3, 0.0], [0.0, 0.9, -0.2], [0.1, 0.0, 1.1]])
    matrix[:3, 3] = (5, -8, 12)
    # SimpleITK takes points of the result back to the image.
    back = sitk.AffineTransform(3)
    inverse = np.linalg.inv(matrix)
    back.SetMatrix(inverse[:3, :3].ravel().tolist())
    back.SetTranslation(inverse[:3, 3].tolist())
    target = Grid.centred((5, -8, 12), 64, 3.0)
    image = sitk.Resample(
        to_sitk(volume.array, grid),
        target.size,
        back,
        sitk.sitkLinear,
        target.origin,
        target.spacing,
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        -1000,
    )
    copy = Volume(sitk.GetArrayFromImage(image), target)
    projection = view_projection("RAO20CAUD10", (5, -8, 12), (32, 32), 7.0)
    found = render_drr(volume, [projection], transform=matrix)[0].line_integrals
    expected = render_drr(copy, [projection])[0].line_integrals
    assert np.abs(found - expected).mean() < 0.01 * expected.mean()
    assert np.abs(found - render_drr(volume, [projection])[0].line_integrals).mean() > 0.1 * expected.mean()


def test_moved_voxels_keep_their_places(phantom_volume, turn):
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.array([[1.2, 0.4, 0], [0, 0.7, 0], [0, 0, -1.0]])
    matrix[:3, 3] = (1, 2, 3)
    moved = phantom_volume.grid.transformed(matrix)
    np.testing.assert_allclose(moved.affine, matrix @ phantom_volume.grid.affine, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(moved.direction, axis=0), 1)
    assert moved.voxel_volume == pytest.approx(1.2 * 0.7 * phantom_volume.grid.voxel_volume)


@each(
    ("matrix", "match"),
    [
        (np.eye(3), "4x4"),
        ("turned", "4x4"),
        ([[1, 0], [1]], "4x4"),
        (np.diag([1, 1, 0, 1]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([1, 1, 1, 2]), "last row"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1e-3, 1]]), "last row"),
    ],
)
def test_transforms_that_are_none(matrix, match, phantom_volume):
    with pytest.raises(InputError, match=match):
        render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 16.0)], transform=matrix)


@each("distance", [None, 1200.0])
def test_fitted_detector_holds_the_whole_volume(phantom_volume, distance):
    projection = fit_projection("AP+20", phantom_volume.grid, 4.0, distance)
    columns_rows = projection.project(phantom_volume.grid.corners)
    assert columns_rows.min() > -0.5
    assert (columns_rows < np.array(projection.size)[::-1] - 0.5).all()


def test_a_beam_that_misses_is_an_error(phantom_volume):
    for distance in (None, 1500.0):
        far = view_projection("AP", (2000, 0, 0), (32, 32), 4.0, distance)
        with pytest.raises(InputError, match="misses the volume"):
            render_drr(phantom_volume, [far], ["AP"])
    behind = view_projection("AP", (0, 3000, 0), (32, 32), 4.0, 1500.0)
    with pytest.raises(InputError, match="behind the source"):
        render_drr(phantom_volume, [behind], ["AP"])


def test_a_detector_behind_the_source_sees_nothing(phantom_volume):
    """The source between the CT and the detector: all rays lead away from the CT."""
    aimed = view_projection("AP", (0, 0, 0), (32, 32), 8.0, 1500.0)
    turned = Projection(
        aimed.origin - [0, 2000 + 1500, 0], aimed.row_direction, aimed.column_direction, aimed.spacing, aimed.size, aimed.source
    )
    with pytest.raises(InputError, match="behind the source"):
        render_drr(phantom_volume, [turned])


@each("depth", [0.0, 100.0, 141.0])
def test_a_source_inside_the_ct_is_an_error(phantom_volume, depth):
    # The CT reaches 144 mm to the front.
    projection = view_projection("AP", (0, 0, 0), (16, 16), 8.0, 1000.0, max(depth, 1e-3))
    with pytest.raises(InputError, match="inside the volume"):
        render_drr(phantom_volume, [projection], ["AP"])
    outside = view_projection("AP", (0, 0, 0), (16, 16), 8.0, 1000.0, 145.0)
    assert render_drr(phantom_volume, [outside])[0].line_integrals.max() > 1


def test_a_source_beside_the_ct_is_judged_by_its_rays():
    grid = Grid.centred((0, 0, 0), 20, 10.0)
    volume = Volume(np.zeros(grid.shape, dtype=np.float32), grid)
    source = np.array([130.0, 0.0, 0.0])  # beside the box, which ends at 100 mm; half of the box lies behind the source
    axes = {"row_direction": np.array([1.0, 0, 0]), "column_direction": np.array([0.0, 0, 1])}

    def beam(first_column: float) -> Projection:
        return Projection(np.array([first_column, 200.0, -50.0]), spacing=(10.0, 10.0), size=(11, 11), source=source, **axes)

    # Through (95, 90): a ray from (130, 0) to the detector at 200 mm passes there when it lands left of 52 mm.
    hitting, missing = beam(-60.0), beam(140.0)
    assert np.isnan(hitting.project(grid.corners)).any() and not np.isnan(hitting.project(grid.corners)).all()
    assert render_drr(volume, [hitting])[0].line_integrals.max() > 0.1
    with pytest.raises(InputError, match="misses the volume"):
        render_drr(volume, [missing])


def test_absurd_geometry_costs_nothing(phantom_volume):
    inside = view_projection("AP", (0, 0, 0), (2000, 2000), 1.0, 1000.0, 10.0)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="100000 x 100000 pixels"):
            view_projection("AP", (0, 0, 0), (100_000, 100_000), 0.01, 1500.0)
        with pytest.raises(InputError, match="inside"):
            render_drr(phantom_volume, [inside], ["AP"], exposure=Exposure(80))
        with pytest.raises(InputError, match="would need"):
            fit_projection("AP", phantom_volume.grid, 0.001)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@each(
    ("settings", "match"),
    [({"quality": "best"}, "quality"), ({"names": ["a", "b"]}, "names"), ({"exposure": 80}, "must be an Exposure")],
)
def test_settings_that_are_none(settings, match, phantom_volume):
    with pytest.raises(InputError, match=match):
        render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 16.0)], **settings)


@each("value", [np.nan, np.inf])
def test_a_broken_voxel_is_an_error(phantom_volume, value):
    array = phantom_volume.array.copy()
    array[3, 4, 5] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        render_drr(Volume(array, phantom_volume.grid), [fit_projection("AP", phantom_volume.grid, 16.0)])
    array[3, 4, 5] = 3e38  # finite, though its square is not
    render_drr(Volume(array, phantom_volume.grid), [fit_projection("AP", phantom_volume.grid, 16.0)])


def test_quality_reaches_the_projector(phantom_volume, monkeypatch):
    asked = []
    full = drr.project

    def remember(*args, quality, **kwargs):
        asked.append(quality)
        return full(*args, quality=quality, **kwargs)

    monkeypatch.setattr(drr, "project", remember)
    render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 16.0)], quality="preview", exposure=Exposure(80))
    assert asked == ["preview", "preview"]


def test_progress_rises_and_can_cancel(phantom_volume):
    views = [fit_projection(word, phantom_volume.grid, 16.0) for word in ("AP", "LAT")]
    told = []
    render_drr(phantom_volume, views, ["AP", "LAT"], lambda fraction, text: told.append((fraction, text)), exposure=Exposure(80))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert any("LAT" in text for _, text in told)

    def cancel(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        render_drr(phantom_volume, views, progress=cancel, exposure=Exposure(80))


def test_a_polychromatic_drr_holds_one_copy_of_the_ct():
    grid = Grid.centred((0, 0, 0), (96, 96, 200), 2.0)
    volume = Volume(np.random.default_rng(0).integers(-1000, 1500, grid.shape).astype(np.int16), grid)
    view = [view_projection("AP", (0, 0, 0), (16, 16), 20.0)]
    render_drr(volume, view, exposure=Exposure(80))  # what is imported and compiled once does not count
    tracemalloc.start()
    try:
        render_drr(volume, view, exposure=Exposure(80, 1e4, blur=1.0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 4 * volume.array.size
