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
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.dicom_seg import check_seg_packages, write_dicom_seg
from XRayTo3DLib.io.markups import outline_points, write_closed_curves
from XRayTo3DLib.io.segmentations import write_labelmap, write_segmentation
from XRayTo3DLib.io.surfaces import SURFACES, write_surface
from XRayTo3DLib.shapes.base import OrganShape

#: Pixels along the longest side of a picture with an outline.
_LONGEST = 1024
#: The format that is no surface's: a DICOM Segmentation.
SEG = "dcm"


def shape_files(organ: str, formats: Sequence[str], views: Sequence[str]) -> list[str]:
    """The names of the files that :func:`write_shape` writes."""
    pictures = [f"{organ}_{view}.{ending}" for view in views for ending in ("png", "mrk.json")]
    return [f"{organ}.nii.gz", f"{organ}.seg.nrrd", *(f"{organ}.{f}" for f in formats), *pictures]


def check_formats(formats: Sequence[str]) -> None:
    """Raise :class:`InputError` for a format that is neither a surface's nor ``"dcm"``, and when that cannot be written here."""
    for ending in formats:
        if f".{ending}" not in SURFACES and ending != SEG:
            raise InputError(f"{ending!r} is no format of an organ: use {', '.join(e[1:] for e in SURFACES)} or {SEG} (DICOM SEG).")
    if SEG in formats:
        check_seg_packages()


def write_shape(
    shape: OrganShape,
    radiographs: Sequence[Radiograph],
    folder: Path,
    formats: Sequence[str] = ("stl",),
    identity: PatientStudy | None = None,
) -> list[Path]:
    """Write ORGAN.nii.gz, ORGAN.seg.nrrd, ``formats``, and for each X-ray the outline, ORGAN_VIEW.png and ORGAN_VIEW.mrk.json.

    ``formats`` are those of surfaces, and ``"dcm"``, a DICOM SEG of ``identity``, the patient, study and frame of reference
    of the X-ray or of its CT. Raises :class:`InputError` for another format.
    """
    check_formats(formats)
    names = shape_files(shape.organ, formats, [r.name for r in radiographs])
    write_labelmap(shape.labelmap, folder / names[0])
    write_segmentation(shape.labelmap, folder / names[1])
    for name in names[2 : 2 + len(formats)]:
        if name.endswith(f".{SEG}"):
            write_dicom_seg(shape.labelmap, folder / name, identity, shape.model)
        else:
            write_surface(shape.surface, folder / name)
    drawn = names[2 + len(formats) :]
    for png, markups, radiograph, curves in zip(drawn[::2], drawn[1::2], radiographs, shape.outlines, strict=True):
        with writing(folder / png) as temporary:
            outlined(radiograph, curves, shape.organ).save(temporary, format="PNG")
        named = {f"{shape.organ} {radiograph.name} {n}".strip(): outline_points(c, radiograph) for n, c in enumerate(curves, 1)}
        write_closed_curves(named, folder / markups, CATALOGUE[shape.organ].colour, f"by {shape.model}")
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
