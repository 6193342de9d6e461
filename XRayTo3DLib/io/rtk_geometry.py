"""RTK's circular geometry as XML (the Reconstruction Toolkit, versions 2 and 3 of the format), read and written.

RTK's world is that of the volume that it projects, in ITK's coordinates: the same CT file gives the same picture there and here
(LPS, mm). Angles are degrees. With R = Rz(-InPlaneAngle) Rx(-OutOfPlaneAngle) Ry(-GantryAngle), a point x of the world is at R x in
the axes of the detector. There the source is at (SourceOffsetX, SourceOffsetY, SourceToIsocenterDistance) and the detector in the
plane z = SourceToIsocenterDistance - SourceToDetectorDistance, its coordinates (u, v) at (u + ProjectionOffsetX, v +
ProjectionOffsetY). A SourceToDetectorDistance of 0 means parallel rays against z.

The file does not say how many pixels the detector has: row after row goes along v (RTK's arrays have the same order), and their
middle is at (0, 0). Source: RTKConsortium/RTK, rtkThreeDCircularProjectionGeometry and its XML reader and writer.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike

_ROOT, _VERSIONS = "RTKThreeDCircularGeometry", ("2", "3")
_DISTANCES = ("SourceToIsocenterDistance", "SourceToDetectorDistance")
_OFFSETS = ("SourceOffsetX", "SourceOffsetY", "ProjectionOffsetX", "ProjectionOffsetY")
_ANGLES = ("GantryAngle", "OutOfPlaneAngle", "InPlaneAngle")
#: The matrix of a file may differ from its parameters by this much, as in RTK.
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class RtkPose:
    """One projection of RTK: its nine parameters, mm and degrees."""

    values: dict[str, float]
    notes: tuple[str, ...]

    @property
    def axes(self) -> np.ndarray:
        """The axes x, y and z of the detector in the world, as rows."""
        from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

        gantry, out_of_plane, in_plane = (-self.values[key] for key in _ANGLES)
        return Rotation.from_euler("ZXY", (in_plane, out_of_plane, gantry), degrees=True).as_matrix()

    def matrix(self) -> np.ndarray:
        """The 3x4 matrix from the world (mm) to (u, v) in mm, as RTK computes it."""
        far, long, sx, sy, px, py = (self.values[key] for key in (*_DISTANCES, *_OFFSETS))
        shift = np.array([[1, 0, sx - px], [0, 1, sy - py], [0, 0, 1.0]])
        camera = np.array([[-long, 0, 0, long * sx], [0, -long, 0, long * sy], [0, 0, 1.0, -far]])
        if not long:
            camera = np.array([[1, 0, 0, -sx], [0, 1, 0, -sy], [0, 0, 0, 1.0]])
        return shift @ camera @ np.block([[self.axes, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])

    def projection(
        self, size: tuple[int, int] | None, spacing: tuple[float, float] | None, isocentre: ArrayLike, mirrored: bool
    ) -> Projection:
        """The pose with a detector of ``size`` (rows, columns) and ``spacing`` in mm around (u, v) = (0, 0)."""
        if size is None or spacing is None:
            raise InputError("The geometry of RTK does not say how large the detector is: give its size (rows, columns) and pixel.")
        axes = self.axes
        far, long, sx, sy, px, py = (self.values[key] for key in (*_DISTANCES, *_OFFSETS))
        u, v = -(size[1] - 1) / 2 * spacing[1], -(size[0] - 1) / 2 * spacing[0]
        if not long:
            return Projection(np.array([u + px, v + py, 0.0]) @ axes, axes[0], axes[1], spacing, size, ray_direction=-axes[2])
        origin = np.array([u + px, v + py, far - long]) @ axes
        return Projection(origin, axes[0], axes[1], spacing, size, source=np.array([sx, sy, far]) @ axes)


def read_rtk_geometry(content: bytes, name: str) -> list[RtkPose]:
    """The projections of a geometry file, in order. Parameters hold until another value comes, as in RTK.

    Raises :class:`InputError` for XML of something else, for a curved detector, and for a matrix that contradicts its parameters.
    """
    if b"<!ENTITY" in content:
        raise InputError(f"{name} defines entities, which a geometry of RTK never does: write it again.")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise InputError(f"{name} is no valid XML ({error}): write it again.") from None
    if root.tag != _ROOT or root.get("version") not in _VERSIONS:
        raise InputError(f"{name} is no {_ROOT} of version {' or '.join(_VERSIONS)}: write it again with RTK 2.")
    values = dict.fromkeys((*_DISTANCES, *_OFFSETS, *_ANGLES), 0.0)
    found: list[RtkPose] = []
    for element in root:
        _take(element, values, name)
        if element.tag == "Projection":
            notes: tuple[str, ...] = ()
            for part in element:
                _take(part, values, name)
                if part.tag.startswith("Collimation"):
                    notes = ("The collimation in RTK's geometry is not used: the whole detector is irradiated.",)
            pose = RtkPose(dict(values), notes)
            _check_matrix(element, pose, name)
            found.append(pose)
    if not found:
        raise InputError(f"{name} holds no projection: write it again.")
    return found


def rtk_geometry_text(projections: Mapping[str, Projection]) -> tuple[str, tuple[str, ...]]:
    """The text of a geometry file, and notes: pictures whose rows run against RTK's have to be turned over, top to bottom.

    The middle of each detector is at (u, v) = (0, 0). Raises :class:`InputError` for scanned beams, parallel rays that are not
    perpendicular to the detector, and for a mix of cone and parallel beams.
    """
    kinds = {projection.beam for projection in projections.values()}
    if len(kinds) > 1:
        raise InputError("The geometry of RTK holds cone beams or parallel beams, not both: write two files.")
    lines = ['<?xml version="1.0"?>', "<!DOCTYPE RTKGEOMETRY>", f'<{_ROOT} version="3">']
    turned = []
    for name, projection in projections.items():
        pose, flipped = _pose(projection)
        turned += [name] if flipped else []
        lines.append("  <Projection>")
        lines += [f"    <{key}>{value!r}</{key}>" for key, value in pose.values.items()]
        matrix = ["      " + " ".join(repr(float(value)) for value in row) for row in pose.matrix()]
        lines += ["    <Matrix>", *matrix, "    </Matrix>", "  </Projection>"]
    lines.append(f"</{_ROOT}>")
    told = f"RTK counts rows the other way: turn the pictures of {', '.join(turned)} over, top to bottom."
    return "\n".join(lines), (told,) if turned else ()


def _pose(projection: Projection) -> tuple[RtkPose, bool]:
    """The parameters of a projection, and whether its rows are counted from the other end: RTK's z points to the source."""
    from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

    beam = projection.beam_direction
    flipped = float(projection.normal @ beam) > 0
    row, column = projection.row_direction, projection.column_direction * (-1 if flipped else 1)
    axes = np.stack([row, column, np.cross(row, column)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gimbal lock: one of the sets of angles is as good as another
        in_plane, out_of_plane, gantry = -Rotation.from_matrix(axes).as_euler("ZXY", degrees=True)
    centre = axes @ projection.centre
    values = dict(zip(_ANGLES, (float(gantry) % 360, float(out_of_plane), float(in_plane)), strict=True))
    if projection.source is not None and projection.is_cone:
        source = axes @ projection.source
        numbers = (source[2], source[2] - centre[2], source[0], source[1], centre[0], centre[1])
    elif projection.ray_direction is not None and abs(projection.normal @ beam) > 1 - 1e-9:
        numbers = (1000.0, 0.0, 0.0, 0.0, centre[0], centre[1])
    else:
        raise InputError(
            "The geometry of RTK holds cone beams, and parallel rays perpendicular to the detector: write .json instead."
        )
    values |= dict(zip((*_DISTANCES, *_OFFSETS), map(float, numbers), strict=True))
    return RtkPose(values, ()), flipped


def _take(element: ElementTree.Element, values: dict[str, float], name: str) -> None:
    """One parameter; ``Angle`` is the old word for the gantry's."""
    key = "GantryAngle" if element.tag == "Angle" else element.tag
    if key not in values and key != "RadiusCylindricalDetector":
        return
    try:
        value = float(element.text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{name} has the {key} {element.text!r}, which is no number: write it again.")
    if key == "RadiusCylindricalDetector":
        if value:
            raise InputError(f"{name} has a curved detector, which is not supported: resample its pictures onto a flat one.")
        return
    values[key] = value


def _check_matrix(element: ElementTree.Element, pose: RtkPose, name: str) -> None:
    told = (element.findtext("Matrix") or "").split()
    if not told:
        return
    try:
        matrix = np.array([float(word) for word in told]).reshape(3, 4)
    except ValueError:
        raise InputError(f"{name} has a matrix that is not 3x4 numbers: write it again.") from None
    if not np.abs(matrix - pose.matrix()).max() <= _SAME:
        raise InputError(f"{name} has a matrix that contradicts the parameters beside it: write it again.")
