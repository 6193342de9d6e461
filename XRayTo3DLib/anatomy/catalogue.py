"""The named structures: what colour they have, how much shows through them, and their SNOMED CT codes.

The one place for these: segmentation files, Slicer's nodes, renderings and outlines take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Red, green and blue from 0 to 1.
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Structure:
    """``colour`` 0 to 1; ``opacity`` in 3D, 0 to 1; ``category``, ``code`` and ``side`` as "scheme^value^meaning"."""

    colour: Colour
    opacity: float
    category: str
    code: str
    side: str = "^^"


_ANATOMY = "SCT^123037004^Anatomical Structure"
_LEFT, _RIGHT = "SCT^7771000^Left", "SCT^24028007^Right"


def _organ(red: int, green: int, blue: int, code: str, side: str = "^^", opacity: float = 1.0) -> Structure:
    return Structure((red / 255, green / 255, blue / 255), opacity, _ANATOMY, f"SCT^{code}", side)


#: The structures of :func:`segment_ct`, and the organs whose shapes are found (:mod:`XRayTo3DLib.shapes.organs`). Colours and codes
#: are those of 3D Slicer's own anatomy list where it has the structure.
CATALOGUE = {
    "body": Structure((128 / 255, 174 / 255, 128 / 255), 0.25, "SCT^85756007^Tissue", "SCT^85756007^Tissue"),
    "lungs": _organ(197, 165, 145, "39607008^Lung", opacity=0.7),
    "bone": _organ(241, 214, 145, "272673000^Bone"),
    "mandible": _organ(222, 198, 101, "91609006^Mandible"),
    "brainstem": _organ(85, 188, 255, "15926001^Brainstem"),
    "parotid_left": _organ(170, 130, 200, "45289007^Parotid gland", _LEFT),
    "parotid_right": _organ(170, 130, 200, "45289007^Parotid gland", _RIGHT),
    "spinal_cord": _organ(244, 214, 49, "2748008^Spinal cord"),
    "larynx": _organ(150, 208, 243, "4596009^Larynx"),
    "esophagus": _organ(211, 171, 143, "32849002^Esophagus"),
    "lung_left": _organ(197, 165, 145, "39607008^Lung", _LEFT, 0.7),
    "lung_right": _organ(197, 165, 145, "39607008^Lung", _RIGHT, 0.7),
    "heart": _organ(206, 110, 84, "80891009^Heart"),
    "liver": _organ(221, 130, 101, "10200004^Liver"),
    "spleen": _organ(157, 108, 162, "78961009^Spleen"),
    "kidney_left": _organ(185, 102, 83, "64033007^Kidney", _LEFT),
    "kidney_right": _organ(185, 102, 83, "64033007^Kidney", _RIGHT),
    "ribs": _organ(253, 232, 158, "113197003^Rib"),
    "spine": _organ(226, 202, 134, "421060004^Vertebral column"),
    "pelvis": _organ(243, 217, 155, "118645006^Bone structure of pelvis"),
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
    return f"{_LIST}~{found.category}~{found.code}~{found.side}~{_REGIONS}~^^~^^"
