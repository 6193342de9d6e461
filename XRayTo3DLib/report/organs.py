"""The section of organs: each found in the X-rays, outlined on them, and beside the truth where there is a labelled CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.catalogue import structure_colour
from XRayTo3DLib.anatomy.surfaces import Surface, extract_surface
from XRayTo3DLib.evaluation.shapes.cases import mask_box
from XRayTo3DLib.evaluation.shapes.figures import ShapeAnswer, shape_figures
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.display import to_display
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample_mask
from XRayTo3DLib.report import pictures
from XRayTo3DLib.report.page import Section, Table, form
from XRayTo3DLib.shapes.base import OrganShape
from XRayTo3DLib.shapes.organs import organ_mask
from XRayTo3DLib.shapes.outlines import outlines

#: Voxels that an organ is compared on, in mm, and room around it.
_VOXEL_MM, _ROOM_MM = 2.0, 6.0


@dataclass(frozen=True, eq=False)
class ComparedOrgan:
    """An organ that was found, and its truth on voxels of 2 mm: mask, surface and outlines; ``None`` where it is not labelled."""

    shape: OrganShape
    figures: dict[str, Any] | None = None
    surface: Surface | None = None
    outlines: Sequence[Sequence[np.ndarray]] = ()

    @property
    def values(self) -> dict[str, Any]:
        """What ``metrics.json`` says of it."""
        shape, known = self.shape, self.figures or {}
        return {
            "organ": shape.organ,
            "model": {"name": shape.model, "sha256": shape.sha256},
            "volume_ml": shape.volume_ml,
            "interval_90_ml": None if shape.interval_ml is None else list(shape.interval_ml),
            **{name: known.get(name) for name in ("volume_ml_truth", "volume_error", "dice", "hd95_mm", "covered")},
        }


def compared_organ(shape: OrganShape, truth: Labelmap | None, radiographs: Sequence[Radiograph]) -> ComparedOrgan:
    """An organ beside its truth: a labelled CT in the same coordinates (LPS mm)."""
    wanted = None if truth is None else organ_mask(truth, shape.organ)
    if truth is None or wanted is None or not wanted.any():
        return ComparedOrgan(shape)
    boxes = [mask_box(wanted, truth.grid), mask_box(shape.labelmap.array > 0, shape.labelmap.grid)]
    low, high = np.min([b[0] for b in boxes], axis=0) - _ROOM_MM, np.max([b[1] for b in boxes], axis=0) + _ROOM_MM
    grid = Grid.centred((low + high) / 2, tuple(np.ceil((high - low) / _VOXEL_MM).astype(int)), _VOXEL_MM)
    mask = resample_mask(wanted, truth.grid, grid)
    found = resample_mask(shape.labelmap.array > 0, shape.labelmap.grid, grid)
    figures = shape_figures(mask, grid, ShapeAnswer(shape.model, found, shape.volume_ml, shape.interval_ml), shape.organ)
    curves = outlines(Labelmap(mask.astype(np.uint8), grid, {1: shape.organ}), radiographs)
    return ComparedOrgan(shape, figures, extract_surface(mask, grid, shape.organ), curves)


def organ_sections(
    compared: Sequence[ComparedOrgan], radiographs: Sequence[Radiograph], missing: Sequence[str] = ()
) -> list[Section]:
    """Outlines and figures, and the surfaces in 3D; nothing when no organ was found and nothing is said of those ``missing``."""
    if not compared:
        return [Section("Organs", list(missing))] if missing else []
    known = any(organ.figures for organ in compared)
    text = "Each organ was found in these X-rays alone; solid: its outline"
    text += ", dashed: that of the organ in the CT's labels." if known else "."
    table = Table(
        ["organ", "found, mL", "90 % interval, mL", *(["in the CT, mL", "Dice", "HD95, mm"] if known else []), "by"],
        [_row(organ, known) for organ in compared],
        note="HD95: 95 % Hausdorff distance between the surfaces. The interval is that of the model's card; none: it states none.",
    )
    sections = [Section("Organs", [text, *missing], _outlined(compared, radiographs), "Organs outlined on the X-rays", [table])]
    surfaces = [("from the X-rays", [organ.shape.surface for organ in compared])]
    if known:
        surfaces.insert(0, ("CT", [organ.surface for organ in compared if organ.surface is not None]))
    sections.append(
        Section(
            "Organs in 3D",
            ["Their closed surfaces, seen from the patient's front and left."],
            pictures.surfaces(surfaces),
            "3D rendering of the organs",
        )
    )
    return sections


def _row(organ: ComparedOrgan, known: bool) -> list[str]:
    shape, figures = organ.shape, organ.figures or {}
    interval = "none" if shape.interval_ml is None else f"{shape.interval_ml[0]:.0f} to {shape.interval_ml[1]:.0f}"
    cells = [("volume_ml_truth", ".0f"), ("dice", ".3f"), ("hd95_mm", ".1f")] if known else []
    numbers = [form(float("nan") if figures.get(name) is None else figures[name], how) for name, how in cells]
    return [shape.organ.replace("_", " "), f"{shape.volume_ml:.0f}", interval, *numbers, shape.model]


def _outlined(compared: Sequence[ComparedOrgan], radiographs: Sequence[Radiograph]) -> bytes:
    """The X-rays as films with the outlines over them, in square millimetres."""
    figure, axes = pictures.panels(1, len(radiographs), 4.6, 4.7)
    for index, (axis, radiograph) in enumerate(zip(axes[0], radiographs, strict=True)):
        down, across = radiograph.projection.spacing
        axis.imshow(to_display(radiograph), cmap="gray", extent=pictures.detector_extent(radiograph))
        for organ in compared:
            name = organ.shape.organ
            for curves, style in ((organ.outlines[index] if organ.outlines else (), "--"), (organ.shape.outlines[index], "-")):
                for number, curve in enumerate(curves):
                    label = name.replace("_", " ") if style == "-" and number == 0 else None
                    place = (curve + 0.5) * (down, across)
                    axis.plot(place[:, 1], place[:, 0], style, color=structure_colour(name), linewidth=1.5, label=label)
        axis.set_title(radiograph.name, parse_math=False, fontsize=11)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), 6)), frameon=False, fontsize=9)
    return pictures.png(figure)
