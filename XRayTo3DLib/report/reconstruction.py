"""The report of ``xrayto3d reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.anatomy.surfaces import extract_surfaces
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.reconstruction.answer import Answer
from XRayTo3DLib.report.assumed import assumed_section
from XRayTo3DLib.report.description import grid_in_words
from XRayTo3DLib.report.page import Section, figure_table, structure_table, write_report
from XRayTo3DLib.report.sections import residual_section, slice_section, surface_section, uncertainty_section, xray_section

_NAME = "reconstruction"
_NAMES = {"reconstruction": _NAME, "mean": "mean volume of the training CTs"}


def write_reconstruct_report(
    path: Path, results: dict[str, Any], radiographs: list[Radiograph], answer: Answer, truth: Volume | None
) -> None:
    """Draw and write; ``results`` is what ``metrics.json`` holds, ``truth`` the CT on the reconstruction's grid."""
    found = answer.found
    columns = [(_NAME, found.volume), ("the model's own, before fusion", found.before_fusion)]
    groups = [(_NAME, answer.surfaces)]
    if truth is not None:
        columns.insert(0, ("CT (truth)", truth))
        groups.insert(0, ("CT", extract_surfaces(segment_ct(truth))))
    sections = [
        xray_section(radiographs, "What was put in, shown as films."),
        assumed_section(radiographs, found),
        slice_section(columns, "The result" + ("." if truth is None else " beside the CT on the same grid.")),
    ]
    if truth is not None:
        methods = [(_NAMES[key], figures) for key, figures in results["comparison_with_ct"].items()]
        tables = [figure_table(methods, f"{results['range']}.")]
        if any("structures" in figures for _, figures in methods):
            tables.append(
                structure_table(methods, "The same thresholds in both. HD95: 95 % Hausdorff distance between the surfaces.")
            )
        sections.append(Section("Figures against the CT", tables=tables))
    sections.append(residual_section([(_NAME, found)]))
    if found.deviation is not None:
        sections.append(uncertainty_section([(_NAME, found.deviation)]))
    if any(surfaces for _, surfaces in groups):
        sections.append(surface_section(groups))
    patient = results.get("patient", {})
    facts = [
        *([("Patient", ", ".join(patient.values()))] if patient else []),
        *(("X-ray", beam) for beam in results["xrays"]),
        ("Model", f"{results['model']['name']}, SHA-256 {results['model']['sha256']}"),
        ("Grid", grid_in_words(found.volume.grid)),
        ("Time", f"{found.seconds:.0f} s for the model and the first fusion"),
    ]
    views = " and ".join(r.name for r in radiographs)
    lead = "Made by xrayto3d reconstruct. Without the CT of the same patient nobody can say how far it is from the truth."
    if truth is not None:
        lead = "Made by xrayto3d reconstruct and compared with the CT that was named as the truth."
    write_report(path, f"3D from {views}", lead, facts, found.notes, sections)
