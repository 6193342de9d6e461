"""The tables of a recipe of this system as typed values; ``recipe.schema.json`` beside it says what each may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The region whose pictures are learned (a file of ``Resources/Regions``) and the views of its frame."""

    region: str
    views: tuple[str, ...]


@dataclass(frozen=True)
class NetworkSettings:
    """A U-Net: filters from the finest level to the bottom, convolutions a block, and pixels that are folded into channels."""

    widths: tuple[int, ...]
    convolutions: int
    fold: int


@dataclass(frozen=True)
class Networks:
    """Both networks and the filters of the critic."""

    marker: NetworkSettings
    image: NetworkSettings
    critic: tuple[int, ...]


@dataclass(frozen=True)
class Augmentation:
    """How patients are changed. Surface, X-ray and landmarks together: ``shift_pixels``, ``scale`` (log) and ``bend_pixels``
    (standard deviations), unless a patient is taken as it is (chance ``exact``).

    ``blind``: chance that a network gets the surface alone, no X-ray or no landmark. Of the others, with chance ``drag``, X-ray and
    landmarks are changed and the surface stays: some landmarks are dragged by ``drag_pixels`` (standard deviation), and what lies
    within ``drag_width`` pixels follows. ``left_out``: chance that the image network is not told a landmark.
    """

    exact: float
    shift_pixels: float
    scale: float
    bend_pixels: float
    blind: float
    drag: float
    drag_pixels: float
    drag_width: tuple[float, float]
    left_out: float


@dataclass(frozen=True)
class Adversary:
    """``kind`` of critic, the ``weight`` of its opinion, and how it learns: ``turns`` for each step of the networks, ``rate`` over
    theirs, ``penalty`` of WGAN-GP's gradient, ``clip`` of WGAN's weights, ``momenta`` of Adam."""

    kind: str
    weight: float
    turns: int
    rate: float
    penalty: float
    clip: float
    momenta: tuple[float, float]


@dataclass(frozen=True)
class Loss:
    """Weights: of the X-ray's absolute error, of what its structural similarity lacks, of a heat map's pixels that hold a landmark
    over those that do not; and in convergent training of what comes back through the other network."""

    absolute: float
    structural: float
    landmark: float
    through_image: float
    through_marker: float


@dataclass(frozen=True)
class Start:
    """Model files or checkpoints of pretrained networks whose weights are the first ones; empty: untrained."""

    marker: str
    image: str


@dataclass(frozen=True)
class Parametrized:
    """All tables of this system."""

    stage: str
    frame: Frame
    network: Networks
    augmentation: Augmentation
    loss: Loss
    adversary: Adversary
    start: Start

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``; ``groups``: those of the recipe's data."""
        if self.loss.absolute + self.loss.structural <= 0:
            return "loss: nothing asks for the right X-ray"
        if self.augmentation.drag_width[0] > self.augmentation.drag_width[1]:
            return "augmentation/drag_width: the first value is above the second"
        if self.stage == "marker" and self.adversary.kind != "none":
            return "adversary/kind: a critic looks at X-rays, and the stage marker makes none"
        foreign = [group for group in groups if group != self.frame.region]
        return f"data/group: {foreign[0]} is not the region {self.frame.region}" if foreign else None
