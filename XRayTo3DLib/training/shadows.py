"""Make the bundled references of calibration from training CTs.

``python -m XRayTo3DLib.training.shadows --heads CT [CT ...] --torsos CT [CT ...] --out FOLDER`` (files or folders).
The X-rays are ideal cone beams (1500 mm), frontal and lateral, their fields cut at random as those of real radiographs are:
heads from the top of the scan, chests about the lungs, abdomens below them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.anatomy.segmentation import segment_ct
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import ct_files
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import fit_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.reconstruction.calibration.appearance import Look, fields_of
from XRayTo3DLib.reconstruction.calibration.reference import LEVELS, view_kind
from XRayTo3DLib.reconstruction.calibration.shadow import Shadow, shadow_of
from XRayTo3DLib.simulation.display_processing import DisplayProcessing, process
from XRayTo3DLib.simulation.drr import render_drr

_PIXEL = 4.0
#: Fields a CT and view; as many pictures of each field go through a console of their own.
_FIELDS = 4
#: The least line integral behind a body, about 5 mm of water.
_BODY = 0.1
#: The least lungs of a chest, in mL and mm from top to bottom, and the least height of an abdomen.
_LUNGS_ML, _LUNGS_MM, _ABDOMEN_MM = 1200.0, 160.0, 180.0
#: How far fields reach beyond the lungs, mm: above, below and at each side; heads' heights.
_ABOVE, _BELOW, _BESIDE, _HEADS = (-10.0, 60.0), (-20.0, 60.0), (8.0, 80.0), (180.0, 320.0)
#: What so few patients can say of a spread at least.
_LEAST_SPREAD = 0.03
#: The share of each field's own variance that is added to the pooled covariance.
_RIDGE = 0.3


def fields(ct: Volume, is_head: bool, generator: np.random.Generator) -> Iterator[tuple[str, Radiograph]]:
    """Radiographs of one CT with the region that each shows."""
    lungs = None if is_head else _lung_box(ct)
    for view in ("AP", "LAT"):
        whole = render_drr(ct, [fit_projection(view, ct.grid, pixel=_PIXEL, source_to_detector=1500.0)], [view])[0]
        rows, columns = whole.projection.size
        for _ in range(_FIELDS):
            if is_head:
                yield "head", _cropped(whole, 2, 2 + generator.uniform(*_HEADS) / _PIXEL, 0, columns)
                continue
            bottom = 0.0
            if lungs is not None:
                places = whole.projection.project(lungs)
                (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
                yield (
                    "chest",
                    _cropped(
                        whole,
                        top - generator.uniform(*_ABOVE) / _PIXEL,
                        bottom + generator.uniform(*_BELOW) / _PIXEL,
                        left - generator.uniform(*_BESIDE) / _PIXEL,
                        right + generator.uniform(*_BESIDE) / _PIXEL,
                    ),
                )
            height = (rows - bottom) * _PIXEL
            if height > _ABDOMEN_MM:
                least = _ABDOMEN_MM / _PIXEL
                top = generator.uniform(bottom, rows - least)
                yield "abdomen", _cropped(whole, top, top + generator.uniform(least, rows - top), 0, columns)


def _lung_box(ct: Volume) -> np.ndarray | None:
    """The corners (LPS mm) of the box around the lungs of a CT that shows most of them."""
    size = [max(2, int(n * s / _PIXEL)) for n, s in zip(ct.grid.size, ct.grid.spacing, strict=True)]
    ct = resample(ct, Grid.centred(ct.grid.centre, size, _PIXEL))
    labels = segment_ct(ct)
    where = np.argwhere(labels.array == 2)
    if len(where) * ct.grid.voxel_volume / 1000 < _LUNGS_ML:
        return None
    ends = np.array([where.min(axis=0), where.max(axis=0)])[:, ::-1]
    if np.ptp(ends[:, 2]) * ct.grid.spacing[2] < _LUNGS_MM:
        return None
    corners = np.array([[x, y, z, 1.0] for x in ends[:, 0] for y in ends[:, 1] for z in ends[:, 2]])
    return (corners @ ct.grid.affine.T)[:, :3]


def _cropped(whole: Radiograph, top: float, bottom: float, left: float, right: float) -> Radiograph:
    rows, columns = whole.projection.size
    window = slice(max(0, round(top)), min(rows, round(bottom))), slice(max(0, round(left)), min(columns, round(right)))
    return replace(whole, line_integrals=whole.line_integrals[window], projection=whole.projection.cropped(window))


def make(heads: Sequence[Path], torsos: Sequence[Path], out: Path) -> None:
    """Measure all CTs and write ``shadows.json`` and ``looks.npz`` to the folder ``out``."""
    shapes: dict[tuple[str, str, bool], list[tuple[np.ndarray, float]]] = {}
    seen: dict[Look, list[np.ndarray]] = {}
    jobs = [(path, True) for path in heads] + [(path, False) for path in torsos]
    for number, (path, is_head) in enumerate(tqdm(jobs, unit="CT")):
        generator = np.random.default_rng([1, number])
        for count, (region, radiograph) in enumerate(fields(read_volume(path), is_head, generator)):
            inside = radiograph.line_integrals > _BODY
            if inside.mean() < 0.2:
                continue
            view = view_kind(radiograph)
            shadow = Shadow(inside, ~inside, 0.0)
            for inner, where in ((False, inside), (True, shadow.inner(radiograph.projection.spacing))):
                values = radiograph.line_integrals[where].astype(np.float64)
                measured = np.percentile(values, LEVELS) / values.mean(), float(values.mean())
                shapes.setdefault((region, view, inner), []).append(measured)
            shown = process(radiograph, DisplayProcessing.random(1000 * number + count))
            for upright in (True, False):
                turned = shown if upright else replace(shown, line_integrals=shown.line_integrals[::-1, ::-1])
                seen.setdefault(Look(region, view, upright), []).append(fields_of(turned, shadow_of(turned)))
    _write_shapes(shapes, out / "shadows.json")
    _write_looks(seen, out / "looks.npz")


def _write_shapes(shapes: dict[tuple[str, str, bool], list[tuple[np.ndarray, float]]], path: Path) -> None:
    told = [
        {
            "region": region,
            "view": view,
            "inner": inner,
            "pictures": len(found),
            "shape": np.round(np.mean([shape for shape, _ in found], axis=0), 4).tolist(),
            "shape_spread": np.maximum(np.std([shape for shape, _ in found], axis=0), _LEAST_SPREAD).round(4).tolist(),
            "mean": round(float(np.exp(np.mean([np.log(mean) for _, mean in found]))), 4),
            "spread": round(float(np.std([np.log(mean) for _, mean in found])), 4),
        }
        for (region, view, inner), found in sorted(shapes.items())
    ]
    with writing(path) as temporary:
        temporary.write_text(json.dumps({"made_from": _SOURCES, "references": told}, indent=1) + "\n", encoding="utf-8")


def _write_looks(seen: dict[Look, list[np.ndarray]], path: Path) -> None:
    looks = sorted(seen, key=str)
    means = np.array([np.mean(seen[look], axis=0) for look in looks])
    # Each kind counts alike, however many pictures there are of it.
    pooled = np.mean([np.cov(np.array(seen[look]).T) for look in looks], axis=0)
    pooled += _RIDGE * np.mean(np.diag(pooled)) * np.eye(len(pooled))
    values, vectors = np.linalg.eigh(pooled)
    whitening = (vectors / np.sqrt(values)).T
    with writing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            looks=np.array([[look.region, look.view, "up" if look.upright else "down"] for look in looks]),
            means=means.astype(np.float16),
            whitening=whitening.astype(np.float16),
        )


#: Written into the references: where the CTs are from.
_SOURCES = (
    "X-rays of training CTs: OpenKBP (Babier et al., Med. Phys. 48, 2021; MIT), and chests and abdomens of The Cancer Imaging "
    "Archive (CC BY 3.0 and 4.0): TCGA-OV, TCGA-THCA, TCGA-COAD, TCGA-LIHC, CPTAC-PDA, LIDC-IDRI, ACRIN-FLT-Breast, CMB-CRC, NSCLC "
    "Radiogenomics, 4D-Lung, Lung-PET-CT-Dx, Colorectal-Liver-Metastases; TotalSegmentator (Apache-2.0)"
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", type=Path, required=True, metavar="CT", help="head and neck CTs")
    parser.add_argument("--torsos", nargs="+", type=Path, required=True, metavar="CT", help="chest and abdomen CTs")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="NAME", help="CTs whose file begins with this are not used")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write to")
    arguments = parser.parse_args(argv)
    if not arguments.out.is_dir():
        raise InputError(f"{arguments.out} is no folder: make it first.")
    heads, torsos = (
        [path for path in ct_files(places) if not path.name.startswith(tuple(arguments.leave_out or [" "]))]
        for places in (arguments.heads, arguments.torsos)
    )
    make(heads, torsos, arguments.out)


if __name__ == "__main__":
    main()
