"""What a method is given in a setting: the field's X-rays, and the organ's outline as it would be drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.shapes.cases import FIELD_MM, FIELD_VOXELS, LONG, ShapeCase
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import SCANNER_SOURCE_TO_DETECTOR, SCANNER_SOURCE_TO_ISOCENTRE, view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.simulation.drr import render_drr

#: Source to detector, and to the middle of the field, in mm: of a cone beam.
DISTANCE, TO_ISOCENTRE = 1500.0, 1200.0
#: Side of a pixel in mm, at the middle of the field.
PIXEL_MM = 2.0
BEAMS = ("cone", "parallel", "scanned")


@dataclass(frozen=True)
class ShapeSetting:
    """``views``; whether the X-rays are given (a blank picture in their place otherwise), and whether the organ is drawn."""

    name: str
    views: tuple[str, ...]
    xray: bool = True
    drawn: bool = False


SETTINGS = {
    s.name: s
    for s in (
        ShapeSetting("one_view", ("AP",)),
        ShapeSetting("one_view_mask", ("AP",), drawn=True),
        ShapeSetting("mask_only", ("AP",), xray=False, drawn=True),
        ShapeSetting("two_views", ("AP", "LAT")),
    )
}


@dataclass(frozen=True, eq=False)
class Given:
    """What a method is given: radiographs in the field's frame, and a drawn mask (bool [row, column]) or ``None`` for each."""

    radiographs: list[Radiograph]
    masks: list[np.ndarray | None]


@dataclass(frozen=True, eq=False)
class ShapeXrays:
    """The X-rays of one case, each view made once."""

    case: ShapeCase
    beam: str = "cone"
    _made: dict[str, Radiograph] = field(default_factory=dict)
    _drawn: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, setting: str) -> Given:
        """What a setting gives; :class:`InputError` for an unknown one, and for an organ whose shadow misses the detector."""
        wanted = known_setting(setting)
        radiographs = [self.view(view) for view in wanted.views]
        if not wanted.xray:
            radiographs = [replace(r, line_integrals=np.zeros_like(r.line_integrals)) for r in radiographs]
        return Given(radiographs, [self.mask(view) if wanted.drawn else None for view in wanted.views])

    def view(self, view: str) -> Radiograph:
        """The radiograph of a view: line integrals of the whole CT at its own voxels, without noise."""
        if view not in self._made:
            assert self.case.ct is not None
            self._made[view] = render_drr(self.case.ct, [self._projection(view)], [view])[0]
        return self._made[view]

    def mask(self, view: str) -> np.ndarray:
        """The organ's shadow in a view, bool [row, column]: rays through more than half a voxel of it."""
        if view not in self._drawn:
            shadow = project(self.case.truth.astype(np.float32), self.case.grid, [self._projection(view)])[0].numpy()
            self._drawn[view] = shadow > 0.5 * self.case.grid.voxel_volume ** (1 / 3)
            if not self._drawn[view].any():
                raise InputError(f"The {self.case.organ} of {self.case.name} casts no shadow on the detector: leave it out.")
        return self._drawn[view]

    def _projection(self, view: str) -> Projection:
        return projection_of(view, self.case.field.size[0] * self.case.field.spacing[0], self.beam)


def known_setting(name: str) -> ShapeSetting:
    """A setting by its name; :class:`InputError` for an unknown one."""
    if name not in SETTINGS:
        raise InputError(f"The setting {name!r} is not known: use one of {', '.join(SETTINGS)}.")
    return SETTINGS[name]


def projection_of(view: str, side_mm: float, beam: str = "cone") -> Projection:
    """A view of a field of ``side_mm`` around the origin, on a detector that holds the field's middle plane and a quarter more."""
    if beam not in BEAMS:
        raise InputError(f"The beam {beam!r} is not known: use one of {', '.join(BEAMS)}.")
    pixels = round(1.25 * side_mm / PIXEL_MM)
    if beam == "parallel":
        return view_projection(view, (0, 0, 0), (pixels, pixels), PIXEL_MM, None)
    if beam == "scanned":
        across = PIXEL_MM * SCANNER_SOURCE_TO_DETECTOR / SCANNER_SOURCE_TO_ISOCENTRE
        where = SCANNER_SOURCE_TO_DETECTOR, SCANNER_SOURCE_TO_ISOCENTRE
        return view_projection(view, (0, 0, 0), (pixels, pixels), (PIXEL_MM, across), *where, scan_axis="column")
    pixel = PIXEL_MM * DISTANCE / TO_ISOCENTRE
    return view_projection(view, (0, 0, 0), (pixels, pixels), pixel, DISTANCE, TO_ISOCENTRE)


def in_words(beam: str, organs: Sequence[str]) -> str:
    """Everything that a figure depends on, for every table of figures."""
    sides = " and ".join(f"{side:g} mm ({region})" for region, side in FIELD_MM.items())
    pixel = PIXEL_MM * DISTANCE / TO_ISOCENTRE
    beams = {
        "cone": f"cone beams from {TO_ISOCENTRE:g} mm on pixels of {pixel:g} mm at {DISTANCE:g} mm",
        "parallel": f"parallel beams on pixels of {PIXEL_MM:g} mm",
        "scanned": f"beams that travel along the patient, as a CT's topogram, from {SCANNER_SOURCE_TO_ISOCENTRE:g} mm on rows of "
        f"{PIXEL_MM:g} mm at {SCANNER_SOURCE_TO_DETECTOR:g} mm",
    }
    long = ", ".join(LONG)
    words = f"""\
Field: a cube of {sides}; its top is the scan's top, or lower where the organ would not be in it with 20 mm below it; in x
and y it is centred on the body (evaluation protocol). X-rays: line integrals of the whole CT at its own voxels, without
noise, {beams[beam]}. Settings: one_view (AP); one_view_mask (AP, and the organ's shadow drawn: rays through more than half a
voxel of it); mask_only (the shadow alone, on a blank X-ray); two_views (AP and lateral). Methods: ours is what organ_shape
gives by default; models by their names; mean is the mean shape of the training organs (its volume theirs) with its box
centred on that of the truth, mean_scaled the mean of shapes stretched to one box, stretched to that of the truth, mean_body
the mean shape where the training organs lie in the field on average; nearest is the organ of the training CT with the most
similar X-ray (and drawn shadow) in the same field; segmentation are the lungs that thresholds find in the default
reconstruction; ceiling is the truth on the answer's own voxels (the field's {FIELD_VOXELS}^3 without an answer) and back. A
training CT of the case's own patient is never used for it. Figures: on the voxels of the truth; hausdorff, hd95 (95 %) and
the average surface distance between surface voxels; landmarks: menton, condyles and gonions of the mandible, the six ends of
other organs, mean distance; volume_error: |found - true| / true, volume_rmse_ml: root of the mean square; coverage_90: the
share of cases whose interval holds the true volume. Organs that are cut by the scan (through more than 2 % of their largest
section), larger than the field, or smaller than a quarter of the mean are left out and counted; {long} are measured inside
the field."""
    return f"Organs: {', '.join(organs)}. " + " ".join(words.split())
