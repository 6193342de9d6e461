"""The demo's report: what was put in, what came out, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.anatomy.surfaces import extract_surfaces
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.reconstruction.answer import Answer
from XRayTo3DLib.report.description import grid_in_words
from XRayTo3DLib.report.formats import format_section
from XRayTo3DLib.report.page import Section, figure_table, structure_table, write_report
from XRayTo3DLib.report.sections import residual_section, slice_section, surface_section, uncertainty_section, xray_section

NAMES = {"mean": "mean volume", "AP": "AP alone", "AP_LAT": "AP and lateral"}


def write_demo_report(
    path: Path,
    results: dict[str, Any],
    radiographs: list[Radiograph],
    answers: dict[str, Answer],
    volumes: dict[str, Volume],
    progress: Progress,
    organs: Sequence[Section] = (),
) -> None:
    """Draw and write; ``results`` as in ``metrics.json``, ``volumes`` the CT and the mean on the answers' grid.

    ``organs``: sections of :func:`.organs.organ_sections`.
    """
    one, two = answers["AP"], answers["AP_LAT"]
    progress(0.1, "pictures")
    sections = [
        xray_section(
            radiographs,
            "Simulated from the CT at its full resolution: line integrals of attenuation along the ray of every "
            "pixel. These pictures "
            "and their geometry are all that the reconstruction was given.",
        ),
        slice_section(_columns(one, two, volumes), _about_slices(volumes)),
        _tables(results),
        *([format_section(results["formats"])] if "formats" in results else []),
    ]
    progress(0.4, "residuals")
    sections.append(residual_section([(NAMES[key], answer.found) for key, answer in answers.items()]))
    uncertain = [(NAMES[key], a.found.deviation) for key, a in answers.items() if a.found.deviation is not None]
    if uncertain:
        sections.append(uncertainty_section(uncertain))
    progress(0.6, "3D rendering")
    truth = extract_surfaces(segment_ct(volumes["ct"]))
    sections.append(surface_section([("CT", truth), ("AP alone", one.surfaces), ("AP and lateral", two.surfaces)]))
    sections += organs
    progress(0.9, "page")
    memory = results["peak_memory_gb"]
    facts = [
        ("CT", results["source"]),
        *(("X-ray", beam) for beam in results["xrays"]),
        ("Model", f"{results['model']['name']}, SHA-256 {results['model']['sha256']}"),
        ("Grid", grid_in_words(two.found.volume.grid)),
        (
            "Time, memory",
            f"{results['seconds']:.0f} s up to this page" + (f", {memory:.1f} GB at most" if memory else ""),
        ),
    ]
    notes = [f"{NAMES[key]}: {note}" for key, answer in answers.items() for note in answer.found.notes]
    write_report(
        path,
        "3D from two X-rays of a chest",
        "The X-rays were simulated from a CT, so the truth is known and the result can be measured. Everything "
        "here was computed by "
        "one run of xrayto3d demo.",
        facts,
        notes,
        sections,
    )


def _columns(one: Answer, two: Answer, volumes: dict[str, Volume]) -> list[tuple[str, Volume]]:
    columns = [("CT (truth)", volumes["ct"])]
    if "mean" in volumes:
        columns.append((NAMES["mean"], volumes["mean"]))
    return [*columns, (NAMES["AP"], one.found.volume), (NAMES["AP_LAT"], two.found.volume)]


def _about_slices(volumes: dict[str, Volume]) -> str:
    mean = "the mean volume of the training CTs, which knows nothing of this patient, " if "mean" in volumes else ""
    return f"The CT on the reconstruction's grid, {mean}and the reconstructions after fusion."


def _tables(results: dict[str, Any]) -> Section:
    compared = results["comparison_with_ct"]
    methods = [(NAMES[key], compared[key]) for key in NAMES if key in compared]
    text = (
        "The mean volume is the answer that needs no X-ray: what a method is worth is its distance from it."
        if "mean" in compared
        else "This installation has no mean volume of the training CTs, so there is no baseline beside the result."
    )
    return Section(
        "Figures against the CT",
        [text],
        tables=[
            figure_table(methods, f"{results['range']}."),
            structure_table(
                methods,
                "The same thresholds in the CT and in each volume. Body: everything inside the skin. HD95: 95 % "
                "Hausdorff distance between "
                "the surfaces. Volumes by counting voxels inside the grid.",
            ),
        ],
    )
