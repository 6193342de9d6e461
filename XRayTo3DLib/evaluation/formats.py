"""One pair of X-rays in every format that devices store, read back and reconstructed: what each format can carry.

The same CT is X-rayed; the pictures are written as :mod:`XRayTo3DLib.simulation.devices` writes them, read as anybody's files
are, and reconstructed on one grid. Each volume is compared with the one from exact line integrals of the same beams (.nrrd) and
with the CT.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.comparison import truth_on
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec, beam_fields
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume, to_hu
from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.devices import write_as
from XRayTo3DLib.simulation.drr import render_drr

#: The formats in the order of the table; "NRRD" holds all, and is what the others are compared with.
FORMATS = ("NRRD", "RTIMAGE", "DX", "XA", "CR", "PNG", "NRRD (scanned)", "topogram")
#: What a format has no place for, which its user gives by hand.
_GIVEN = {"NRRD": (), "RTIMAGE": (), "NRRD (scanned)": (), "topogram": ("view",), "DX": ("isocentre",), "XA": ("isocentre",)}
_GIVEN |= {"CR": ("isocentre", "source_to_isocentre")}
_GIVEN |= {"PNG": ("view", "isocentre", "spacing", "source_to_detector", "source_to_isocentre")}


@dataclass(frozen=True)
class Carried:
    """What came through one format.

    ``given``: what had to be said by hand; ``unknown``: of the views' scale, after reading; ``psnr_same`` and ``psnr_truth``: dB
    (HU + 1024 in [0, 2500], peak 2500, whole grid) against the volume from exact line integrals of the same beams, and
    against the CT; ``problem``: why there is no volume.
    """

    format: str
    given: tuple[str, ...]
    unknown: tuple[str, ...]
    psnr_same: float
    psnr_truth: float
    problem: str = ""


def compare_formats(
    ct: Volume,
    views: Sequence[ViewSpec],
    grid: Grid,
    model: LoadedModel,
    formats: Sequence[str] = FORMATS,
    progress: Progress = silent,
) -> list[Carried]:
    """A row a format. ``views``: cone beams with names and one isocentre, size and spacing as they would be simulated.

    A topogram is the same view with the beam of a scanner, and has a reference of its own. What a format cannot carry at all is
    a row with its ``problem``. Without a reference, the format "NRRD" of the same beam before it, ``psnr_same`` is NaN.
    """
    cone = render_drr(ct, [view.projection(ct.grid) for view in views], [view.name for view in views])
    scanned: list[Radiograph] = []
    references: dict[bool, Volume] = {}
    truth: Volume | None = None
    rows: list[Carried] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(formats):
            of_scanner = name in ("NRRD (scanned)", "topogram")
            share = part(progress, number / len(formats), (number + 1) / len(formats))
            share(0.0, f"X-rays as {name}")
            if of_scanner and not scanned:
                scanned = _scanned(ct, views)
            used = scanned if of_scanner else cone
            try:
                read = [_through(r, v, name, Path(folder)) for r, v in zip(used, views, strict=True)]
                found = to_hu(reconstruct(read, model, grid, check_views=False, progress=share).volume)
            except InputError as error:
                rows.append(Carried(name, _GIVEN[name], (), float("nan"), float("nan"), str(error).replace(folder, "")))
                continue
            truth = truth_on(ct, found) if truth is None else truth
            if name.startswith("NRRD"):
                references[of_scanner] = found
            same = _psnr(references[of_scanner], found) if of_scanner in references else float("nan")
            unknown = tuple(dict.fromkeys(word for radiograph in read for word in radiograph.unknown))
            rows.append(Carried(name, _GIVEN[name], unknown, same, _psnr(truth, found)))
    return rows


def _scanned(ct: Volume, views: Sequence[ViewSpec]) -> list[Radiograph]:
    """The same views with the beam of a CT scanner."""
    own = [replace(view, size=None, **beam_fields("scanned")) for view in views]
    return render_drr(ct, [view.projection(ct.grid) for view in own], [view.name for view in own])


def _through(radiograph: Radiograph, view: ViewSpec, name: str, folder: Path) -> Radiograph:
    """A radiograph written in a format and read back, with what the format has no place for given by hand."""
    if view.isocentre is None:
        raise InputError(f"The view {view.name} names no isocentre: give one, so that every format can be told the same.")
    path = folder / f"{view.name}_{name.split()[0]}.{ {'NRRD': 'nrrd', 'PNG': 'png'}.get(name.split()[0], 'dcm') }"
    if name.startswith("NRRD") or name == "RTIMAGE":
        write_radiograph(radiograph, path, view.isocentre)
    else:
        write_as(radiograph, name, path, view.isocentre)
    known: dict[str, Any] = {
        "view": view.name,
        "isocentre": view.isocentre,
        "spacing": radiograph.projection.spacing,
        "source_to_detector": view.source_to_detector,
        "source_to_isocentre": view.source_to_isocentre,
    }
    found = read_radiograph(path, **{word: known[word] for word in _GIVEN[name]})
    return replace(found, name=radiograph.name)


def _psnr(wanted: Volume, found: Volume) -> float:
    return metrics.psnr(metrics.hu_range(wanted.array), metrics.hu_range(found.array))
