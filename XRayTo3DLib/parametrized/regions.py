"""Regions of the body: their landmarks by name, and the frame in which surface and X-rays are seen; ``Resources/Regions``.

A region is one JSON file that fits ``region.schema.json``: landmarks with a definition in words, how each is measured, a colour
and a group; and the frame, which two landmarks of the skin place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, read_text_file, resources_folder
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import vector
from XRayTo3DLib.geometry.views import ViewSpec, parse_view

_SCHEMA = Path(__file__).with_name("region.schema.json")
#: Words for the views of a region's frame; the frame may have others of its own.
FRONTAL, LATERAL = "AP", "LLAT"


@dataclass(frozen=True)
class Landmark:
    """One landmark: ``definition`` in words, ``colour`` (0 to 1), ``group``, and ``measure``: the rule that finds it in a CT."""

    name: str
    definition: str
    group: str
    colour: tuple[float, float, float]
    measure: Mapping[str, Any]

    @property
    def stands_on(self) -> tuple[str, ...]:
        """The landmarks that its rule needs first."""
        return tuple(self.measure[key] for key in ("at", "below", "above") if key in self.measure)


@dataclass(frozen=True)
class Frame:
    """Where a region's pictures stand: orthographic, ``size`` (rows, columns), square pixels of ``spacing_mm``.

    - ``landmarks``: the two landmarks of the skin that place the pictures;
    - ``place``: for each view [row, column] of the point half way between them;
    - ``camera_mm``: how far before that point the plane lies from which depth is measured;
    - ``scaled``: whether lengths are multiplied until the landmarks are ``reference_mm`` apart;
    - ``range``: for each view the line integral that counts as 1 in figures.
    """

    landmarks: tuple[str, str]
    size: tuple[int, int]
    spacing_mm: float
    camera_mm: float
    scaled: bool
    reference_mm: float
    place: Mapping[str, tuple[float, float]]
    range: Mapping[str, float]


@dataclass(frozen=True)
class Region:
    """A region of the body: its ``frame`` and its ``landmarks``, in the order of the networks' channels."""

    name: str
    title: str
    frame: Frame
    landmarks: tuple[Landmark, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The landmarks' names, in order."""
        return tuple(landmark.name for landmark in self.landmarks)

    @property
    def views(self) -> tuple[str, ...]:
        """The views that the frame has."""
        return tuple(self.frame.place)

    def landmark(self, name: str) -> Landmark:
        """A landmark by name; :class:`InputError` when the region has none of that name."""
        for landmark in self.landmarks:
            if landmark.name == name:
                return landmark
        raise InputError(f"The region {self.name} has no landmark {name!r}: use one of {', '.join(self.names)}.")

    def projection(self, view: str, points: Mapping[str, np.ndarray]) -> Projection:
        """The orthographic view of this region in which ``points`` (LPS mm by name) put it.

        ``points`` holds at least the two landmarks of the frame. The pixels are ``spacing_mm`` wide, or that times what the
        landmarks' distance says where the frame is ``scaled``. The detector stands ``camera_mm``
        behind that point. :class:`InputError` when a landmark is missing or a view unknown.
        """
        middle, scale = self.placed(points)
        spacing = self.frame.spacing_mm * scale
        spec = ViewSpec.parse(
            view, isocentre=tuple(middle), size=self.frame.size, spacing=spacing, source_to_detector=None,
            source_to_isocentre=self.frame.camera_mm * scale,
        )  # fmt: skip
        centred = spec.projection()
        rows, columns = np.array(self.place(view)) - (np.array(self.frame.size) - 1) / 2
        shift = np.eye(4)
        shift[:3, 3] = -spacing * (rows * centred.column_direction + columns * centred.row_direction)
        return centred.transformed(shift)

    def place(self, view: str) -> tuple[float, float]:
        """[row, column] of the point half way between the frame's landmarks; views that the frame does not name are centred."""
        word = self.view_word(view)
        heights = [place[0] for place in self.frame.place.values()]
        return self.frame.place.get(word, (heights[0], (self.frame.size[1] - 1) / 2))

    def view_word(self, view: str) -> str:
        """The frame's own word for a view (``"frontal"`` is AP), or the view as it is when the frame has no such view."""
        direction, mirrored = parse_view(view)
        for word in self.frame.place:
            own, own_mirrored = parse_view(word)
            if own_mirrored == mirrored and np.allclose(own, direction):
                return word
        return view

    def placed(self, points: Mapping[str, np.ndarray]) -> tuple[np.ndarray, float]:
        """The point (LPS mm) half way between the frame's landmarks, and mm of this body for each mm of the frame's."""
        missing = [name for name in self.frame.landmarks if name not in points]
        if missing:
            raise InputError(
                f"The landmark {missing[0]} of the region {self.name} was not found on the skin, and the picture is placed by it: "
                f"give its position in mm ({self.landmark(missing[0]).definition})."
            )
        first, second = (vector(points[name], f"landmark {name}") for name in self.frame.landmarks)
        distance = float(np.linalg.norm(first - second))
        if distance < 1:
            raise InputError(
                f"The landmarks {self.frame.landmarks[0]} and {self.frame.landmarks[1]} are {distance:.2g} mm apart: correct them."
            )
        return (first + second) / 2, distance / self.frame.reference_mm if self.frame.scaled else 1.0


def regions() -> list[str]:
    """The names of the regions that are there."""
    return sorted(path.stem for path in (resources_folder() / "Regions").glob("*.json"))


def region_choices() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Title and views of each bundled region by its name, for a choice that needs no package which checks them."""
    found = {}
    for name in regions():
        values = json.loads((resources_folder() / "Regions" / f"{name}.json").read_text(encoding="utf-8"))
        found[name] = (str(values["title"]), tuple(values["frame"]["place"]))
    return found


def find_region(name: str | Path) -> Region:
    """A region by its name, or from a JSON file of the user's own; :class:`InputError` when there is none or it is not valid."""
    text = str(name)
    if text.endswith(".json"):
        return read_region(Path(text))
    if text not in regions():
        raise InputError(f"There is no region {text!r}: use one of {', '.join(regions())}, or the path of a JSON file.")
    return _bundled(text)


@cache
def _bundled(name: str) -> Region:
    return read_region(resources_folder() / "Regions" / f"{name}.json")


def read_region(path: Path) -> Region:
    """The region in a JSON file, checked against the schema."""
    import jsonschema

    values = parse_json(read_text_file(path, "region"), f"The region {path}")
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(values))
    if problem is not None:
        place = "/".join(str(p) for p in problem.absolute_path) or "the file"
        raise InputError(f"The region {path} is not valid ({place}: {problem.message[:200]}): correct the file.")
    frame = values["frame"]
    found = Region(
        values["name"],
        values["title"],
        Frame(
            tuple(frame["landmarks"]), tuple(frame["size"]), float(frame["spacing_mm"]), float(frame["camera_mm"]), frame["scaled"],
            float(frame["reference_mm"]), {view: tuple(at) for view, at in frame["place"].items()}, dict(frame["range"]),
        ),
        tuple(
            Landmark(one["name"], one["definition"], one["group"], tuple(one["colour"]), dict(one["measure"]))
            for one in values["landmarks"]
        ),
    )  # fmt: skip
    _check_names(found, path)
    return found


def _check_names(region: Region, path: Path) -> None:
    """No name twice, and none that is referred to and missing."""
    names = region.names
    asked = [*region.frame.landmarks, *(other for one in region.landmarks for other in one.stands_on)]
    twice = [name for name in names if names.count(name) > 1]
    missing = [name for name in asked if name not in names]
    if twice or missing or set(region.frame.place) != set(region.frame.range):
        what = f"{twice[0]} twice" if twice else f"no landmark {missing[0]}" if missing else "views with place but without range"
        raise InputError(f"The region {path} is not valid (it has {what}): correct the file.")
