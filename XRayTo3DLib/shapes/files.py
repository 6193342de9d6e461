"""An organ as files: labelmap, segmentation with its code, surfaces, outlines, and what is to be said of it as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from XRayTo3DLib.anatomy.catalogue import CATALOGUE
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.images.display import to_display
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.segmentations import write_labelmap, write_segmentation
from XRayTo3DLib.io.surfaces import SURFACES, write_surface
from XRayTo3DLib.shapes.base import OrganShape

#: Pixels along the longest side of a picture with an outline.
_LONGEST = 1024


def shape_files(organ: str, formats: Sequence[str], views: Sequence[str]) -> list[str]:
    """The names of the files that :func:`write_shape` writes."""
    return [f"{organ}.nii.gz", f"{organ}.seg.nrrd", *(f"{organ}.{f}" for f in formats), *(f"{organ}_{v}.png" for v in views)]


def write_shape(
    shape: OrganShape, radiographs: Sequence[Radiograph], folder: Path, formats: Sequence[str] = ("stl",)
) -> list[Path]:
    """Write ORGAN.nii.gz, ORGAN.seg.nrrd, a surface in each of ``formats``, and ORGAN_VIEW.png with the outline on each X-ray.

    Raises :class:`InputError` for a format that is no surface's.
    """
    for ending in formats:
        if f".{ending}" not in SURFACES:
            raise InputError(f"{ending!r} is no format of a surface: use {', '.join(e[1:] for e in SURFACES)}.")
    names = shape_files(shape.organ, formats, [r.name for r in radiographs])
    write_labelmap(shape.labelmap, folder / names[0])
    write_segmentation(shape.labelmap, folder / names[1])
    for name in names[2 : 2 + len(formats)]:
        write_surface(shape.surface, folder / name)
    for name, radiograph, curves in zip(names[2 + len(formats) :], radiographs, shape.outlines, strict=True):
        with writing(folder / name) as temporary:
            outlined(radiograph, curves, shape.organ).save(temporary, format="PNG")
    return [folder / name for name in names]


def outlined(radiograph: Radiograph, curves: Sequence[np.ndarray], organ: str) -> Image.Image:
    """The X-ray for the eye with the organ's outline in its colour, square pixels, at most 1024 along a side."""
    rows, columns = radiograph.projection.size
    down, across = radiograph.projection.spacing
    scale = _LONGEST / max(rows * down, columns * across)
    size = max(1, round(columns * across * scale)), max(1, round(rows * down * scale))
    grey = Image.fromarray(np.uint8(255 * np.clip(to_display(radiograph), 0, 1)))
    picture = grey.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    colour = tuple(round(255 * value) for value in CATALOGUE[organ].colour)
    for curve in curves:
        points = [((c + 0.5) * size[0] / columns, (r + 0.5) * size[1] / rows) for r, c in curve.tolist()]
        pen.line(points, fill=colour, width=3)
    return picture


def shape_values(shape: OrganShape, radiographs: Sequence[Radiograph]) -> dict[str, Any]:
    """What JSON says of a shape; outlines in pixels (row, column) and in LPS mm on the detector, a curve ends where it starts."""
    return {
        "organ": shape.organ,
        "code": CATALOGUE[shape.organ].code,
        "volume_ml": round(shape.volume_ml, 3),
        "interval_90_ml": None if shape.interval_ml is None else [round(v, 3) for v in shape.interval_ml],
        "surface_volume_ml": round(shape.surface.volume_ml, 3),
        "surface_closed": shape.surface.closed,
        "cut_by_the_grid": shape.surface.cut,
        "model": {"name": shape.model, "sha256": shape.sha256},
        "outlines": [
            {
                "view": radiograph.name,
                "pixels": [curve.round(2).tolist() for curve in curves],
                "lps_mm": [radiograph.projection.pixel_positions(curve).round(2).tolist() for curve in curves],
            }
            for radiograph, curves in zip(radiographs, shape.outlines, strict=True)
        ],
        "notes": list(shape.notes),
    }
