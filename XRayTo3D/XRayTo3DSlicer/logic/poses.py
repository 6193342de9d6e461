"""What a call of the logic that simulates X-rays is given, turned into what the library wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection, detector_size
from XRayTo3DLib.geometry.views import ViewSpec, beam_fields
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.projections import Calibration, calibration_of_matrix, read_calibrations
from XRayTo3DLib.progress import Cancelled, Progress, part
from XRayTo3DSlicer.nodes import model_nodes, segmentation_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.simulation.inserts import Insert

#: Pixel size of a DRR in mm when none is asked for.
DEFAULT_PIXEL = 2.0
#: A detector with a longer side than this, in mm, is rather a wrong pixel size.
LARGEST_USUAL = 600.0


@dataclass(frozen=True, eq=False)
class Poses:
    """The views of one call: their ``names`` and ``projections``; ``several`` says whether a list of them was asked for.

    ``notes`` say, for each of exact geometries, what was assumed of it.
    """

    names: list[str]
    projections: list[Projection]
    several: bool
    notes: Sequence[tuple[str, ...]] = ()


def poses(
    grid: Grid,
    view: str | Sequence[str],
    size: tuple[int, int] | None,
    spacing: float | None,
    sourceToDetector: float | None,
    sourceToIsocentre: float | None,
    beam: str,
    projection: Any,
) -> Poses:
    """The projections that the arguments of :meth:`Logic.renderDRR` mean; views aim at the middle of ``grid``.

    A ``projection`` is a :class:`Projection`, a 3x4 matrix from LPS mm to (column, row), or a file of such. Raises
    :class:`InputError` for views and projections that do not fit each other, and for a geometry that cannot be.
    """
    size = None if size is None else detector_size(size)
    if spacing is not None and not 0 < spacing < float("inf"):
        raise InputError(f"The pixel spacing {spacing!r} must be a positive number in mm: correct it.")
    if isinstance(projection, (str, Path)):
        stored = read_calibrations(projection)
        projection = stored[0] if len(stored) == 1 else stored
    several = not isinstance(view, str) or _isList(projection)
    names = [view] if isinstance(view, str) else [str(word) for word in view]
    if projection is not None:
        given = list(projection) if _isList(projection) else [projection]
        if isinstance(view, str) and len(given) > 1:
            names = [f"{view} {number}" for number in range(1, len(given) + 1)]
        if len(names) != len(given) or not given:
            raise InputError(
                f"There are {len(names)} views for {len(given)} projections: give one view a projection, or one for all."
            )
        placed = [_exact(pose, grid, size, spacing) for pose in given]
        return Poses(names, [pose for pose, _ in placed], several, [notes for _, notes in placed])
    if not names:
        raise InputError("No view was given: give at least one, as AP.")
    where = {
        "size": size,
        "spacing": DEFAULT_PIXEL if spacing is None else spacing,
        **beam_fields(beam, None if beam == "parallel" else sourceToDetector, sourceToIsocentre),
    }
    return Poses(names, [ViewSpec.parse(word, **where).projection(grid) for word in names], several)


def _isList(projection: Any) -> bool:
    """Whether this is a list of projections: a matrix is a list of numbers."""
    if projection is None or isinstance(projection, (Projection, Calibration)):
        return False
    return len(projection) == 0 or isinstance(projection[0], (Projection, Calibration)) or np.ndim(projection[0]) == 2


def _exact(pose: Any, grid: Grid, size: tuple[int, int] | None, spacing: float | None) -> tuple[Projection, tuple[str, ...]]:
    if isinstance(pose, Projection):
        return pose, ()
    pixel = None if spacing is None else (spacing, spacing)
    if isinstance(pose, Calibration):
        return pose.placed(size, pixel, grid.centre)
    if size is None:
        raise InputError("A matrix does not say how large the detector is: give size=(rows, columns).")
    try:
        matrix = np.array(pose, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{pose!r} is no projection: give a Projection, or a 3x4 matrix of numbers (LPS mm to pixels).") from None
    return calibration_of_matrix(matrix, "matrix").placed(size, pixel, grid.centre)


def checkDetectorSize(radiograph: Radiograph, name: str, ask: Callable[[str], bool] | None) -> None:
    """Ask about a detector that is larger than any plate; :class:`Cancelled` when it is not meant."""
    height, width = np.multiply(radiograph.projection.size, radiograph.projection.spacing)
    if ask is None or max(height, width) <= LARGEST_USUAL:
        return
    question = (
        f"With pixels of {radiograph.projection.spacing[1]:g} mm the detector of {name} measures {width:.0f} x {height:.0f} mm. "
        f"Plates are at most {LARGEST_USUAL:g} mm long. Is the pixel size right?"
    )
    if not ask(question):
        raise Cancelled


def insertsOf(pairs: Iterable[tuple[Any, str | float]]) -> tuple[list[Insert], list[slicer.vtkMRMLNode]]:
    """Pairs of a segmentation or model node and what it is made of, as the library's inserts, and the nodes.

    All segments of a segmentation count. The nodes' parent transforms are followed.
    """
    from XRayTo3DLib.simulation.inserts import Insert, parse_material

    found, sources = [], []
    for pair in pairs:
        try:
            node, material = pair
        except (TypeError, ValueError):
            raise InputError("Each insert is a pair (node, material): write inserts=[(node, 'titanium')], for example.") from None
        parse_material(material)
        if not isinstance(node, slicer.vtkMRMLNode):
            raise InputError("No node is chosen for the insert: choose a segmentation or a model.")
        if node.IsA("vtkMRMLSegmentationNode"):
            shape: Any = segmentation_nodes.segmentation_from_node(node)
        elif node.IsA("vtkMRMLModelNode"):
            shape = model_nodes.surface_from_node(node)
        else:
            raise InputError(f"{node.GetName()} has no shape to insert: choose a segmentation or a model.")
        found.append(Insert(shape, material, name=node.GetName()))
        sources.append(node)
    return found, sources


def structureRadiographs(
    labelmaps: Sequence[Labelmap], asked: Poses, volume: Volume | None, progress: Progress
) -> list[list[tuple[str, str, Radiograph]]]:
    """For each view, each structure with its name, the unit of its pixels ("mm" or "1") and its X-ray."""
    from XRayTo3DLib.simulation.structures import project_structures

    found: list[list[tuple[str, str, Radiograph]]] = [[] for _ in asked.projections]
    for number, labelmap in enumerate(labelmaps):
        share = part(progress, number / len(labelmaps), (number + 1) / len(labelmaps))
        views = project_structures(labelmap, asked.projections, asked.names, volume, progress=share)
        for pictures, view in zip(found, views, strict=True):
            pictures += [(structure, view.unit, view.radiograph(label)) for label, structure in view.names.items()]
    return found
