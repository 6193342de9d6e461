"""The evaluation protocol: the same cases, X-rays and metrics for every method, so that figures stay comparable.

A case is a CT on the protocol's grid (:mod:`.protocol`): 64^3 voxels of 4 mm, linear interpolation, air outside the
scan. Its X-rays are line integrals of that volume. The error is taken on HU + 1024 clipped to [0, 2500] over the whole grid.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation import metrics
from XRayTo3DLib.evaluation.protocol import protocol_grid
from XRayTo3DLib.files import writing
from XRayTo3DLib.fusion.closed_form import BETA
from XRayTo3DLib.fusion.reprojection import reproject, reprojection_error
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation, to_hu
from XRayTo3DLib.io.volumes import read_image, read_volume
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.methods.baselines import closest_mean
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

#: The protocol's settings: views and source-to-detector distance in mm (None: parallel beam).
SETTINGS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "one_view": (("AP",), None),
    "two_views": (("AP", "LAT"), None),
    "two_views_10deg": (("AP", "LAT+10"), None),
    "two_views_cone": (("AP", "LAT"), 1500.0),
}
METHODS = ("ours", "ours_fused", "mean", "nearest", "oracle")
FIGURES = ("psnr", "psnr_x2ct", "ssim", "hu_mae_body", "reprojection", "seconds")
PROTOCOL = (
    "64^3 voxels of 4 mm; the grid's top slice is the scan's top slice, its centre in x and y that of the body's bounding "
    "box over the top 180 mm; linear interpolation, air outside the scan. X-rays: line integrals of this volume, parallel "
    "beams on 64 x 64 pixels of 4 mm, cone beams from 1200 mm on 80 x 80 pixels of 5 mm at 1500 mm. Error on HU + 1024 "
    "clipped to [0, 2500] over the whole grid; PSNR with peak 2500, the mean over cases of each case's PSNR; psnr_x2ct with "
    "peak 4095; SSIM with data range 2500 (scikit-image, defaults, 3D); hu_mae_body in HU where the truth is above -300 HU; "
    "reprojection is the mean absolute error of the line integrals over the mean measured one, the worst view."
)


@dataclass(frozen=True, eq=False)
class Case:
    """One CT on the protocol's grid in HU, with its file's labels on the same grid where there are any."""

    name: str
    truth: Volume
    labels: np.ndarray | None = None


def ct_files(place: Path | Sequence[Path]) -> list[Path]:
    """CT files named, or found in folders named; label files are left out. :class:`InputError` when there are none."""
    places = [place] if isinstance(place, Path) else list(place)
    endings = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
    found: list[Path] = []
    for item in places:
        if item.is_dir():
            found += [p for p in sorted(item.iterdir()) if p.name.endswith(endings) and ".labels." not in p.name]
        elif item.exists():
            found.append(item)
        else:
            raise InputError(f"{item} does not exist: name a folder of CTs (NIfTI, NRRD or MetaImage).")
    if not found:
        raise InputError(f"There is no CT in {', '.join(map(str, places))}: name a folder of NIfTI, NRRD or MetaImage CTs.")
    return found


def case_name(path: Path) -> str:
    """The file's name without its endings."""
    return path.name.split(".")[0]


def read_case(path: Path) -> Case:
    """Read a CT, place the protocol's grid in it, and resample it and the ``.labels.nii.gz`` beside it."""
    volume = read_volume(path)
    grid = protocol_grid(volume)
    labels = path.with_name(f"{case_name(path)}.labels.nii.gz")
    return Case(case_name(path), resample(volume, grid), _labels(labels, grid) if labels.exists() else None)


def _labels(path: Path, grid: Grid) -> np.ndarray:
    import SimpleITK as sitk

    direction = grid.direction.ravel().tolist()
    moved = sitk.Resample(
        read_image(path), grid.size, sitk.Transform(), sitk.sitkNearestNeighbor, grid.origin, grid.spacing, direction, 0
    )
    return sitk.GetArrayFromImage(moved)


