"""A parametrized X-ray of a body in one call: what shell, console and panel share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.io.surfaces import SURFACES, read_surface
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.models.zoo import ModelFile, find_models
from XRayTo3DLib.parametrized.body import Body, body_of_ct, body_of_mask, body_of_surface
from XRayTo3DLib.parametrized.landmarks import measure_body
from XRayTo3DLib.parametrized.loop import Loop, MarkersAndImage, State
from XRayTo3DLib.parametrized.networks import IMAGE, MARKER, Networks, load_networks
from XRayTo3DLib.parametrized.regions import FRONTAL, Region, find_region
from XRayTo3DLib.parametrized.surface_image import SurfaceImage, surface_image
from XRayTo3DLib.progress import Progress, silent

#: A segment of this name is the body; without it the segments together are.
_BODY = "body"

Source = Volume | Labelmap | Surface | vtkPolyData | Body


def parametrized_xray(
    source: Source,
    region: str | Region = "head_neck",
    view: str = FRONTAL,
    landmarks: Mapping[str, Any] | None = None,
    networks: MarkersAndImage | None = None,
    progress: Progress = silent,
) -> Loop:
    """The X-ray of a body from its surface alone, with markers that can be dragged: ``Loop.state`` is the X-ray as it stands.

    - ``source``: a CT (HU or 1/mm), a segmentation (its segment "body", or all of it), or a closed surface (LPS mm);
    - ``region``: a region's name (``head_neck``, ``torso``) or a region; ``view``: its view (``AP``, ``LLAT``);
    - ``landmarks``: LPS mm of landmarks of the skin by name, where those found by themselves are not right;
    - ``networks``: those to use; by default the bundled ones for the region and the view.

    Raises :class:`InputError` when there is no body, its frame's landmarks are neither found nor given, or no network is there.
    """
    wanted = find_region(region) if isinstance(region, str) else region
    surface = surface_of(source, wanted, view, landmarks)
    found = networks_for(wanted, view) if networks is None else networks
    return Loop(found, wanted, surface, progress)


def surface_of(source: Source, region: Region, view: str, landmarks: Mapping[str, Any] | None = None) -> SurfaceImage:
    """The surface image of a CT, a segmentation or a closed surface, its frame placed by landmarks found or given."""
    body = body_of(source)
    for name in landmarks or {}:
        region.landmark(name)
    given = {name: np.asarray(point, dtype=np.float64) for name, point in (landmarks or {}).items()}
    return surface_image(body, region, view, measure_body(body, region, given))


def body_of(source: Source) -> Body:
    """The body of any source."""
    if isinstance(source, Body):
        return source
    if isinstance(source, Volume):
        return body_of_ct(source)
    if isinstance(source, Labelmap):
        inside = source.mask(_BODY) if _BODY in source.names.values() else source.array > 0
        return body_of_mask(inside, source.grid)
    if isinstance(source, Surface):
        return body_of_surface(source.polydata, source.name or "surface")
    return body_of_surface(source, "surface")


def read_source(path: str | Path) -> Source:
    """A CT, a segmentation (``.seg.nrrd``, or ``.labels`` before the ending) or a closed surface, by the file's name."""
    file = Path(path)
    if file.suffix.lower() in SURFACES:
        return read_surface(file)
    if file.name.lower().endswith(".seg.nrrd") or ".labels." in file.name.lower():
        return read_labelmap(file)
    return read_volume(file)


def state_radiograph(state: State, name: str = "") -> Radiograph:
    """The X-ray of a state as a radiograph that stands where the frame stands, with what its surface does not show as notes."""
    told = ("Predicted from the body's surface and its markers: no measurement.", *state.surface.notes)
    return Radiograph(state.xray, state.surface.projection, name or state.surface.view, notes=told)


def networks_for(region: Region, view: str, marker: str | None = None, image: str | None = None, **options: Any) -> Networks:
    """The marker and the image network of a region and a view: those named (bundled name or path), or the bundled ones.

    ``options`` go to :func:`~XRayTo3DLib.models.zoo.load_model`.

    :class:`InputError` when there is none, or one does not fit.
    """
    word = region.view_word(view)
    chosen = [marker, image]
    for index, (task, interface) in enumerate((("landmarks", MARKER), ("xray", IMAGE))):
        if chosen[index] is None:
            fitting = [model for model in find_models() if fits(model, task, interface, region, word)]
            # Bundled ones stand last in the search path, and are what is meant when nothing is named.
            fitting.sort(key=lambda model: not model.bundled)
            if not fitting:
                raise InputError(
                    f"There is no model of the task {task} for the region {region.name} and the view {word}: name a model file, or "
                    "see `xrayto3d models list`."
                )
            chosen[index] = str(fitting[0].path)
    found = load_networks(str(chosen[0]), str(chosen[1]), **options)
    found.check(region.names, region.frame.size, region.frame.spacing_mm, word)
    return found


def fits(model: ModelFile, task: str, interface: str, region: Region, view: str) -> bool:
    """Whether a model is such a network for the region's landmarks and the view. Cards name regions in words of their own."""
    card = model.card
    views = card["inputs"].get("projections")
    return (
        card["task"] == task
        and card["interface"] == interface
        and tuple(card.get("landmarks", ())) == region.names
        and (views is None or view in views)
    )
