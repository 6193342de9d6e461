"""The tables of a recipe of this system as typed values; ``recipe.schema.json`` beside it says what each may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from XRayTo3DLib.training.organ_settings import OrganSettings, PictureSettings


@dataclass(frozen=True)
class NetworkSettings:
    """``vertices`` of the template; ``plane``: channels of the U-Net's four levels; ``graph``: of the graph convolutions, of which
    there are ``layers``."""

    vertices: int
    plane: tuple[int, ...]
    graph: int
    layers: int


@dataclass(frozen=True)
class Loss:
    """Weights of the vertices' distance, of their Laplacian's, of the displacement map at the template's vertices, and of where
    the organ lies; distances in units of 10 mm."""

    position: float
    laplacian: float
    mapping: float
    offset: float


@dataclass(frozen=True)
class ImageToGraphSettings:
    """All tables of this system."""

    organ: OrganSettings
    pictures: PictureSettings
    network: NetworkSettings
    loss: Loss

    def problem(self, groups: Sequence[str]) -> str | None:
        """What is wrong between values that are right on their own, or ``None``."""
        return self.organ.problem()