def setting_projections(setting: str, grid: Grid) -> list[Projection]:
    """The projections of one of :data:`SETTINGS` over a case's grid."""
    views, distance = SETTINGS[setting]
    size, pixel = ((64, 64), 4.0) if distance is None else ((80, 80), 5.0)
    return [view_projection(view, grid.centre, size, pixel, distance) for view in views]


def radiographs_of(case: Case, setting: str) -> list[Radiograph]:
    """The X-rays of a case in a setting."""
    return render_drr(case.truth, setting_projections(setting, case.truth.grid), SETTINGS[setting][0])


class Baselines:
    """Answers that know nothing of the patient's inside: the training CTs on the protocol's grid, their mean, the nearest."""

    def __init__(self, paths: Sequence[Path], progress: Progress = silent) -> None:
        self.names: list[str] = []
        volumes = []
        for index, path in enumerate(paths):
            progress(index / len(paths), f"training CT {path.name}")
            case = read_case(path)
            self.names.append(case.name)
            volumes.append(metrics.hu_range(case.truth.array).astype(np.float32))
        self.volumes = np.stack(volumes)
        self.mean = self.volumes.mean(axis=0)
        self.pictures: dict[str, np.ndarray] = {}

    def answer(self, method: str, case: Case, setting: str) -> Volume:
        """The HU volume (on the case's grid) that a baseline gives for the case's X-rays."""
        if method == "mean":
            ranged = self.mean
        elif method == "oracle":
            truth = metrics.hu_range(case.truth.array)
            ranged = self.volumes[int(np.argmin([np.square(v - truth).mean() for v in self.volumes]))]
        else:
            if setting not in self.pictures:
                self.pictures[setting] = np.stack([self._look(v, setting) for v in self.volumes])
            seen = _flat(radiographs_of(case, setting))
            ranged = self.volumes[int(np.argmin(np.square(self.pictures[setting] - seen).sum(axis=1)))]
        return Volume(ranged - 1024, case.truth.grid)

    def _look(self, ranged: np.ndarray, setting: str) -> np.ndarray:
        grid = Grid.centred((0, 0, 0))
        return _flat(render_drr(Volume(ranged - 1024, grid), setting_projections(setting, grid)))


def _flat(radiographs: Sequence[Radiograph]) -> np.ndarray:
    return np.concatenate([r.line_integrals.ravel() for r in radiographs])


def figures(case: Case, answer: Volume, radiographs: Sequence[Radiograph], seconds: float) -> dict[str, Any]:
    """All figures of one answer (HU, on the case's grid)."""
    truth, estimate = metrics.hu_range(case.truth.array), metrics.hu_range(answer.array)
    pictures = reproject(to_attenuation(answer), radiographs)
    errors = [reprojection_error(r.line_integrals, p) for r, p in zip(radiographs, pictures, strict=True)]
    found: dict[str, Any] = {
        "psnr": metrics.psnr(truth, estimate),
        "psnr_x2ct": metrics.psnr_x2ct(truth, estimate),
        "ssim": metrics.ssim(truth, estimate),
        "hu_mae_body": metrics.hu_mae_body(case.truth.array, answer.array),
        "reprojection": max(errors),
        "seconds": seconds,
    }
    if case.labels is not None:
        error = np.abs(truth - estimate)
        found["hu_mae_labels"] = {int(n): float(error[case.labels == n].mean()) for n in np.unique(case.labels) if n}
    return found


