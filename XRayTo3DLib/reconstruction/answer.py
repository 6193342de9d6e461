"""From radiographs to everything that is shown and written of them: the volume, its structures and their surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from XRayTo3DLib.anatomy.segmentation import STRUCTURES, segment_ct
from XRayTo3DLib.anatomy.surfaces import Surface, extract_surfaces
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_hu
from XRayTo3DLib.io.segmentations import write_segmentation
from XRayTo3DLib.io.surfaces import write_surface
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.reconstruction.refine import refine
from XRayTo3DLib.reconstruction.result import Reconstruction


@dataclass(frozen=True, eq=False)
class Answer:
    """A reconstruction with its structures; ``labels`` is ``None`` when no body was found in it."""

    found: Reconstruction
    labels: Labelmap | None
    surfaces: list[Surface]

    @property
    def hu(self) -> Volume:
        """The final volume in HU, float32."""
        return to_hu(self.found.volume)


def solve(
    radiographs: Sequence[Radiograph],
    grid: Grid,
    model: LoadedModel,
    refine_mm: float | None = None,
    fuse_views: bool = True,
    beta: float = BETA,
    check_views: bool = True,
    progress: Progress = silent,
    region: str | None = None,
) -> Answer:
    """Reconstruct on ``grid``, refine to voxels of ``refine_mm`` (not without fusion), segment, extract surfaces."""
    finer = fuse_views and refine_mm is not None and refine_mm < 0.95 * min(grid.spacing)
    found = reconstruct(
        radiographs,
        model,
        grid,
        fuse_views=fuse_views,
        beta=beta,
        check_views=check_views,
        region=region,
        progress=part(progress, 0.0, 0.5 if finer else 0.9),
    )
    if finer and refine_mm is not None:
        found = refine(found, radiographs, refine_mm, beta, part(progress, 0.5, 0.9))
    told = [f"{r.name}: {note}" for r in radiographs for note in r.notes]
    found = replace(found, notes=[*told, *found.notes])
    progress(0.92, "segments")
    try:
        labels = segment_ct(to_hu(found.volume), thin_walls=True)
    except InputError as error:
        found = replace(found, notes=[*found.notes, f"No structures in the reconstruction: {error}"])
        return Answer(found, None, [])
    progress(0.96, "surfaces")
    return Answer(found, labels, extract_surfaces(labels))


def answer_files(suffix: str = "") -> list[str]:
    """The names of all files that :func:`write_answer` can write."""
    return [
        *(f"{name}{suffix}.nrrd" for name in ("reconstruction", "uncertainty")),
        f"segmentation{suffix}.seg.nrrd",
        *(f"{name}{suffix}.stl" for name in STRUCTURES.values()),
    ]


def write_answer(answer: Answer, folder: Path, suffix: str = "") -> None:
    """Write the volume (HU), the model's uncertainty (HU), the segmentation and the surfaces of an answer."""
    write_volume(answer.hu, folder / f"reconstruction{suffix}.nrrd")
    deviation = answer.found.deviation
    if deviation is not None:
        # A width in HU: without the offset that makes water 0.
        write_volume(Volume(deviation.array / MU_WATER * 1000, deviation.grid), folder / f"uncertainty{suffix}.nrrd")
    if answer.labels is not None:
        write_segmentation(answer.labels, folder / f"segmentation{suffix}.seg.nrrd")
    for surface in answer.surfaces:
        write_surface(surface, folder / f"{surface.name}{suffix}.stl")
