"""What the panel is set to, kept in the scene: lengths in mm, angles in degrees, sizes in pixels."""

from __future__ import annotations

import enum
import logging
import math
import typing
from typing import Annotated, Any

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import SAME_VIEW_DEGREES
from XRayTo3DLib.geometry.views import (
    DEFAULT_SOURCE_TO_DETECTOR,
    DEFAULT_SOURCE_TO_ISOCENTRE,
    SCANNER_SOURCE_TO_DETECTOR,
    SCANNER_SOURCE_TO_ISOCENTRE,
    view_projection,
)
from XRayTo3DLib.parametrized.regions import region_choices


class View(enum.Enum):
    """The views offered; each can be turned by an angle."""

    AP = "AP"
    PA = "PA"
    LEFT = "LLAT"
    RIGHT = "RLAT"
    CARM = "C-arm"

    def label(self) -> str:
        """What the selector shows."""
        return {
            View.AP: _("AP"),
            View.PA: _("PA"),
            View.LEFT: _("Left lateral"),
            View.RIGHT: _("Right lateral"),
            View.CARM: _("C-arm"),
        }[self]


class Beam(enum.Enum):
    """How the rays run."""

    CONE = "cone"
    PARALLEL = "parallel"
    SCANNED = "scanned"

    def label(self) -> str:
        """What the selector shows."""
        return {
            Beam.CONE: _("Cone (X-ray tube)"),
            Beam.PARALLEL: _("Parallel"),
            Beam.SCANNED: _("Scanned (topogram, slot scanner)"),
        }[self]


@parameterNodeWrapper
class PanelParameters:
    """The state of the panel, bound to its controls by name."""

    # Inputs. The turns are in degrees: for C-arm views the primary angle, for the others about the patient's long axis.
    ctNode: slicer.vtkMRMLScalarVolumeNode
    firstView: View = View.AP
    firstTurn: Annotated[float, WithinRange(-90, 90)] = 0.0
    firstNode: slicer.vtkMRMLScalarVolumeNode
    useSecond: bool = True
    secondView: View = View.LEFT
    secondTurn: Annotated[float, WithinRange(-90, 90)] = 0.0
    secondNode: slicer.vtkMRMLScalarVolumeNode

    # Geometry: distances and pixel size in mm; rows and columns in pixels, 0 for as many as the CT needs.
    # filePixelSize: mm between the pixels of X-ray files, 0 while nobody has said it.
    # fileGeometry: what an X-ray file says of its own view and geometry wins over what is set here.
    beam: Beam = Beam.CONE
    sourceToDetector: Annotated[float, WithinRange(100, 5000)] = DEFAULT_SOURCE_TO_DETECTOR
    sourceToIsocentre: Annotated[float, WithinRange(50, 5000)] = DEFAULT_SOURCE_TO_ISOCENTRE
    pixelSize: Annotated[float, WithinRange(0.05, 20)] = 2.0
    detectorRows: Annotated[int, WithinRange(0, 4096)] = 0
    detectorColumns: Annotated[int, WithinRange(0, 4096)] = 0
    filePixelSize: Annotated[float, WithinRange(0, 20)] = 0.0
    fileGeometry: bool = True

    # Reconstruction. The model is the path of its file, or empty for the bundled one.
    model: str = ""
    fuse: bool = True
    beta: Annotated[float, WithinRange(0, 2)] = 0.5
    checkViews: bool = True

    # Organs. The model is the path of its file, or empty for the one that comes for the organ.
    organ: str = "lungs"
    organModel: str = ""
    outlineNode: slicer.vtkMRMLSegmentationNode

    # Landmarks. The view is a word of the region's frame, or empty for its first.
    region: str = "head_neck"
    regionView: str = ""
    surfaceNode: slicer.vtkMRMLDisplayableNode
    landmarksNode: slicer.vtkMRMLMarkupsFiducialNode
    realNode: slicer.vtkMRMLScalarVolumeNode
    anomalyThreshold: Annotated[int, WithinRange(1, 99)] = 10
    trainingCount: Annotated[int, WithinRange(1, 100000)] = 20

    # Results
    reconstructionNode: slicer.vtkMRMLScalarVolumeNode
    segmentationNode: slicer.vtkMRMLSegmentationNode
    compareNode: slicer.vtkMRMLScalarVolumeNode


#: Source to detector and source to isocentre in mm that go with a beam.
USUAL_DISTANCES = {
    Beam.CONE: (DEFAULT_SOURCE_TO_DETECTOR, DEFAULT_SOURCE_TO_ISOCENTRE),
    Beam.SCANNED: (SCANNER_SOURCE_TO_DETECTOR, SCANNER_SOURCE_TO_ISOCENTRE),
}


def viewWord(view: View, turn: float) -> str:
    """A view and its turn in degrees as the library's word, with every digit: AP, AP+10, LAO30, RAO20."""
    if view is View.CARM:
        return f"{'LAO' if turn >= 0 else 'RAO'}{abs(turn):.15g}"
    return f"{view.value}{turn:+.15g}" if turn else view.value


