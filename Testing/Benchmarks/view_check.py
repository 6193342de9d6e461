"""How well wrong view names are told from right ones: the figures behind ``EXCHANGED`` in
``XRayTo3DLib/reconstruction/pipeline.py``.

For each CT the model's own re-projection error under the right names and under the wrong ones, as a ratio wrong over right:
above 1 the right names fit better. A check that refuses below a share t is right where a correct view stays above t, and
catches a wrong one where the reciprocal falls below t.

    python Testing/Benchmarks/view_check.py FOLDER_OR_CT [...]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.evaluation.cases import Case, ct_files, read_case
from XRayTo3DLib.evaluation.xrays import radiographs_of
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.reconstruction.pipeline import reconstruct


def error(model: LoadedModel, radiographs: list[Radiograph], case: Case) -> float:
    """Mean re-projection error of the model's own volume over the views."""
    found = reconstruct(radiographs, model, case.truth.grid, fuse_views=False, check_views=False)
    return float(np.mean(found.errors_before))


def ratios(model: LoadedModel, case: Case) -> dict[str, float]:
    """Wrong over right for a pair, a single frontal and a single lateral view (cone beams)."""
    frontal, lateral = radiographs_of(case, "two_views_cone")
    as_lateral = replace(frontal, projection=lateral.projection)
    as_frontal = replace(lateral, projection=frontal.projection)
    return {
        "pair": error(model, [as_frontal, as_lateral], case) / error(model, [frontal, lateral], case),
        "frontal": error(model, [as_lateral], case) / error(model, [frontal], case),
        "lateral": error(model, [as_frontal], case) / error(model, [lateral], case),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", nargs="+", type=Path)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    model = load_model(arguments.model, "volume")
    rows = {path.name: ratios(model, read_case(path)) for path in tqdm(ct_files(arguments.ct))}
    print(f"{'':<36}{'pair':>8}{'frontal':>9}{'lateral':>9}")
    for name, row in rows.items():
        print(f"{name:<36}{row['pair']:8.2f}{row['frontal']:9.2f}{row['lateral']:9.2f}")
    lowest = {kind: min(row[kind] for row in rows.values()) for kind in ("pair", "frontal", "lateral")}
    print(f"{'lowest':<36}{lowest['pair']:8.2f}{lowest['frontal']:9.2f}{lowest['lateral']:9.2f}")


if __name__ == "__main__":
    main()