def evaluate(
    model: str | Path | LoadedModel | None,
    data: Path | Sequence[Path],
    training: Path | Sequence[Path] | None = None,
    settings: Sequence[str] | None = None,
    limit: int | None = None,
    beta: float = BETA,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure a model on every CT of ``data`` by the protocol.

    ``training`` names the CTs behind the baselines ``mean``, ``nearest`` and ``oracle``; a case that is among them is left out of
    them. Without it there is only ``mean``, the bundled mean volume that fits the case's X-rays best. Returns
    ``cases`` (a row a case, setting and method), ``summary[setting][method]`` (means over cases) and what was measured with what.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model, "volume")
    wanted = list(settings or SETTINGS)
    unknown = [s for s in wanted if s not in SETTINGS]
    if unknown:
        raise InputError(f"The setting {unknown[0]!r} is not known: use one of {', '.join(SETTINGS)}.")
    files = ct_files(data)[:limit]
    names = {case_name(p) for p in files}
    baselines = None
    if training is not None:
        others = [p for p in ct_files(training) if case_name(p) not in names]
        if not others:
            raise InputError("Every training CT is also a test case: name a folder of other CTs for the baselines.")
        baselines = Baselines(others, lambda fraction, text: progress(0.2 * fraction, text))
    rows: list[dict[str, Any]] = []
    for index, path in enumerate(files):
        case = read_case(path)
        for number, setting in enumerate(wanted):
            progress(0.2 + 0.8 * (index + number / len(wanted)) / len(files), f"{case.name} {setting}")
            radiographs = radiographs_of(case, setting)
            found = reconstruct(radiographs, loaded, case.truth.grid, beta=beta, check_views=False)
            answers = [
                ("ours", to_hu(found.before_fusion), found.model_seconds),
                ("ours_fused", to_hu(found.volume), found.seconds),
            ]
            if baselines is None:
                answers.append(("mean", closest_mean(radiographs, case.truth.grid)[1], 0.0))
            else:
                for method in METHODS[2:]:
                    started = time.monotonic()
                    answer = baselines.answer(method, case, setting)
                    answers.append((method, answer, time.monotonic() - started))
            for method, answer, seconds in answers:
                rows.append(
                    {"case": case.name, "setting": setting, "method": method, **figures(case, answer, radiographs, seconds)}
                )
    progress(1.0, "evaluation done")
    return {
        "protocol": PROTOCOL,
        "model": {"name": loaded.file.name, "version": loaded.file.card["version"], "sha256": loaded.file.sha256},
        "fusion_beta": beta,
        "baselines": baselines.names if baselines is not None else [],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "cases": rows,
        "summary": summarise(rows),
    }


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """``summary[setting][method]``: the mean of each figure over the cases, and how many they are."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        methods = summary.setdefault(row["setting"], {})
        if row["method"] in methods:
            continue
        same = [r for r in rows if r["setting"] == row["setting"] and r["method"] == row["method"]]
        methods[row["method"]] = {f: float(np.mean([r[f] for r in same])) for f in FIGURES} | {"cases": len(same)}
    return summary


def to_markdown(results: dict[str, Any]) -> str:
    """The summary and every case as Markdown tables."""
    model = results["model"]
    lines = [f"# {model['name']} {model['version']}", "", results["protocol"], ""]
    titles = ["PSNR dB", "PSNR (peak 4095) dB", "SSIM", "HU error in body", "re-projection error", "seconds"]
    columns = list(zip(FIGURES, (".2f", ".2f", ".3f", ".0f", ".2e", ".2f"), strict=True))

    def table(first: Sequence[str], rows: Sequence[tuple[Sequence[str], dict[str, Any]]]) -> list[str]:
        head = [*first, *titles]
        body = [[*names, *(format(row[f], how) for f, how in columns)] for names, row in rows]
        return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *body]]

    summary = [((s, m), row) for s, methods in results["summary"].items() for m, row in methods.items()]
    lines += ["## Mean over cases", "", *table(("setting", "method"), summary), "", "## Every case", ""]
    lines += table(("case", "setting", "method"), [((r["case"], r["setting"], r["method"]), r) for r in results["cases"]])
    return "\n".join(lines) + "\n"


def write_results(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``evaluation.json`` and ``evaluation.md`` and return their paths."""
    written = []
    for name, text in (("evaluation.json", json.dumps(results, indent=1)), ("evaluation.md", to_markdown(results))):
        with writing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written
