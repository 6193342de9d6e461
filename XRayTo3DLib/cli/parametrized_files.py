"""The files of a parametrized X-ray: image, pictures, markers, animations, findings, training images."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from XRayTo3DLib.cli.outputs import write_json
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.point_lists import Markup, write_markups
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.segmentations import write_segmentation
from XRayTo3DLib.parametrized.anomaly import Anomaly
from XRayTo3DLib.parametrized.answer import state_radiograph
from XRayTo3DLib.parametrized.augment import Variant
from XRayTo3DLib.parametrized.loop import MarkersAndImage, State, settle
from XRayTo3DLib.parametrized.pictures import picture, state_picture, write_animation
from XRayTo3DLib.parametrized.regions import Region

#: What every action writes, by its name.
NAMES = ("xray.nrrd", "xray.png", "markers.mrk.json", "markers.csv", "parametrized.json")
#: Frames of an animation in one direction, rounds for each, and how far its marker goes when nothing was moved, in mm.
_FRAMES, _ROUNDS, _WAY_MM = 8, 3, 12.0


def write_state(state: State, region: Region, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
    """X-ray, picture with markers, point list and table, and what the loop says of itself."""
    write_radiograph(state_radiograph(state), folder / NAMES[0])
    write_png(state_picture(state, region), folder / NAMES[1])
    markups = markups_of(state, region)
    write_markups(markups, folder / NAMES[2], region.title)
    write_markups(markups, folder / NAMES[3])
    write_json(described(state, region) | dict(extra or {}), folder / NAMES[4])


def markups_of(state: State, region: Region) -> list[Markup]:
    """The markers that are there, on the plane of the picture, LPS mm."""
    found = []
    for name, position in state.positions().items():
        landmark, index = region.landmark(name), state.index(name)
        locked = bool(state.locked[index])
        found.append(Markup(name, position, landmark.definition, landmark.colour, locked))
    return found


def described(state: State, region: Region) -> dict[str, Any]:
    """What a state is, as JSON."""
    points = {
        name: {"row_column": state.points[i], "held": bool(state.held[i]), "locked": bool(state.locked[i])}
        for i, name in enumerate(state.names)
        if state.present[i]
    }
    return {
        "region": region.name,
        "view": state.surface.view,
        "projection": state.surface.projection.to_dict(),
        "frame_landmarks_lps_mm": {name: list(point) for name, point in state.surface.points.items()},
        "rounds": state.rounds,
        "converged": state.converged,
        "moved_mm": state.moved_mm,
        "markers": points,
        "absent": [name for i, name in enumerate(state.names) if not state.present[i]],
        "notes": list(state.surface.notes),
    }


def write_png(image: Image.Image, path: Path) -> None:
    with writing(path) as temporary:
        image.save(temporary, format="PNG")


def write_moving(networks: MarkersAndImage, region: Region, first: State, moves: Mapping[str, np.ndarray], path: Path) -> None:
    """An animated GIF of markers on their way to new places; of the first marker up and down when none was moved."""
    ways = dict(moves)
    if not ways:
        names = [name for name in first.names if first.present[first.index(name)] and not first.locked[first.index(name)]]
        if not names:
            raise InputError("No marker is in this X-ray: there is nothing to move.")
        ways = {names[0]: np.clip(first.shifted(names[0], 0.0, -_WAY_MM), 0, np.array(first.xray.shape) - 1.0)}
    state, frames = first, []
    for part in np.linspace(0, 1, _FRAMES):
        places = {
            name: first.points[first.index(name)] + part * (place - first.points[first.index(name)]) for name, place in ways.items()
        }
        state = settle(networks, state, places, most_rounds=_ROUNDS)
        frames.append(state_picture(state, region))
    write_animation(frames, path)


def picture_grid(projection: Projection) -> Grid:
    """The picture as a volume of one slice that stands where the detector stands."""
    affine = projection.detector_affine.copy()
    affine[:3, 2] *= min(projection.spacing)
    return Grid.from_affine(affine, (projection.size[1], projection.size[0], 1))


def write_anomaly(found: Anomaly, xray: np.ndarray, region: Region, range_: float, folder: Path) -> None:
    """The difference as an image, the findings as a segmentation, and both as a picture."""
    projection = found.state.surface.projection
    write_radiograph(Radiograph(found.difference, projection, "difference"), folder / "difference.nrrd")
    labels = Labelmap(found.mask[None].astype(np.uint8), picture_grid(projection), {1: "anomaly"})
    write_segmentation(labels, folder / "anomaly.seg.nrrd")
    write_png(picture(xray, region, range_, mask=found.mask), folder / "anomaly.png")


def anomaly_values(found: Anomaly) -> dict[str, Any]:
    """What was found, as JSON; places in LPS mm on the picture's plane."""
    projection = found.state.surface.projection
    places = [
        {
            "area_mm2": one.area_mm2,
            "row_column": one.centre,
            "position_lps_mm": projection.pixel_positions(np.array([one.centre]))[0],
            "difference": one.difference,
        }
        for one in found.findings
    ]
    return {
        "threshold": found.threshold,
        "score": found.score,
        "area_mm2": float(sum(p["area_mm2"] for p in places)),
        "findings": places,
    }


def write_variants(variants: Sequence[Variant], region: Region, folder: Path) -> list[str]:
    """Each image as ``image_0001.nrrd`` and ``.png``, and one table of all their markers and annotations."""
    written = []
    with writing(folder / "annotations.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "name", "row", "column", "x_mm", "y_mm", "z_mm", "kind"])
        for number, variant in enumerate(variants, start=1):
            stem = f"image_{number:04d}"
            state = variant.state
            write_radiograph(state_radiograph(state, stem), folder / f"{stem}.nrrd")
            range_ = region.frame.range.get(state.surface.view, max(float(state.xray.max()), 1e-3))
            write_png(picture(state.xray, region, range_), folder / f"{stem}.png")
            written += [f"{stem}.nrrd", f"{stem}.png"]
            markers = {name: state.points[i] for i, name in enumerate(state.names) if state.present[i]}
            for kind, places in (("marker", markers), ("annotation", variant.annotations)):
                for name, place in places.items():
                    position = state.surface.projection.pixel_positions(np.asarray(place)[None])[0]
                    table.writerow([stem, name, *(f"{v:.3f}" for v in (*place, *position)), kind])
    return [*written, "annotations.csv"]
