"""What the networks learn from and are measured on: surface image, X-ray and landmarks of one CT, all in one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample_mask
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.parametrized.body import Body, body_of_ct
from XRayTo3DLib.parametrized.landmarks import measure_body
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.parametrized.surface_image import SurfaceImage, surface_image
from XRayTo3DLib.projection.projector import project


@dataclass(frozen=True, eq=False)
class Example:
    """One CT in one view of a region.

    - ``surface``: its surface image;
    - ``xray``: float32 [row, column], line integrals (dimensionless) of the body alone: couch and air around it are left out;
    - ``points``: float64 [landmark, 2]: row and column of each landmark of the region, NaN where it is absent;
    - ``landmarks``: LPS mm by name, of those that are there.
    """

    surface: SurfaceImage
    xray: np.ndarray
    points: np.ndarray
    landmarks: Mapping[str, np.ndarray]

    @property
    def valid(self) -> np.ndarray:
        """bool [landmark]: which landmarks are there and inside the picture."""
        rows, columns = self.surface.projection.size
        inside = (self.points >= -0.5) & (self.points <= np.array([rows, columns]) - 0.5)
        return np.asarray(inside.all(axis=1))


def example_of(
    ct: Volume, labels: Labelmap | None, region: Region, view: str, given: Mapping[str, np.ndarray] | None = None
) -> Example:
    """Surface image, X-ray and landmarks of a CT (HU or 1/mm); ``labels`` as in :func:`measure`, ``given`` landmarks win.

    Raises :class:`InputError` when the frame's landmarks are neither found nor given.
    """
    body = body_of_ct(ct, labels)
    return example_of_body(ct, body, region, view, measure_body(body, region, given))


def example_of_body(ct: Volume, body: Body, region: Region, view: str, landmarks: Mapping[str, np.ndarray]) -> Example:
    """As :func:`example_of`, of a body and landmarks that are known: several views of a CT share them."""
    surface = surface_image(body, region, view, landmarks)
    return Example(surface, body_xray(ct, body, surface.projection), pixels(region, landmarks, surface.projection), dict(landmarks))


def body_xray(ct: Volume, body: Body, projection: Projection) -> np.ndarray:
    """Line integrals (float32 [row, column]) of the CT inside the body and one voxel around it, within its field."""
    inside = body.mask.copy()
    for axis in (1, 2):  # the skin's partial voxels belong to the body
        inside |= np.roll(body.mask, 1, axis) | np.roll(body.mask, -1, axis)
    kept = resample_mask(inside, body.grid, ct.grid)
    mu = to_attenuation(ct)
    values = np.where(kept, mu.array, np.float32(0)).astype(np.float32)
    picture = project(values, replace(mu, array=values).grid, [projection])[0].numpy()
    return np.asarray(picture, dtype=np.float32)


def pixels(region: Region, landmarks: Mapping[str, np.ndarray], projection: Projection) -> np.ndarray:
    """Row and column [landmark, 2] of the region's landmarks on a picture; NaN for those that are absent."""
    found = np.full((len(region.names), 2), np.nan)
    for index, name in enumerate(region.names):
        if name in landmarks:
            found[index] = projection.project(np.asarray(landmarks[name])[None])[0, ::-1]
    return found
