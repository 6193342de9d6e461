"""What is said of X-rays that are not what a shape was asked of: another region, upside down, the organ outside the field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import Appearance, appearance
from XRayTo3DLib.reconstruction.calibration.shadow import shadow_of
from XRayTo3DLib.shapes.organs import find_organ

#: Below this chance, of all views together, that the X-rays show a region with the organ in it, they are doubted.
DOUBTED = 0.1
#: Above this chance that a picture stands on its head, it is said.
_TURNED = 0.9
#: Share of a curve's points at the border of the picture from which the organ is said to be cut there.
_CUT = 0.02


def scope_notes(organ: str, radiographs: Sequence[Radiograph]) -> list[str]:
    """Sentences for the user about X-rays that do not look like ones that show this organ."""
    wanted = find_organ(organ)
    looks = [appearance(radiograph, shadow_of(radiograph)) for radiograph in radiographs]
    regions = sorted({look.region for look in looks[0].chances})
    chances = _together(looks, regions)
    likely = regions[int(np.argmax(chances))]
    right = sum(chance for region, chance in zip(regions, chances, strict=True) if region in wanted.shown_in)
    notes = []
    if right < DOUBTED:
        a = "an" if likely[0] in "aeiou" else "a"
        notes.append(
            f"These X-rays look like {a} {likely} ({chances.max():.0%}), and the {organ} is looked for in a "
            f"{' or '.join(wanted.shown_in)}: do not trust this shape unless they do show it."
        )
    for radiograph, look in zip(radiographs, looks, strict=True):
        if look.chance(upright=False) > _TURNED:
            notes.append(f"{radiograph.name or 'A view'} looks upside down: check how it is turned.")
    return notes


def _together(looks: Sequence[Appearance], regions: Sequence[str]) -> np.ndarray:
    """The chance of each region, by all views of one patient together, whatever their view and way up."""
    logs = np.sum([[np.log(max(look.chance(region=region), 1e-6)) for region in regions] for look in looks], axis=0)
    chances = np.exp(logs - logs.max())
    return chances / chances.sum()


def field_notes(organ: str, radiographs: Sequence[Radiograph], outlines: Sequence[Sequence[np.ndarray]]) -> list[str]:
    """Sentences about views whose picture ends where the organ's outline does, or that do not show it at all."""
    notes = []
    for radiograph, curves in zip(radiographs, outlines, strict=True):
        name = radiograph.name or "A view"
        if not curves:
            notes.append(f"{name} does not show where the {organ} was found: its shape comes from the other views and the model.")
            continue
        points = np.concatenate(list(curves))
        last = np.array(radiograph.projection.size) - 0.75
        if np.mean(((points < -0.25) | (points > last)).any(axis=1)) > _CUT:
            notes.append(f"The {organ} reaches the border of {name}: what lies beyond it comes from the model alone.")
    return notes
