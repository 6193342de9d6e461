"""A population on one page: every registration as a picture with its figures, and how good the statistics are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from XRayTo3DLib.files import writing
from XRayTo3DLib.report.page import Section, Table, write_report
from XRayTo3DLib.simulation.population.atlas import Atlas, Texture
from XRayTo3DLib.simulation.population.checks import LEAST_DICE, RegistrationCheck
from XRayTo3DLib.simulation.population.model import Population
from XRayTo3DLib.simulation.population.statistics import ModelQuality

#: HU shown black and white, and the outlines drawn over them.
_WINDOW = (-500.0, 350.0)
_OUTLINES = {
    ("lungs", "lung_left", "lung_right"): (80, 160, 255),
    ("liver",): (255, 90, 60),
    ("spleen",): (240, 220, 60),
    ("heart",): (230, 80, 230),
    ("kidney_left", "kidney_right"): (60, 230, 200),
}
_COLUMNS, _ZOOM = 6, 2


@dataclass(frozen=True, eq=False)
class RegisteredCT:
    """A CT of the folder: its ``check`` and ``texture`` (``None`` where the registration itself failed), and another ``reason``
    not to use it."""

    name: str
    check: RegistrationCheck | None
    texture: Texture | None
    reason: str = ""

    @property
    def why(self) -> str:
        """Why it is not used, nothing where it is."""
        found = list(self.check.reasons) if self.check is not None else []
        return "; ".join([*found, *([self.reason.rstrip(".")] if self.reason else [])])

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of its check and whether it is used."""
        check = self.check
        told: dict[str, Any] = {"used": not self.why, "why_not": self.why}
        if check is not None:
            told |= {"dice": check.dice, "folded": check.folded, "shared_ml": check.shared_ml}
        return told


def write_contact_sheet(path: Path, population: Population, rows: Sequence[RegisteredCT]) -> None:
    """Write :func:`contact_sheet` as a PNG."""
    with writing(path) as temporary:
        contact_sheet(population.atlas, [row for row in rows if row.texture is not None]).save(temporary, "PNG")


def write_population_report(path: Path, population: Population, rows: Sequence[RegisteredCT], quality: ModelQuality) -> None:
    """Write the page, which needs the packages of :func:`.page.check_report_packages`."""
    heads = ["CT", *(f"Dice of {name}" for name in LEAST_DICE), "folded voxels", "shared body (L)", "used"]
    cells = [_row(row) for row in rows]
    rule = ", ".join(f"{name} at least {least:.2f}" for name, least in LEAST_DICE.items())
    sheet = contact_sheet(population.atlas, [row for row in rows if row.texture is not None])
    registered = Section(
        "Registrations",
        [
            f"{len(population.subjects)} of {len(rows)} CTs are used; {population.atlas.name} is the atlas.",
            f"The rule: Dice of {rule}; no folded voxel; at least 1 L of shared body; no volume changed more than sixfold.",
            "Each picture is a CT in the place of the atlas, with the outlines of its labels; a red frame: not used.",
        ],
        _png(sheet),
        "coronal slices of all registered CTs",
        [Table(heads, cells)],
    )
    numbers = [
        [str(k), f"{100 * c:.1f} %", f"{g:.2f}", f"{s:.2f}"]
        for k, (c, g, s) in enumerate(zip(quality.compactness, quality.generalisation, quality.specificity, strict=True))
    ]
    measured = Section(
        "Statistics of the deformations",
        [
            "Compactness: share of the variance; generalisation: what a CT that was left out differs from its best fit; "
            "specificity: what a sample differs from the nearest CT. The last two are root mean squares of the velocity in mm "
            "inside the body.",
        ],
        _curves(quality),
        "compactness, generalisation and specificity against the number of modes",
        [Table(["modes", "compactness", "generalisation (mm)", "specificity (mm)"], numbers)],
    )
    lead = "Learned from a few CTs by registration; its samples are made, not measured. Research software, not for diagnosis."
    facts = [
        ("atlas", population.atlas.name),
        ("subjects", ", ".join(population.subjects)),
        ("textures", ", ".join(one.name for one in population.textures)),
        ("organs", ", ".join(population.atlas.groups)),
        ("landmarks", ", ".join(population.atlas.landmarks) or "none"),
    ]
    write_report(path, "A population of labelled bodies", lead, facts, [], [registered, measured])


def _row(row: RegisteredCT) -> list[str]:
    check = row.check
    if check is None:
        return [row.name, *["-"] * (len(LEAST_DICE) + 2), f"no: {row.why}"]
    found = [f"{check.dice[name]:.2f}" if name in check.dice else "-" for name in LEAST_DICE]
    return [row.name, *found, str(check.folded), f"{check.shared_ml / 1000:.1f}", f"no: {row.why}" if row.why else "yes"]


def contact_sheet(atlas: Atlas, rows: Sequence[RegisteredCT]) -> Image.Image:
    """Coronal slices through the middle of the atlas' body: the atlas first, then every CT that was pulled back to it."""
    whole = np.ones(atlas.labels.shape, dtype=bool)
    first = RegisteredCT(atlas.name, None, Texture(atlas.name, atlas.ct.array, atlas.labels, whole))
    middle = int(np.median(np.nonzero(atlas.ct.array > -300)[1]))
    tiles = []
    for row in (first, *rows):
        assert row.texture is not None
        tile = _tile(atlas, row.texture, middle)
        if row.why:
            ImageDraw.Draw(tile).rectangle((0, 0, tile.width - 1, tile.height - 1), outline=(255, 0, 0), width=3)
        ImageDraw.Draw(tile).text((6, 4), row.name[:32], fill=(255, 255, 255))
        tiles.append(tile)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * min(_COLUMNS, len(tiles)), height * -(-len(tiles) // _COLUMNS)))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (width * (number % _COLUMNS), height * (number // _COLUMNS)))
    return sheet


def _tile(atlas: Atlas, texture: Texture, row: int) -> Image.Image:
    values = texture.hounsfield[::-1, row].astype(np.float32)
    shown = np.clip((values - _WINDOW[0]) / (_WINDOW[1] - _WINDOW[0]), 0, 1) * 255
    shown = np.where(texture.known[::-1, row], shown, shown * 0.4)
    colours = np.repeat(shown.astype(np.uint8)[..., None], 3, axis=2)
    labels = texture.labels[::-1, row]
    for organs, colour in _OUTLINES.items():
        mask = np.isin(labels, [n for organ in organs for n in atlas.groups.get(organ, ())])
        inner = mask.copy()
        inner[1:] &= mask[:-1]
        inner[:, 1:] &= mask[:, :-1]
        inner[:-1] &= mask[1:]
        inner[:, :-1] &= mask[:, 1:]
        colours[mask & ~inner] = colour
    picture = Image.fromarray(colours)
    return picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.NEAREST)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _curves(quality: ModelQuality) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3))
    titles = {"compactness": "share of the variance", "generalisation": "mm", "specificity": "mm"}
    for place, (name, unit) in enumerate(titles.items(), start=1):
        axes = figure.add_subplot(1, 3, place)
        axes.plot(range(len(quality.compactness)), getattr(quality, name), marker="o")
        axes.set(title=name, xlabel="modes", ylabel=unit, ylim=(0, None))
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    return file.getvalue()
