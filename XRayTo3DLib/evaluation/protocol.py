"""The evaluation protocol: its grids, settings and words, stable from the first release on, so that figures stay comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import SCANNER_SOURCE_TO_DETECTOR, SCANNER_SOURCE_TO_ISOCENTRE, view_projection
from XRayTo3DLib.images.orientation import is_upright, oriented, upright
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.simulation.exposure import Exposure

BODY_HU = -300.0
TOP_MM = 180.0
#: Surfaces closer than this many voxels agree: the tolerance of the normalised surface distance.
TOLERANCE_VOXELS = 1.5
#: Cone beams: source to detector, and its default share to the isocentre, in mm.
_DISTANCE = 1500.0
#: The harder settings' exposure.
HARD_EXPOSURE = Exposure(kilovolts=100.0, photons=2e4, blur=0.4)
HARD_PIXEL_MM, HARD_STEP_MM = 1.0, 1.0
#: The thickness of water, mm, behind which the harder settings' beam is calibrated.
HARD_WATER_MM = 200.0
#: Of what lies in the isocentre, across a scanned beam.
_MAGNIFICATION = SCANNER_SOURCE_TO_DETECTOR / SCANNER_SOURCE_TO_ISOCENTRE


@dataclass(frozen=True)
class Protocol:
    """The grid that cases are measured on: ``size``^3 voxels of ``spacing`` mm."""

    name: str
    size: int
    spacing: float

    @property
    def extent_mm(self) -> float:
        """The side of the grid in mm."""
        return self.size * self.spacing


STANDARD = Protocol("standard", 64, 4.0)
#: ``chest128`` is the grid of X2CT and its followers.
PROTOCOLS = {p.name: p for p in (STANDARD, Protocol("chest128", 128, 2.5))}


@dataclass(frozen=True)
class Setting:
    """What is X-rayed and what the method is told of it.

    ``views``: how the beams really go; ``told``: what the method is told, where that differs; ``distance``: source to detector in
    mm, ``None`` for parallel beams; ``hard``: X-rays of the CT at its own voxels through a real exposure; ``whole``: matter outside
    the grid is X-rayed too; ``scanned``: the beams travel along the patient, as those of a CT's topograms.
    """

    name: str
    views: tuple[str, ...]
    distance: float | None = None
    told: tuple[str, ...] = ()
    hard: bool = False
    whole: bool = False
    scanned: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The views as the method knows them."""
        return self.told or self.views

    @property
    def known(self) -> bool:
        """Whether the method is told the true geometry."""
        return self.names == self.views


_AP_LAT = ("AP", "LAT")
#: First the protocol's settings, unchanged since the first release, then the harder group, then topograms.
SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting("one_view", ("AP",)),
        Setting("two_views", _AP_LAT),
        Setting("two_views_10deg", ("AP", "LAT+10")),
        Setting("two_views_cone", _AP_LAT, _DISTANCE),
        Setting("hard_one_view", ("AP",), _DISTANCE, hard=True),
        Setting("hard_two_views", _AP_LAT, _DISTANCE, hard=True),
        Setting("hard_two_views_2deg", ("AP", "LAT+2"), _DISTANCE, _AP_LAT, hard=True),
        Setting("hard_two_views_5deg", ("AP", "LAT+5"), _DISTANCE, _AP_LAT, hard=True),
        Setting("hard_two_views_10deg", ("AP", "LAT+10"), _DISTANCE, _AP_LAT, hard=True),
        Setting("hard_two_views_whole", _AP_LAT, _DISTANCE, hard=True, whole=True),
        Setting("scanned_one_view", ("AP",), SCANNER_SOURCE_TO_DETECTOR, scanned=True),
        Setting("scanned_two_views", _AP_LAT, SCANNER_SOURCE_TO_DETECTOR, scanned=True),
    )
}


