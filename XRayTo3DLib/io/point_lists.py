"""Point lists: the markups files of 3D Slicer (.mrk.json) and plain tables (.csv), in LPS mm."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, read_text_file, writing
from XRayTo3DLib.io.markups import SCHEMA, to_lps


@dataclass(frozen=True, eq=False)
class Markup:
    """One named point: ``position`` LPS mm, ``description`` for the user, ``colour`` 0 to 1, and whether it is ``locked``."""

    name: str
    position: np.ndarray
    description: str = ""
    colour: tuple[float, float, float] | None = None
    locked: bool = False


def write_markups(points: Sequence[Markup], path: str | Path, title: str = "landmarks") -> None:
    """Write a point list as ``.mrk.json`` (3D Slicer reads it) or ``.csv``, whole or not at all."""
    if str(path).lower().endswith(".csv"):
        with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["name", "x_mm", "y_mm", "z_mm", "locked", "description"])
            for point in points:
                table.writerow([point.name, *(f"{v:.3f}" for v in point.position), int(point.locked), point.description])
        return
    if not str(path).lower().endswith(".mrk.json"):
        raise InputError(f"{path} cannot hold a point list: end the name in .mrk.json or .csv.")
    controls = [
        {
            "id": str(number),
            "label": point.name,
            "description": point.description,
            "position": [float(v) for v in point.position],
            "selected": True,
            "locked": point.locked,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, point in enumerate(points, start=1)
    ]
    markup = {"type": "Fiducial", "name": title, "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": controls}
    with writing(path) as temporary:
        temporary.write_text(json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1) + "\n", encoding="utf-8")


def read_markups(path: str | Path) -> dict[str, np.ndarray]:
    """The points of the first point list of a ``.mrk.json`` file: LPS mm by name, turned from RAS when the file says so.

    Points that are not placed are left out. Raises :class:`InputError` for a file that is no such list.
    """
    values = parse_json(read_text_file(path, "point list"), f"The point list {path}")
    try:
        markup = values["markups"][0]
        found = {
            str(point["label"]): to_lps(markup, np.array([float(v) for v in _three(point["position"])]))
            for point in markup["controlPoints"]
            if point.get("positionStatus", "defined") == "defined"
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} is no point list of 3D Slicer (.mrk.json): save the landmarks from Slicer again.") from None
    return found


def _three(position: Sequence[float] | Mapping[str, float]) -> Sequence[float]:
    if not isinstance(position, list) or len(position) != 3 or not np.isfinite(np.array(position, dtype=np.float64)).all():
        raise ValueError("no position")
    return position
