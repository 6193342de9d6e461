"""DRRs: exact against the phantom's closed form, honest about a beam that misses."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.drr import fit_projection, render_drr, to_display
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.views import view_projection


@pytest.mark.parametrize("distance", [None, 1500.0])
def test_drr_of_the_phantom_is_its_line_integrals(phantom, phantom_volume, distance):
    projection = fit_projection("LAO30CRAN10", phantom_volume.grid, 8.0, distance)
    radiograph = render_drr(phantom_volume, [projection], ["LAO"])[0]
    exact = phantom.line_integrals(projection)
    assert radiograph.name == "LAO"
    assert radiograph.line_integrals.dtype == np.float32
    # What 4 mm voxels keep of the phantom's sharp edges; test_projector shows that it vanishes with the voxel size.
    assert np.abs(radiograph.line_integrals - exact).mean() < 0.02 * exact.mean()


def test_hu_and_attenuation_give_the_same(phantom_volume):
    from XRayTo3DLib.images import to_attenuation

    projection = fit_projection("AP", phantom_volume.grid, 16.0)
    first, second = (render_drr(v, [projection])[0] for v in (phantom_volume, to_attenuation(phantom_volume)))
    np.testing.assert_array_equal(first.line_integrals, second.line_integrals)


@pytest.mark.parametrize("distance", [None, 1200.0])
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


def test_looks_are_pictures_and_bone_is_white_on_film(phantom_volume):
    radiograph = render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 8.0)])[0]
    film, inverted, opacity = (to_display(radiograph, look) for look in ("film", "inverted", "opacity"))
    np.testing.assert_allclose(film, 1 - inverted, atol=1e-6)
    for picture in (film, opacity):
        assert picture.min() >= 0 and picture.max() <= 1
        assert np.corrcoef(picture.ravel(), radiograph.line_integrals.ravel())[0, 1] > 0.9
    with pytest.raises(InputError, match="look"):
        to_display(radiograph, "sepia")