def views(parameters: Any) -> list[str]:
    """The words of the views that are switched on."""
    words = [viewWord(parameters.firstView, parameters.firstTurn)]
    return [*words, viewWord(parameters.secondView, parameters.secondTurn)] if parameters.useSecond else words


def geometry(parameters: Any) -> dict[str, Any]:
    """The geometry of X-rays to be simulated as the keywords that the logic takes (mm)."""
    return {"spacing": parameters.pixelSize, **_beam(parameters)}


def fileGeometry(parameters: Any) -> dict[str, Any]:
    """The geometry of X-rays in files as the keywords that the logic takes (mm); a pixel size only when it was given."""
    return {"spacing": parameters.filePixelSize or None, **_beam(parameters)}


def _beam(parameters: Any) -> dict[str, Any]:
    parallel = parameters.beam is Beam.PARALLEL
    return {
        "sourceToDetector": None if parallel else parameters.sourceToDetector,
        "sourceToIsocentre": None if parallel else parameters.sourceToIsocentre,
        "beam": parameters.beam.value,
    }


def detectorSize(parameters: Any) -> tuple[int, int] | None:
    """(rows, columns) in pixels, ``None`` for as large as the CT needs."""
    size = parameters.detectorRows, parameters.detectorColumns
    return size if any(size) else None


def geometryProblem(parameters: Any) -> str:
    """What is wrong with the geometry as a sentence, or nothing."""
    if parameters.beam is not Beam.PARALLEL and parameters.sourceToIsocentre >= parameters.sourceToDetector:
        return _(
            "The source-to-isocentre distance ({isocentre:g} mm) must be smaller than the source-to-detector distance "
            "({detector:g} mm): the patient is between tube and detector."
        ).format(isocentre=parameters.sourceToIsocentre, detector=parameters.sourceToDetector)
    if (parameters.detectorRows == 0) != (parameters.detectorColumns == 0):
        return _("Give both the rows and the columns of the detector (pixels), or leave both at 0.")
    return ""


def viewProblem(parameters: Any) -> str:
    """What is wrong with the choice of views as a sentence, or nothing."""
    try:
        projections = [view_projection(word, source_to_detector=None) for word in views(parameters)]
    except InputError as error:
        return str(error)
    if len(projections) == 2:
        angle = projections[0].angle_to(projections[1])
        if min(angle, 180 - angle) < SAME_VIEW_DEGREES:
            return _(
                "The two views look along the same line ({angle:.0f} degrees between the beams): choose views "
                "that are at least {least:g} degrees apart."
            ).format(angle=angle, least=SAME_VIEW_DEGREES)
    return ""


def renderProblem(parameters: Any) -> str:
    """Why DRRs cannot be rendered now, or nothing."""
    if parameters.ctNode is None:
        return _("Choose the CT volume to simulate X-rays from.")
    return viewProblem(parameters) or geometryProblem(parameters)


def radiographs(parameters: Any) -> list[Any]:
    """The radiograph nodes that reconstruction would use."""
    chosen = [parameters.firstNode, parameters.secondNode if parameters.useSecond else None]
    return [node for node in chosen if node is not None]


def reconstructionProblem(parameters: Any) -> str:
    """Why nothing can be reconstructed now, or nothing."""
    chosen = radiographs(parameters)
    if parameters.firstNode is None:
        return _("Choose the first X-ray: render it from a CT, or load a file.")
    if parameters.useSecond and parameters.secondNode is None:
        return _("Choose the second X-ray, or switch the second view off.")
    if len(chosen) == 2 and chosen[0] is chosen[1]:
        return _("The first and the second X-ray are the same: choose another one, or switch the second view off.")
    return ""


def organProblem(parameters: Any) -> str:
    """Why no organ can be found now, or nothing."""
    if parameters.firstNode is None:
        return _("Choose the first X-ray under Inputs: render it from a CT, or load a file.")
    chosen = radiographs(parameters)
    if len(chosen) == 2 and chosen[0] is chosen[1]:
        return _("The first and the second X-ray are the same: choose another one, or switch the second view off.")
    return ""


def regionTitles() -> list[tuple[str, str]]:
    """What is shown of each region of the body, and its name."""
    return [(title, name) for name, (title, _views) in region_choices().items()]


def regionViews(region: str) -> list[str]:
    """The views of a region's frame, none of one that is not known here."""
    return list(region_choices().get(region, ("", ()))[1])


def bind(node: slicer.vtkMRMLScriptedModuleNode) -> Any:
    """The parameters kept in a node. What cannot be read there, as a choice that a newer version saved, is set anew."""
    for name, kind in typing.get_type_hints(PanelParameters).items():
        if not node.HasParameter(name):
            continue
        text = node.GetParameter(name)
        if not _readable(kind, text):
            logging.warning("XRay to 3D: the saved setting %s = %r is not known here and was reset.", name, text)
            node.UnsetParameter(name)
    return PanelParameters(node)


def _readable(kind: Any, text: str) -> bool:
    if issubclass(kind, enum.Enum):
        return text in kind.__members__
    if kind is bool:
        return text.lower() in ("true", "false")
    if kind in (int, float):
        try:
            return math.isfinite(kind(text))
        except (ValueError, OverflowError):
            return False
    return True
