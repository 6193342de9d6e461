"""Where to reconstruct: the grid around the point that all beams pass, large enough for the body and fit for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import DEFAULT_SOURCE_TO_DETECTOR, DEFAULT_SOURCE_TO_ISOCENTRE
from XRayTo3DLib.images.pixel_matching import matched
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import guessed_region
from XRayTo3DLib.reconstruction.calibration.shadow import shadow_of

DEFAULT_SIZE = 64
DEFAULT_SPACING = 4.0
#: The largest voxels that the bundled model was trained on, in mm.
_LARGEST_SPACING = 6.4
#: Scanned beams by their source-to-detector distance in mm, with the isocentre's share of it: a topogram that is measured in the
#: isocentre, a CT's own detector (535 to 650 of 940 to 1200 mm), a slot scanner (EOS: 987 of 1300 mm).
_SCANNERS = ((750.0, 1.0), (1250.0, 0.55), (float("inf"), 0.76))
#: How deep an adult is along the beam, in mm, by what a single picture of unknown scale shows: nothing else tells it, and its own
#: millimetres are a guess.
_DEPTH = {"head": 240.0, "chest": 300.0, "abdomen": 300.0}
#: Share of a picture's maximum above which a pixel is in the body's shadow.
_SHADOW = 0.05


def common_centre(projections: Sequence[Projection]) -> np.ndarray:
    """LPS mm of the point closest to all beam axes; for a single view the middle of its detector or the isocentre on its axis.

    Nothing says where the isocentre of a single cone or scanned beam is: it is taken at the usual share of the distance.
    """
    if len(projections) == 1:
        view = projections[0]
        if view.source is None:
            return view.centre
        return view.source + _isocentre_share(view) * (view.centre - view.source)
    total, right = np.zeros((3, 3)), np.zeros(3)
    for view in projections:
        across = np.eye(3) - np.outer(view.beam_direction, view.beam_direction)
        total += across
        right += across @ view.centre
    return np.linalg.lstsq(total, right, rcond=None)[0]


def _isocentre_share(view: Projection) -> float:
    """Where the isocentre of a single cone or scanned beam is taken to be, as a share of the way from source to detector.

    A topogram's picture stands in the isocentre itself, where its header places it.
    """
    if view.is_scanned:
        return next(share for nearer, share in _SCANNERS if float(view.source_to_detector or 0) < nearer)
    return DEFAULT_SOURCE_TO_ISOCENTRE / DEFAULT_SOURCE_TO_DETECTOR


def default_grid(
    projections: Sequence[Projection], size: int | Sequence[int] = DEFAULT_SIZE, spacing: float = DEFAULT_SPACING
) -> Grid:
    """The LPS grid around the views' common centre: 64^3 voxels of 4 mm unless asked otherwise."""
    return Grid.centred(common_centre(projections), size, spacing)


def covering_spacing(radiographs: Sequence[Radiograph]) -> float:
    """The voxel size in mm with which 64 voxels hold the body's shadow in every view: 4 to 6.4 mm.

    They hold the depth of an adult behind a single picture of unknown scale.
    """
    centre = common_centre([r.projection for r in radiographs])
    reach = 0.0
    if len(radiographs) == 1 and "gain" in radiographs[0].unknown:
        small = matched(radiographs[0], DEFAULT_SPACING, centre)
        reach = _DEPTH[guessed_region([small], [shadow_of(small)])[0]] / 2
    for radiograph in radiographs:
        projection, values = radiograph.projection, radiograph.line_integrals
        if radiograph.valid is not None:
            values = np.where(radiograph.valid, values, 0)
        body = values > _SHADOW * values.max() if radiograph.calibrated else shadow_of(radiograph).body
        rows, columns = np.nonzero(body)
        if not len(rows):
            continue
        column, row = projection.project(centre[None])[0]
        down, across = projection.magnification(centre)
        half_width = (np.abs(columns - column).max() + 0.5) * projection.spacing[1] / across
        half_height = (np.abs(rows - row).max() + 0.5) * projection.spacing[0] / down
        reach = max(reach, half_width, half_height)
    return float(np.clip(2 * reach / DEFAULT_SIZE, DEFAULT_SPACING, _LARGEST_SPACING))


def grid_for(card: dict[str, Any], radiographs: Sequence[Radiograph]) -> Grid:
    """The grid around the views' common centre that a model with this card takes: its own size where that is fixed."""
    limits = card["outputs"]["grid"]
    fixed = "multiple_of" not in limits
    size = limits["size"] if fixed else np.minimum(DEFAULT_SIZE, limits.get("maximum", [DEFAULT_SIZE] * 3)).tolist()
    spacing = float(np.clip(covering_spacing(radiographs) * DEFAULT_SIZE / max(size), *limits["spacing_mm"]))
    return default_grid([r.projection for r in radiographs], size, spacing)
