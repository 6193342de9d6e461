"""What looks wrong with pictures of unknown scale: said to the user, because none of it is certain.

The rates are those of ``Testing/Benchmarks/picture_gates.py``: of 105 real chest radiographs, upright and turned, and of DRRs of
validation heads and a chest through random display processing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.reconstruction.calibration.appearance import Appearance, appearance
from XRayTo3DLib.reconstruction.calibration.reference import view_kind
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow

#: Below this likeness a picture is like none of the known kinds.
UNLIKE = 0.2
#: Chances beyond which a picture is upside down, or another view than it is called.
UPSIDE_DOWN, OTHER_VIEW = 0.95, 0.97
#: The standard deviation of the logarithm of the slices' masses between two views above which they are not of one patient.
TWO_PATIENTS = 0.25

#: The least width in mm of an adult's chest in the patient's middle.
NARROW_CHEST_MM = 240.0


def body_extent(radiograph: Radiograph, shadow: Shadow, centre: np.ndarray) -> tuple[float, float]:
    """How wide and how high the body is at ``centre`` (LPS mm), in mm, as far as the field shows it."""
    rows, columns = np.flatnonzero(shadow.body.any(axis=1)), np.flatnonzero(shadow.body.any(axis=0))
    down, across = radiograph.projection.magnification(centre)
    high, wide = radiograph.projection.spacing
    return float((columns[-1] - columns[0] + 1) * wide / across), float((rows[-1] - rows[0] + 1) * high / down)


def too_narrow(radiograph: Radiograph, shadow: Shadow, region: str, centre: np.ndarray) -> str:
    """A sentence where a frontal chest is narrower at ``centre`` (LPS mm) than an adult's is, or "": its mm are too small."""
    if region != "chest" or view_kind(radiograph) != "frontal":
        return ""
    width, _ = body_extent(radiograph, shadow, centre)
    if width >= NARROW_CHEST_MM:
        return ""
    return (
        f"This chest is {width:.0f} mm wide at the patient, less than an adult's: unless it is a child's, its pixels are larger "
        "than was said; its depth is that of an adult, its width, its height and all volumes are as small as the pixels make them."
    )


def looks_wrong(radiograph: Radiograph, shadow: Shadow) -> list[str]:
    """Sentences about one picture, without its name; none where nothing is striking."""
    told = faults(appearance(radiograph, shadow), view_kind(radiograph))
    if shadow.cut:
        told.append("The field ends in the body at the side: what lies outside it is not reconstructed.")
    return told


def faults(look: Appearance, view: str) -> list[str]:
    """What is wrong by the look of a picture that is called a ``view``."""
    if look.likeness < UNLIKE:
        return ["It does not look like an X-ray of a head, a chest or an abdomen: check that it is one, bone bright and head up."]
    if look.chance(upright=False) > UPSIDE_DOWN:
        return ["It looks upside down: turn it, if the head is not up."]
    other = "lateral" if view == "frontal" else "frontal"
    if look.chance(view=other, upright=True) > OTHER_VIEW:
        return [f"It looks like a {other} view, not a {view} one: correct its name, if it is wrong."]
    return []


def patients_differ(disagreement: np.ndarray, views: int) -> str:
    """A sentence where the slices' masses (:func:`.mass.disagreement`) of fitted views are too unlike for one patient, or ""."""
    if not disagreement.size:
        return ""
    logs = disagreement.reshape(-1, views)
    logs = logs[logs.any(axis=1)]
    if len(logs) < 3 or float(np.ptp(logs, axis=1).std() if views > 2 else (logs[:, 0] - logs[:, 1]).std()) < TWO_PATIENTS:
        return ""
    return "The views disagree on the mass of the slices: check that they are of one patient, at one height, and not turned."


def all_faults(radiographs: Sequence[Radiograph], shadows: Sequence[Shadow], disagreement: np.ndarray, views: int) -> list[str]:
    """Everything that looks wrong with the pictures whose scale is unknown, each sentence with its view's name."""
    told = [
        f"{radiograph.name}: {sentence}"
        for radiograph, shadow in zip(radiographs, shadows, strict=True)
        if "curve" in radiograph.unknown
        for sentence in looks_wrong(radiograph, shadow)
    ]
    return [*told, *filter(None, [patients_differ(disagreement, views)])]
