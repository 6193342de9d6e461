"""Points and closed curves as Markups of 3D Slicer (.mrk.json), LPS mm, both directions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, read_text_file, writing
from XRayTo3DLib.images.radiograph import Radiograph

#: What a markups file says of its form.
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)
#: Control points of a curve are this many pixels apart along it.
_STEP_PIXELS = 2.0


def outline_points(curve: np.ndarray, radiograph: Radiograph, step_pixels: float = _STEP_PIXELS) -> np.ndarray:
    """A closed curve (N, 2) of (row, column) pixels on a radiograph, as points (M, 3) in LPS mm on its detector.

    The points are about ``step_pixels`` apart along the curve, three at least; the first is not repeated at the end.
    """
    closed = np.asarray(curve, dtype=np.float64)
    if not np.array_equal(closed[0], closed[-1]):
        closed = np.concatenate([closed, closed[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    count = max(3, round(along[-1] / step_pixels))
    wanted = np.linspace(0.0, along[-1], count, endpoint=False)
    pixels = np.stack([np.interp(wanted, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    return radiograph.projection.pixel_positions(pixels)


def write_closed_curves(
    curves: Mapping[str, np.ndarray], path: str | Path, colour: Sequence[float] = (1.0, 0.5, 0.0), description: str = ""
) -> None:
    """Write closed curves, by their names, as one .mrk.json; the file appears whole or not at all.

    Each is (N, 3) points in LPS mm, three or more, the first not repeated at the end; ``colour`` 0 to 1; ``description`` is kept
    with each. Raises :class:`InputError` for less, and for what is not finite.
    """
    markups = []
    for name, points in curves.items():
        places = np.asarray(points, dtype=np.float64)
        if places.ndim != 2 or places.shape[1] != 3 or len(places) < 3 or not np.isfinite(places).all():
            raise InputError(f"The curve {name!r} needs three or more finite points (x, y, z) in LPS mm: correct or leave it out.")
        markups.append(_closed_curve(name, places, [float(c) for c in colour], description))
    text = json.dumps({"@schema": SCHEMA, "markups": markups}, indent=1, allow_nan=False)
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_curves(path: str | Path) -> dict[str, np.ndarray]:
    """The points (N, 3) of each markup of a .mrk.json by its name, LPS mm; :class:`InputError` for a file that is none."""
    found = parse_json(read_text_file(path, "Markups file"), f"The Markups file {path}")
    try:
        curves = {}
        for number, markup in enumerate(found["markups"], 1):
            points = np.array([point["position"] for point in markup["controlPoints"]], dtype=np.float64).reshape(-1, 3)
            curves[markup.get("name") or f"curve {number}"] = to_lps(markup, points)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} is not a Markups file of 3D Slicer that can be read: save it again.") from None
    return curves


def to_lps(markup: Mapping[str, Any], points: np.ndarray) -> np.ndarray:
    """Points (N, 3) of one markup of a file in LPS mm: turned where the file says RAS, which older ones call 0."""
    system = str(markup.get("coordinateSystem", "LPS")).upper()
    if system not in ("LPS", "1", "RAS", "0"):
        raise ValueError(system)
    return points * np.array([-1.0, -1.0, 1.0]) if system in ("RAS", "0") else points


def _closed_curve(name: str, points: np.ndarray, colour: list[float], description: str) -> dict[str, Any]:
    point = {"selected": True, "locked": False, "visibility": True, "positionStatus": "defined", "label": ""}
    display = {"visibility": True, "opacity": 1.0, "color": colour, "selectedColor": colour, "pointLabelsVisibility": False}
    return {
        "type": "ClosedCurve",
        "name": name,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "labelFormat": "",
        "controlPoints": [
            {"id": str(n), **point, "description": description, "position": [float(v) for v in place]}
            for n, place in enumerate(points, 1)
        ],
        "display": {**display, "curveLineSizeMode": "UseLineThickness", "lineThickness": 0.3, "glyphType": "Vertex2D"},
    }
