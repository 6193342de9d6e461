"""Sections that the reports of ``demo`` and ``reconstruct`` share."""

from __future__ import annotations

from collections.abc import Sequence

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.report import pictures
from XRayTo3DLib.report.page import Section, Table, form


def xray_section(radiographs: Sequence[Radiograph], text: str) -> Section:
    """The X-rays that were put in."""
    return Section("The X-rays", [text], pictures.inputs(radiographs), "The X-rays")


def slice_section(columns: Sequence[tuple[str, Volume]], text: str) -> Section:
    """Slices of volumes on grids of the same extent."""
    black, white = pictures.WINDOW
    window = f"Axial, coronal and sagittal slices through the middle, black at {black:g} HU, white at {white:g} HU."
    names = ", ".join(name for name, _ in columns)
    return Section("Slices", [f"{text} {window}"], pictures.slices(columns), f"Slices of {names}")


def residual_section(named: Sequence[tuple[str, Reconstruction]]) -> Section:
    """What the last of the named reconstructions re-projects to, beside what was measured, and the errors of all."""
    found = named[-1][1]
    pixel = found.radiographs[0].projection.spacing[0]
    rows = [
        [title, r.name, form(100 * before, ".2f"), form(100 * after, ".3f")]
        for title, own in named
        for r, before, after in zip(own.radiographs, own.errors_before, own.errors, strict=True)
    ]
    note = (
        "Mean absolute difference of the line integrals over the mean measured one, on the detector pixels that "
        "the grid can resolve "
        f"({pixel:.3g} mm). Before fusion: the model's own volume."
    )
    return Section(
        "Re-projection",
        [
            "X-rays of the reconstruction beside those it was made from, as line integrals. Fusion corrects the "
            "volume until both agree: a check of the "
            "arithmetic, which says nothing about depth."
        ],
        pictures.residuals(found.radiographs, reproject(found.before_fusion, found.radiographs), found.reprojections),
        "Measured and re-projected X-rays and their difference",
        [Table(["", "view", "before fusion, %", "after fusion, %"], rows, note=note)],
    )


def uncertainty_section(columns: Sequence[tuple[str, Volume]]) -> Section:
    """The model's standard deviation (volumes in 1/mm)."""
    return Section(
        "Where the model decides alone",
        [
            "The model's own standard deviation, before fusion. Bright regions are those that the X-rays leave "
            "open: there the volume "
            "shows what is usual, not what was measured."
        ],
        pictures.uncertainty(columns),
        "Coronal and sagittal slices of the model's standard deviation",
    )


def surface_section(groups: Sequence[tuple[str, Sequence[Surface]]]) -> Section:
    """Surfaces side by side, with the volumes they enclose."""
    names = list(dict.fromkeys(surface.name for _, surfaces in groups for surface in surfaces))
    rows = []
    for title, surfaces in groups:
        own = {surface.name: surface for surface in surfaces}
        rows.append([title, *(_volume(own.get(name)) for name in names)])
    table = Table(
        ["", *(f"{name}, mL" for name in names)],
        rows,
        note="Volumes that the surfaces enclose; body: what is neither lung nor bone. (cut): the structure goes on outside "
        "the grid. (open): the surface has holes, and its volume means nothing.",
    )
    return Section(
        "Closed surfaces",
        ["Body (transparent), lungs and bone, found by the same thresholds everywhere; seen from the patient's front and left."],
        pictures.surfaces(groups),
        "3D rendering of the surfaces",
        [table],
    )


def _volume(surface: Surface | None) -> str:
    if surface is None:
        return "none"
    return f"{surface.volume_ml:.0f}" + (" (cut)" if surface.cut else "") + ("" if surface.closed else " (open)")
