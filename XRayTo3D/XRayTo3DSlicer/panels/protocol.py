"""What the panels need of the logic, so that they can be tested with another one. Lengths are in mm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from XRayTo3DLib.progress import Progress


class PanelLogic(Protocol):
    """The part of :class:`XRayTo3DSlicer.logic.Logic` that the panels call; nodes are MRML nodes."""

    def renderDRR(
        self,
        ctNode: Any,
        view: str | Sequence[str] = "AP",
        *,
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        beam: str = "cone",
        progress: Progress = ...,
    ) -> Any:
        """The X-ray of a CT as a radiograph node, a list of them for several views: all or none."""
        ...

    def loadRadiograph(
        self,
        path: str,
        view: str | None = None,
        *,
        spacing: float | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        beam: str | None = None,
        ask: Callable[[str], bool] | None = None,
    ) -> Any:
        """A file as a radiograph node; what is left out is taken from the file, and ``ask`` gets what is doubtful."""
        ...

    def showProjection(self, radiographNode: Any) -> Any:
        """The beam and the picture of a radiograph in 3D."""
        ...

    def reconstruct(
        self,
        radiographNodes: Sequence[Any],
        model: str | None = None,
        *,
        fuse: bool = True,
        beta: float | None = None,
        checkViews: bool = True,
        ask: Callable[[Any], bool] | None = None,
        progress: Progress = ...,
    ) -> Any:
        """The nodes of a reconstruction, with ``volumeNode`` among them."""
        ...

    def segment(self, volumeNode: Any) -> Any:
        """A segmentation node."""
        ...

    def extractSurfaces(self, segmentationNode: Any) -> list[Any]:
        """A model node a structure."""
        ...

    def compare(self, reconstructionNode: Any, ctNode: Any) -> dict[str, Any]:
        """Figures of a reconstruction against a CT."""
        ...

    def drawOutline(self, radiographNode: Any, organ: str) -> Any:
        """An empty segmentation on an X-ray, for the organ's outline."""
        ...

    def organShape(
        self,
        radiographs: Sequence[Any],
        organ: str,
        mask: Any = None,
        model: str | None = None,
        *,
        ask: Callable[[Any], bool] | None = None,
        progress: Progress = ...,
    ) -> Any:
        """The nodes of an organ, ``segmentationNode`` among them."""
        ...

    def parametrizedXRay(
        self,
        surfaceNode: Any,
        region: str = "head_neck",
        view: str | None = None,
        *,
        ask: Callable[[Any], bool] | None = None,
        progress: Progress = ...,
    ) -> Any:
        """``imageNode``, ``pointsNode`` and ``loop`` of an X-ray that follows its landmarks."""
        ...

    def parametrizedLoop(self, pointsNode: Any, *, ask: Callable[[Any], bool] | None = None) -> Any:
        """What lets X-ray and landmarks follow each other."""
        ...

    def completeXRay(self, pointsNode: Any, radiographNode: Any, *, progress: Progress = ...) -> Any:
        """A partial X-ray with the rest predicted."""
        ...

    def findAnomaly(self, pointsNode: Any, radiographNode: Any, threshold: float = 0.1, *, progress: Progress = ...) -> Any:
        """Where an X-ray is not as predicted, with its ``score``."""
        ...

    def trainingXRays(self, pointsNode: Any, folder: str, count: int = 20, *, progress: Progress = ...) -> list[Any]:
        """The files of X-rays with moved landmarks."""
        ...

    def models(self) -> list[Any]:
        """The models found: objects with ``name``, ``path``, ``card``, ``sha256`` and ``bundled``."""
        ...
