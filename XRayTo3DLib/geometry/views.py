"""Radiographic views: AP, PA, laterals, obliques and C-arm angles, by their words or as values, and as projections.

The patient lies in LPS. A view is named by where its beam goes; pictures stand upright (superior at the top), and a frontal
picture has the patient's right on its left whether the beam is AP or PA, as a radiologist hangs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import LARGEST_SIDE, SCAN_AXES, Projection, detector_size
from XRayTo3DLib.geometry.vectors import LARGEST_LENGTH, ArrayLike, number, numbers, unit, vector

#: Beam axes (tube to detector, LPS) and whether the picture is shown as seen from the detector.
_NAMED = {
    "AP": ((0.0, 1.0, 0.0), False),
    "PA": ((0.0, -1.0, 0.0), True),
    "LLAT": ((1.0, 0.0, 0.0), False),  # left side against the detector
    "RLAT": ((-1.0, 0.0, 0.0), False),
}
_ALIASES = {"LAT": "LLAT", "LL": "LLAT", "RL": "RLAT", "LATERAL": "LLAT", "FRONTAL": "AP"}
_NUMBER = r"\d+(?:\.\d+)?(?:E[+-]?\d+)?"
#: Words for views, for help texts.
VIEW_WORDS = "AP, PA, LAT (= LLAT), RLAT, LAO30, RAO20, LAO30CRAN15, RAO20CAUD10, AP+10 (turned by degrees)"

DEFAULT_SOURCE_TO_DETECTOR = 1500.0
DEFAULT_SOURCE_TO_ISOCENTRE = 1200.0
#: A CT that takes a topogram: its tube and its arc of detectors, in mm.
SCANNER_SOURCE_TO_DETECTOR = 1085.0
SCANNER_SOURCE_TO_ISOCENTRE = 595.0
#: Words for kinds of beams: see :func:`beam_fields`.
BEAMS = ("cone", "parallel", "scanned")


def beam_fields(beam: str, source_to_detector: float | None = None, source_to_isocentre: float | None = None) -> dict[str, Any]:
    """The fields of a :class:`ViewSpec` that the word for a beam means, with the distances in mm that go with it.

    A ``"cone"`` has 1500 mm, a ``"scanned"`` beam 1085 mm from source to detector; what is given wins. A parallel beam has no
    source, so that a source-to-detector distance is an :class:`InputError`, as is an unknown word.
    """
    if beam not in BEAMS:
        raise InputError(f"The beam {beam!r} is not known: use one of {', '.join(BEAMS)}.")
    if beam == "parallel" and source_to_detector is not None:
        raise InputError("A source-to-detector distance has no meaning for a parallel beam: leave it out, or choose another beam.")
    usual = {"cone": DEFAULT_SOURCE_TO_DETECTOR, "parallel": None, "scanned": SCANNER_SOURCE_TO_DETECTOR}[beam]
    return {
        "source_to_detector": usual if source_to_detector is None else source_to_detector,
        "source_to_isocentre": source_to_isocentre,
        "scan_axis": "column" if beam == "scanned" else None,
    }


def carm_direction(primary: float, secondary: float = 0.0) -> np.ndarray:
    """Beam axis (LPS, tube to detector) of the C-arm angles of DICOM in degrees.

    ``primary`` (PositionerPrimaryAngle) is positive when the detector stands to the patient's left (LAO), ``secondary``
    (PositionerSecondaryAngle) when it stands towards the head (cranial); (0, 0) is a PA beam, the detector above the patient
    (DICOM PS3.3 C.8.7.5.1.2).
    """
    angles = numbers([primary, secondary])
    if angles.shape != (2,) or not np.isfinite(angles).all():
        raise InputError(f"The C-arm angles {primary!r} and {secondary!r} must be two numbers of degrees: correct them.")
    a, b = np.radians(angles)
    return np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])


def parse_view(view: str) -> tuple[np.ndarray, bool]:
    """A view's word to its beam axis (LPS) and whether it is shown from the detector; see :data:`VIEW_WORDS`.

    ``AP+10`` is AP turned by 10 degrees about the long axis of the patient, as seen from above from AP towards the left
    lateral beam. Raises :class:`InputError` for an unknown word.
    """
    if not isinstance(view, str):
        raise InputError(f"The view {view!r} is no word: use one of {VIEW_WORDS}.")
    word = view.strip().upper().replace(" ", "")
    turned = re.fullmatch(rf"([A-Z]+)([+-]{_NUMBER})", word)
    base, degrees = (turned[1], float(turned[2])) if turned else (word, 0.0)
    base = _ALIASES.get(base, base)
    if base in _NAMED:
        direction, mirrored = _NAMED[base]
        if not degrees:
            return np.array(direction), mirrored
        from scipy.spatial.transform import Rotation  # takes as long to load as all the rest

        # From AP (+y) towards the left lateral beam (+x) is a negative turn about +z (superior).
        return Rotation.from_euler("z", -degrees, degrees=True).apply(direction), mirrored
    arm = re.fullmatch(rf"(LAO|RAO)({_NUMBER})(?:(CRAN|CAUD)({_NUMBER}))?", word)
    arm = arm or re.fullmatch(rf"()()(CRAN|CAUD)({_NUMBER})", word)
    if arm:
        primary = float(arm[2] or 0) * (-1 if arm[1] == "RAO" else 1)
        secondary = float(arm[4] or 0) * (-1 if arm[3] == "CAUD" else 1)
        return carm_direction(primary, secondary), True
    raise InputError(f"The view {view!r} is not known: use one of {VIEW_WORDS}.")


@dataclass(frozen=True)
class ViewSpec:
    """Where one X-ray is taken from: a value that travels whole; words for views are read once, by :meth:`parse`.

    - ``direction``: unit vector of the beam's axis, LPS, tube to detector;
    - ``name``: what the user calls the view, for titles alone;
    - ``mirrored``: whether the picture is shown as seen from the detector;
    - ``isocentre``: LPS mm of the point that the beam is aimed at; ``None`` is the centre of what is X-rayed;
    - ``size``: (rows, columns); ``None`` is just large enough for the shadow of what is X-rayed;
    - ``spacing``: mm between rows and between columns; one number means both;
    - ``source_to_detector`` in mm, or ``None`` for a parallel beam, whose detector then stands at ``source_to_isocentre``
      mm (0 by default) behind the isocentre;
    - ``source_to_isocentre`` in mm; by default 0.8 of ``source_to_detector``, and 595 of 1085 for a scanned beam;
    - ``scan_axis``: ``"column"`` or ``"row"`` when source and detector travel along it (a CT topogram, a slot scanner).

    Raises :class:`InputError` for values that cannot be.
    """

    direction: tuple[float, float, float]
    name: str = ""
    mirrored: bool = False
    isocentre: tuple[float, float, float] | None = None
    size: tuple[int, int] | None = None
    spacing: tuple[float, float] = (2.0, 2.0)
    source_to_detector: float | None = DEFAULT_SOURCE_TO_DETECTOR
    source_to_isocentre: float | None = None
    scan_axis: str | None = None

    def __post_init__(self) -> None:
        def settle(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        settle("direction", tuple(unit(self.direction, "beam axis").tolist()))
        settle("name", str(self.name))
        if self.isocentre is not None:
            settle("isocentre", tuple(vector(self.isocentre, "isocentre").tolist()))
        if self.size is not None:
            settle("size", detector_size(self.size))
        sides = numbers(self.spacing)
        if sides.shape not in ((), (2,)) or not ((sides > 0) & (sides < np.inf)).all():
            raise InputError(f"The pixel spacing {self.spacing!r} must be one or two positive numbers in mm: correct the spacing.")
        settle("spacing", tuple(np.broadcast_to(sides, 2).tolist()))
        for name in ("source_to_detector", "source_to_isocentre"):
            if getattr(self, name) is not None:
                settle(name, number(getattr(self, name), f"{name.replace('_', '-')} distance"))
        if self.scan_axis is not None and (self.scan_axis not in SCAN_AXES or self.source_to_detector is None):
            raise InputError(
                f"A beam scanned along {self.scan_axis!r} cannot be: name {' or '.join(SCAN_AXES)}, and give a source-to-detector "
                "distance."
            )
        self._check_distances()

    @property
    def _to_axis(self) -> float:
        """Source to isocentre in mm of a beam that has a source."""
        if self.source_to_isocentre is not None:
            return self.source_to_isocentre
        share = 0.8 if self.scan_axis is None else SCANNER_SOURCE_TO_ISOCENTRE / SCANNER_SOURCE_TO_DETECTOR
        return share * float(self.source_to_detector or 0)

    def _check_distances(self) -> None:
        if self.source_to_detector is None:
            if self.source_to_isocentre is not None and not abs(self.source_to_isocentre) <= LARGEST_LENGTH:
                raise InputError(
                    f"The source-to-isocentre distance {self.source_to_isocentre:g} mm, at which the detector of a parallel beam "
                    "stands behind the isocentre, is too large: correct it."
                )
            return
        axis = self._to_axis
        if not 0 < axis <= self.source_to_detector <= LARGEST_LENGTH:  # also true for NaN
            raise InputError(
                f"The source-to-isocentre distance {axis:g} mm must lie between 0 and the source-to-detector distance "
                f"{self.source_to_detector:g} mm: correct the distances."
            )

    @classmethod
    def parse(cls, word: str, **where: Any) -> ViewSpec:
        """The view of a word (see :data:`VIEW_WORDS`), called by it; ``where`` are the other fields."""
        direction, mirrored = parse_view(word)
        return cls(tuple(direction.tolist()), **{"name": word, "mirrored": mirrored, **where})

    @classmethod
    def from_angles(cls, primary: float, secondary: float = 0.0, **where: Any) -> ViewSpec:
        """The view of a C-arm's two angles in degrees, as in :func:`carm_direction`; ``where`` are the other fields."""
        return cls(tuple(carm_direction(primary, secondary).tolist()), **{"mirrored": True, **where})

    @property
    def angles(self) -> tuple[float, float]:
        """The primary (-180 to 180) and secondary (-90 to 90) angle of a C-arm in degrees, the inverse of :meth:`from_angles`."""
        x, y, z = self.direction
        return float(np.degrees(np.arctan2(x, -y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))

    def projection(self, grid: Grid | None = None) -> Projection:
        """The view as a projection. ``grid`` is what is X-rayed: it gives an isocentre and a size that are ``None``.

        Raises :class:`InputError` when the detector would be too large, when the source stands in or before the grid, and
        without a grid when there is no size; the isocentre is then the origin.
        """
        if self.isocentre is None:
            middle = (0.0, 0.0, 0.0) if grid is None else tuple(grid.centre.tolist())
            return replace(self, isocentre=middle).projection(grid)
        if self.size is not None:
            return self._aimed(np.array(self.isocentre), self.size)
        if grid is None:
            raise InputError(f"The view {self.name} has no detector size: give its rows and columns.")
        title = self.name or "the view"
        corners = self._aimed(np.array(self.isocentre), (2, 2)).project(grid.corners)
        if np.isnan(corners).any():
            raise InputError(
                f"The source of {title} stands inside the volume or before a part of it: use a larger "
                "source-to-isocentre distance, or give the detector's size."
            )
        columns, rows = (int(n) for n in np.ceil(2 * np.abs(corners - 0.5).max(axis=0)) + 2)
        if max(rows, columns) > LARGEST_SIDE:
            raise InputError(
                f"The detector of {title} would need {rows} x {columns} pixels: use larger pixels, a larger "
                "source-to-isocentre distance or another isocentre, or give the detector's size."
            )
        return self._aimed(np.array(self.isocentre), (rows, columns))

    def _aimed(self, isocentre: np.ndarray, size: tuple[int, int]) -> Projection:
        direction = np.array(self.direction)
        up = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.99 else np.array([0.0, -1.0, 0.0])
        column_direction = -unit(up - (up @ direction) * direction)
        row_direction = np.cross(column_direction, direction) * (-1 if self.mirrored else 1)
        source = None
        if self.source_to_detector is None:
            behind = self.source_to_isocentre or 0.0
        else:
            axis = self._to_axis
            behind, source = self.source_to_detector - axis, isocentre - axis * direction
        corner = isocentre + behind * direction
        for pixels, side, along in zip(size, self.spacing, (column_direction, row_direction), strict=True):
            corner = corner - (pixels - 1) / 2 * side * along
        ray = direction if source is None else None
        return Projection(corner, row_direction, column_direction, self.spacing, size, source, ray, self.scan_axis)


def view_projection(
    view: str | ArrayLike,
    isocentre: ArrayLike = (0.0, 0.0, 0.0),
    size: tuple[int, int] = (256, 256),
    spacing: float | tuple[float, float] = 2.0,
    source_to_detector: float | None = DEFAULT_SOURCE_TO_DETECTOR,
    source_to_isocentre: float | None = None,
    mirrored: bool | None = None,
    scan_axis: str | None = None,
) -> Projection:
    """The projection of a named view (or of a beam axis, three LPS numbers) aimed at ``isocentre`` (LPS mm).

    ``size``, ``spacing``, distances and ``scan_axis`` are those of :class:`ViewSpec`; ``mirrored`` overrides whether the picture
    is shown as seen from the detector. Raises :class:`InputError` for an unknown view or impossible distances.
    """
    direction, seen_from_detector = parse_view(view) if isinstance(view, str) else (unit(view, "beam axis"), False)
    return ViewSpec(
        tuple(direction.tolist()),
        view if isinstance(view, str) else "",
        seen_from_detector if mirrored is None else mirrored,
        tuple(vector(isocentre, "isocentre").tolist()),
        detector_size(size),
        spacing,  # type: ignore[arg-type]
        source_to_detector,
        source_to_isocentre,
        scan_axis,
    ).projection()


def fit_projection(
    view: str,
    grid: Grid,
    pixel: float = 2.0,
    source_to_detector: float | None = DEFAULT_SOURCE_TO_DETECTOR,
    source_to_isocentre: float | None = None,
    scan_axis: str | None = None,
) -> Projection:
    """The projection of a named view aimed at the grid's centre, with a detector just large enough for the whole grid.

    ``pixel`` is the side of a detector pixel in mm; distances and ``scan_axis`` are those of :class:`ViewSpec`.
    """
    distances = {"source_to_detector": source_to_detector, "source_to_isocentre": source_to_isocentre}
    return ViewSpec.parse(view, spacing=pixel, **distances, scan_axis=scan_axis).projection(grid)
