"""The named structures: what colour they have, how much shows through them, and their SNOMED CT codes.

The one place for these: segmentation files, Slicer's nodes, renderings and outlines take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Red, green and blue from 0 to 1.
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Structure:
    """``colour`` 0 to 1; ``opacity`` in 3D, 0 to 1; ``category`` and ``code`` as "scheme^value^meaning"."""

    colour: Colour
    opacity: float
    category: str
    code: str


#: The structures of :func:`segment_ct`, with colours and codes of 3D Slicer's own anatomy list.
CATALOGUE = {
    "body": Structure((128 / 255, 174 / 255, 128 / 255), 0.25, "SCT^85756007^Tissue", "SCT^85756007^Tissue"),
    "lungs": Structure((197 / 255, 165 / 255, 145 / 255), 0.7, "SCT^123037004^Anatomical Structure", "SCT^39607008^Lung"),
    "bone": Structure((241 / 255, 214 / 255, 145 / 255), 1.0, "SCT^123037004^Anatomical Structure", "SCT^272673000^Bone"),
}
#: Colours by name, told apart by people with any colour vision (after Okabe and Ito) and seen on grey; used in turn, by
#: structures that are not in the list, and by outlines over X-rays.
COLOURS: dict[str, Colour] = {
    "orange": (0.90, 0.62, 0.00),
    "light blue": (0.34, 0.71, 0.91),
    "yellow": (0.94, 0.89, 0.26),
    "green": (0.00, 0.75, 0.50),
    "pink": (0.90, 0.50, 0.75),
    "red": (0.92, 0.30, 0.15),
    "blue": (0.25, 0.45, 0.95),
}
_LIST = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"


def structure_colour(name: str, order: int = 0) -> Colour:
    """The colour of a structure, by its name, or by its order among others when the name is not in the list."""
    if name in CATALOGUE:
        return CATALOGUE[name].colour
    return list(COLOURS.values())[order % len(COLOURS)]


def structure_opacity(name: str) -> float:
    """Opacity in 3D from 0 to 1: what encloses other structures lets them show through."""
    return CATALOGUE[name].opacity if name in CATALOGUE else 1.0


def terminology(name: str) -> str | None:
    """The code of a structure in the form of 3D Slicer's terminology entries; ``None`` for one that has no code here."""
    if name not in CATALOGUE:
        return None
    found = CATALOGUE[name]
    return f"{_LIST}~{found.category}~{found.code}~^^~{_REGIONS}~^^~^^"
