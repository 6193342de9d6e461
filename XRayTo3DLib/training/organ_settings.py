"""The tables of recipes that learn organs: which one, and how patients are placed and seen."""

from __future__ import annotations

from dataclasses import dataclass

from XRayTo3DLib.shapes.organs import ORGANS, SCHEMES


@dataclass(frozen=True)
class OrganSettings:
    """What is learned, and how patients are placed when they are read.

    - ``name``: one of :data:`XRayTo3DLib.shapes.organs.ORGANS`; ``labels``: the scheme of the label files;
    - ``spacing``: mm of a voxel of the 64^3 cube around the organ;
    - ``variants``: how often each patient is placed: once as scanned, then at random, by standard deviations: ``scale`` and
      ``stretch`` (each axis on its own) on a log scale, ``rotation_degrees`` about each axis.
    """

    name: str
    labels: str
    spacing: float
    variants: int
    scale: float
    stretch: float
    rotation_degrees: float

    def problem(self) -> str | None:
        """What is wrong between values that are right on their own, or ``None``."""
        if self.name not in ORGANS:
            return f"organ/name: {self.name!r} is none of {', '.join(ORGANS)}"
        if not {self.name, *ORGANS[self.name].parts} & set(SCHEMES[self.labels]):
            return f"organ/labels: {self.labels} has no {self.name}"
        return None


@dataclass(frozen=True)
class PictureSettings:
    """How patients are seen.

    - ``view``: "frontal" or "lateral"; ``mirrored``: whether patients are mirrored at random, right for organs without a side;
    - ``jitter_mm``: standard deviation of where the picture is centred; in a share ``anywhere`` of them it is anywhere within
      ``anywhere_mm`` (across the patient, along the patient) of the organ;
    - ``field_mm``: in a share ``field_chance`` of the pictures only a square of that side is seen, centred on the body and
      reaching up to the top of the scan;
    - ``gain`` (log scale), ``noise`` (line integral), ``blur`` (largest, kept pixels): of the values.
    """

    view: str
    mirrored: bool
    jitter_mm: float
    anywhere: float
    anywhere_mm: tuple[float, float]
    field_mm: float
    field_chance: float
    gain: float
    noise: float
    blur: float
