"""Calibrated geometries from files and to files, one reader and one writer for all formats.

- JSON of our own (.json): one or several projections with their names, every digit, all kinds of beams. LPS, mm, pixel [0, 0]
  centred on ``origin``; ``spacing`` (between rows, between columns) and ``size`` (rows, columns): :meth:`Projection.to_dict`;
- a 3x4 matrix as text or JSON: LPS mm to (column, row), pixel [0, 0] centred on (0, 0); size and pixel have to be given;
- Autoscoper's camera files, MayaCam 1.0 and 2.0: see :mod:`XRayTo3DLib.io.autoscoper`;
- RTK's geometry (.xml): see :mod:`XRayTo3DLib.io.rtk_geometry`; size and pixel have to be given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, read_text_file, writing
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, immutable
from XRayTo3DLib.io import autoscoper, rtk_geometry
from XRayTo3DLib.io.matrices import read_projection_matrix

_FORMAT = "XRayTo3D projections"
#: A matrix that differs from the detector taken for it by less than this, in pixels, is that detector.
_EXACT_PIXELS = 1e-3


@dataclass(frozen=True, eq=False)
class Calibration:
    """One geometry of a file before it is placed: what the file does not say is given to :meth:`placed`."""

    name: str
    make: Callable[[tuple[int, int] | None, tuple[float, float] | None, ArrayLike, bool], Projection]
    matrix: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    states_size: bool = True

    def placed(
        self,
        size: tuple[int, int] | None = None,
        spacing: tuple[float, float] | None = None,
        isocentre: ArrayLike = (0.0, 0.0, 0.0),
        mirrored: bool = False,
    ) -> tuple[Projection, tuple[str, ...]]:
        """The projection, and notes of what was assumed: how far off the nearest rectangular detector is, for one.

        ``size`` (rows, columns) and ``spacing`` (mm between rows and between columns) count where the file says none; ``isocentre``
        and ``mirrored`` are those of :meth:`Projection.from_matrix`. Raises :class:`InputError` for what is missing.
        """
        projection = self.make(size, spacing, isocentre, mirrored)
        notes = self.notes
        misfit = 0.0 if self.matrix is None else projection.misfit(self.matrix)
        if misfit > _EXACT_PIXELS:
            told = "The matrix has pixels that are no rectangles of these sides: the nearest detector that has is taken, which is"
            notes = (*notes, f"{told} off by up to {misfit:.2g} pixels.")
        return projection, notes


def read_calibrations(path: str | Path) -> list[Calibration]:
    """All geometries of a file, in its order, by what is in it rather than by its ending.

    Raises :class:`InputError` for a file of no known format (as one that holds no matrix), and for one that is damaged.
    """
    content = read_text_file(path, "geometry file")
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:16]
    stem = Path(path).stem
    if start.startswith(b"<"):
        return [
            Calibration(_numbered(stem, at, len(poses)), pose.projection, notes=pose.notes, states_size=False)
            for poses in [rtk_geometry.read_rtk_geometry(content, str(path))]
            for at, pose in enumerate(poses)
        ]
    stored: Any = None
    if start.startswith(b"{"):
        with suppress(InputError):  # a damaged one is refused as what it would be
            stored = parse_json(content, f"The geometry file {path}")
        if isinstance(stored, dict) and "matrix" not in stored:
            return _own(stored, stem, str(path))
    camera = autoscoper.read_camera(content, str(path))
    if camera is not None:
        return [_of_camera(camera, stem)]
    return [calibration_of_matrix(immutable(read_projection_matrix(path)), stem)]


def read_projection(
    path: str | Path,
    size: tuple[int, int] | None = None,
    spacing: tuple[float, float] | None = None,
    isocentre: ArrayLike = (0.0, 0.0, 0.0),
    mirrored: bool = False,
    name: str | None = None,
) -> Projection:
    """The one projection of a file, or the one called ``name``; the other arguments are those of :meth:`Calibration.placed`."""
    return only(read_calibrations(path), name, str(path)).placed(size, spacing, isocentre, mirrored)[0]


def only(calibrations: Sequence[Calibration], name: str | None, path: str) -> Calibration:
    """The only one of a file's geometries, or the one with this name; :class:`InputError` where that is not clear."""
    named = [one for one in calibrations if name is not None and one.name.upper() == name.upper()]
    if len(named) == 1 or len(calibrations) == 1:
        return (named or list(calibrations))[0]
    known = ", ".join(one.name for one in calibrations[:8]) + (", ..." if len(calibrations) > 8 else "")
    raise InputError(
        f"{path} holds {len(calibrations)} geometries ({known}): name the one that is meant, or give it a file of its own."
    )