def projections(views: tuple[str, ...], setting: Setting, grid: Grid) -> list[Projection]:
    """``views`` of a setting over a case's grid: as many parallel pixels as voxels, or a detector that holds all of it."""
    if setting.scanned:
        shape, pixels = (grid.size[0], grid.size[0] * 11 // 8), (grid.spacing[0], grid.spacing[0] * _MAGNIFICATION)
        where = SCANNER_SOURCE_TO_DETECTOR, SCANNER_SOURCE_TO_ISOCENTRE
        return [view_projection(view, grid.centre, shape, pixels, *where, scan_axis="column") for view in views]
    if setting.distance is None:
        size, pixel = grid.size[0], grid.spacing[0]
    else:
        size, pixel = grid.size[0] * 5 // 4, grid.spacing[0] * 5 / 4
        if setting.hard:
            size, pixel = round(size * pixel / HARD_PIXEL_MM), HARD_PIXEL_MM
    return [view_projection(view, grid.centre, (size, size), pixel, setting.distance) for view in views]


#: Filled by :func:`in_words`; what a figure depends on and is not said here is not part of the protocol.
_WORDS = f"""\
Grid: {{n}}^3 voxels of {{voxel}} mm, LPS; its top slice is the scan's top slice, its centre in x and y that of the body's
bounding box over the top {TOP_MM:g} mm; linear interpolation of the CT, whatever its axes, air outside the scan.
Settings without hard_: X-rays are line integrals of the CT on this grid by the library's own projector, without noise; parallel
beams on {{n}} x {{n}} pixels of {{voxel}} mm, cone beams from 1200 mm on {{cone}} x {{cone}} pixels of {{pixel}} mm at 1500 mm;
two_views_10deg has the lateral turned by 10 degrees, and the method is told. Settings scanned_*: the same of beams that travel
along the patient, as a CT's topograms, from {SCANNER_SOURCE_TO_ISOCENTRE:g} mm, on {{n}} rows of {{voxel}} mm and {{topogram}}
columns of {{wide}} mm at {SCANNER_SOURCE_TO_DETECTOR:g} mm.
Settings hard_*: X-rays of the CT at its own voxels by marching along rays (trilinear samples at most {HARD_STEP_MM:g} mm apart,
no code of the projector), cone beams from 1200 mm on {{hard}} x {{hard}} pixels of {HARD_PIXEL_MM:g} mm at 1500 mm, of a
{HARD_EXPOSURE.kilovolts:g} kV beam through water and cortical bone,
{HARD_EXPOSURE.photons:g} photons a pixel, blur {HARD_EXPOSURE.blur:g} mm; the
method is given them as of one energy, calibrated behind {HARD_WATER_MM:g} mm of water. Matter outside the grid is not X-rayed,
but in hard_two_views_whole. In hard_two_views_2deg, _5deg and _10deg the lateral is turned by that much and the method is told
90 degrees: the column geometry says known or unknown to the method.
Methods: each alone and after the same fusion with its X-rays (_fused); mean, nearest and oracle are the mean volume of training
CTs, the training CT with the most similar X-rays and the one nearest to the truth; ceiling is the truth itself put on this grid
and back on the CT's own voxels (2 mm at the finest), measured there. A model whose card does not take this grid reconstructs on
half as many voxels of twice the size in the same place, and is interpolated (and fused) onto it.
Figures, over the whole grid ({{side}} mm cube): psnr with peak 2500 and ssim with data range 2500 (scikit-image, defaults, 3D)
on HU + 1024 clipped to [0, 2500]; psnr_x2ct: the same error with peak 4095; psnr_slices and ssim_slices: X2CT's convention,
means over the axial, coronal and sagittal slices, PSNR a slice with peak 4095 on whole numbers, 2D SSIM with data range 2500;
hu_mae_body in HU where the truth is above -300 HU; reprojection: the mean absolute error of the line integrals over the mean
measured one, the worst view, with the geometry that the method was told; dice, hd95 (95 % Hausdorff distance in mm) and nsd
(share of both surfaces within {{tolerance}} mm, {TOLERANCE_VOXELS:g} voxels, of the other) of body (all inside the skin), bone
and lungs (where the CT has any), by the same thresholds in both.
A mean is over the cases that have the figure; their number stands behind it where it is not all.
"""


def in_words(protocol: Protocol) -> str:
    """Everything that a figure depends on, for every table of figures."""
    n, voxel = protocol.size, protocol.spacing
    cone, pixel = n * 5 // 4, voxel * 5 / 4
    words = _WORDS.format(
        n=n,
        voxel=f"{voxel:g}",
        side=f"{protocol.extent_mm:g}",
        cone=cone,
        pixel=f"{pixel:g}",
        tolerance=f"{TOLERANCE_VOXELS * voxel:g}",
        hard=round(cone * pixel / HARD_PIXEL_MM),
        topogram=n * 11 // 8,
        wide=f"{voxel * _MAGNIFICATION:.4g}",
    )
    return " ".join(words.split())


def scan_top(volume: Volume, x: float, y: float) -> float:
    """LPS z in mm of the scan's top slice, any direction: where the vertical line at ``x``, ``y`` leaves the voxel centres.

    In an upright scan that is the centre of the top slice wherever the line stands. A line beside an oblique scan takes the
    scan's own middle.
    """
    grid = oriented(volume).grid
    if is_upright(grid):
        return float(grid.origin[2] + (grid.size[2] - 1) * grid.spacing[2])
    for place in (np.array([x, y, 0.0, 1.0]), np.array([*grid.centre, 1.0])):
        start, step = (grid.to_index @ place)[:3], grid.to_index[:3, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = np.sort(np.stack([-start / step, (np.array(grid.size) - 1 - start) / step]), axis=0)
        low, high = np.nanmax(limits[0]), np.nanmin(limits[1])
        if low <= high:
            break
    return float(place[2] + high)


def body_centre(volume: Volume) -> tuple[float, float]:
    """LPS x and y in mm of the middle of the body's bounding box over the top 180 mm of a CT of any direction."""
    standing = upright(volume)
    grid, array = standing.grid, standing.array
    if not is_upright(oriented(volume).grid):
        # An oblique scan has corners above its top, where the box around it holds air.
        top = scan_top(volume, float(volume.grid.centre[0]), float(volume.grid.centre[1]))
        array = array[: max(1, round((top - grid.origin[2]) / grid.spacing[2]) + 1)]
    slices = max(1, round(TOP_MM / grid.spacing[2]))
    inside = array[-slices:] > BODY_HU
    # The couch is thin: it vanishes under an opening of 10 mm, and the body is the largest piece of what stays.
    radius = [max(1, round(5 / s)) for s in grid.spacing[::-1]]
    opened = ndimage.binary_opening(inside, np.ones([2 * r + 1 for r in radius]))
    pieces, count = ndimage.label(opened if opened.any() else inside)
    if count == 0:
        raise InputError("No body was found in the top 180 mm of the CT (nothing above -300 HU): is it in HU?")
    body = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    y, x = (np.flatnonzero(body.any(axis=(0, axis))) for axis in (2, 1))
    middle = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    return tuple(grid.origin[i] + middle[i] * grid.spacing[i] for i in (0, 1))  # type: ignore[return-value]


def protocol_grid(volume: Volume, size: int = STANDARD.size, spacing: float = STANDARD.spacing) -> Grid:
    """64^3 voxels of 4 mm, LPS: top slice at the scan's top slice, centred on the body in x and y; any CT direction."""
    x, y = body_centre(volume)
    return Grid.centred((x, y, scan_top(volume, x, y) - (size - 1) / 2 * spacing), size, spacing)
