"""What was assumed of each X-ray, a line each, with the picture as it was put in and the line integrals it was taken for."""

from __future__ import annotations

from collections.abc import Sequence

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.report import pictures
from XRayTo3DLib.report.page import Section, Table


def assumed_section(radiographs: Sequence[Radiograph], found: Reconstruction) -> Section:
    """``radiographs`` as they were put in, in the order of ``found``; pictures only where a scale was fitted."""
    rows = []
    for radiograph in radiographs:
        own = f"{radiograph.name}: "
        told = [note.removeprefix(own) for note in found.notes if note.startswith(own)]
        rows.append([radiograph.name, _scale_in_words(radiograph, found), " ".join(dict.fromkeys(told)) or "Nothing."])
    fitted = [i for i, scale in enumerate(found.scales) if scale is not None]
    shown, title = None, ""
    if fitted:
        befores = [radiographs[i] for i in fitted]
        shown = pictures.calibrations(befores, [found.radiographs[i] for i in fitted], [found.scales[i] for i in fitted])
        title = "Pictures as put in, the curves that were fitted, and the line integrals they were taken for"
    table = Table(["X-ray", "its mm", "what was assumed"], rows, note="")
    return Section("What was assumed of each X-ray", [], shown, title, [table])


def _scale_in_words(radiograph: Radiograph, found: Reconstruction) -> str:
    projection = radiograph.projection
    pixel = projection.spacing[0]
    if projection.source is None:
        return f"{pixel:.3g} mm a pixel, parallel beam: not magnified"
    down = float(projection.magnification(found.volume.grid.centre)[0])
    return f"{pixel:.3g} mm a pixel at the detector, {pixel / down:.3g} mm at the patient: magnified {down:.2f} times"