def write_projections(projections: Mapping[str, Projection], path: str | Path) -> tuple[str, ...]:
    """Write projections by their names: .json for our own format, .xml for RTK, .txt for MayaCam 2.0, .csv for MayaCam 1.0.

    The file appears whole or not at all. Returns notes of what a format cannot keep. Raises :class:`InputError` for another ending,
    for several projections where a format holds one, and for beams that it does not know.
    """
    ending = Path(path).suffix.lower()
    notes: tuple[str, ...] = ()
    if not projections:
        raise InputError(f"There is no projection to write to {path}: give at least one.")
    if ending == ".json":
        text = json.dumps(
            {
                "format": _FORMAT,
                "version": 1,
                "coordinates": "LPS, mm; origin is the centre of pixel [0, 0]",
                "order": "size: rows, columns; spacing: between rows, between columns; directions: along a row, down a column",
                "projections": [{"name": name, **projection.to_dict()} for name, projection in projections.items()],
            },
            indent=2,
        )
    elif ending == ".xml":
        text, notes = rtk_geometry.rtk_geometry_text(projections)
    elif ending in (".txt", ".csv"):
        if len(projections) > 1:
            raise InputError(f"A camera file of Autoscoper holds one projection, not {len(projections)}: write a file for each.")
        text, notes = autoscoper.camera_text(next(iter(projections.values())), version=2 if ending == ".txt" else 1)
    else:
        raise InputError(f"{path} cannot hold a geometry: end the name in .json, .xml (RTK), .txt or .csv (Autoscoper).")
    with writing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return notes


def write_projection(projection: Projection, path: str | Path, name: str = "") -> tuple[str, ...]:
    """Write one projection as :func:`write_projections` does."""
    return write_projections({name or Path(path).stem: projection}, path)


def _numbered(stem: str, at: int, count: int) -> str:
    return stem if count == 1 else f"{stem}_{at + 1}"


def _own(stored: dict[str, Any], stem: str, path: str) -> list[Calibration]:
    """Our own JSON, or one projection as :meth:`Projection.to_dict` gives it."""
    if "projections" not in stored:
        entries: Any = [stored]
    elif stored.get("format") != _FORMAT or stored.get("version") != 1:
        raise InputError(f"{path} is no file of {_FORMAT}, version 1: write it again.")
    else:
        entries = stored["projections"]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} holds no list of projections: write it again.")
    found = []
    for at, entry in enumerate(entries):
        name = str(entry.get("name") or _numbered(stem, at, len(entries)))
        try:
            projection = Projection.from_dict({key: value for key, value in entry.items() if key != "name"})
        except InputError as error:
            raise InputError(f"{path}, {name}: {error}") from None
        found.append(Calibration(name, lambda *_, whole=projection: whole))
    return found


def calibration_of_matrix(matrix: np.ndarray, name: str) -> Calibration:
    """What a 3x4 matrix from LPS mm to (column, row) calibrates, called ``name``."""

    def make(size: tuple[int, int] | None, spacing: tuple[float, float] | None, isocentre: ArrayLike, mirrored: bool) -> Projection:
        if size is None:
            raise InputError("A matrix does not say how large the detector is: give its size (rows, columns).")
        return Projection.from_matrix(matrix, size, spacing, isocentre, mirrored)

    return Calibration(name, make, matrix, states_size=False)


def _of_camera(camera: autoscoper.Camera, stem: str) -> Calibration:
    def make(size: tuple[int, int] | None, spacing: tuple[float, float] | None, isocentre: ArrayLike, mirrored: bool) -> Projection:
        # A camera looks forward by its definition: any point before it tells the sign of its matrix.
        return Projection.from_matrix(camera.matrix, camera.size, spacing, camera.ahead, camera.mirrored)

    return Calibration(stem, make, camera.matrix, camera.notes)
