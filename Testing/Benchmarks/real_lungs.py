"""Lung volumes of real chest radiographs, whose truth nobody knows: plausible or not, and alike in one patient or not.

Pictures are PNGs of unknown scale; their pixel spacing is unknown too and is given for all. Lungs are found by the default
model for lungs, or as the reconstruction shows them where there is
none (``--model segmentation``). ``patients.csv``
beside the pictures (columns file, patient) says which belong together.

    python Testing/Benchmarks/real_lungs.py FOLDER --spacing 0.55 [--every N] [--model NAME] [--out FILE.csv]
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.methods.segmented import Segmentation

#: Litres that both lungs of an adult can hold in a radiograph.
PLAUSIBLE = (1.0, 8.0)


def measured(path: Path, spacing: float, model: str | None) -> dict[str, object]:
    """A row: litres and their interval, or why there are none."""
    started = time.monotonic()
    system = Segmentation() if model == "segmentation" else model
    row: dict[str, object] = {"file": path.name, "litres": "", "low": "", "high": "", "by": "", "reason": ""}
    try:
        radiograph = read_radiograph(path, "PA" if "_pa_" in path.name else "AP", spacing)
        shape = organ_shape([radiograph], "lungs", model=system, region="chest")
    except InputError as error:
        return row | {"reason": str(error), "seconds": round(time.monotonic() - started, 1)}
    low, high = shape.interval_ml or (None, None)
    interval = {"low": "" if low is None else low / 1000, "high": "" if high is None else high / 1000}
    return row | {"litres": shape.volume_ml / 1000, "by": shape.model, "seconds": round(time.monotonic() - started, 1)} | interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spacing", type=float, default=0.55, help="mm a pixel of all pictures (default 0.55)")
    parser.add_argument("--every", type=int, default=1, help="only every so many pictures")
    parser.add_argument("--model", help="a model's name, or segmentation")
    parser.add_argument("--out", type=Path, help="a CSV with a row a picture")
    arguments = parser.parse_args()
    rows = []
    for path in sorted(arguments.folder.glob("*.png"))[:: arguments.every]:
        rows.append(measured(path, arguments.spacing, arguments.model))
        print(rows[-1], flush=True)
    litres = np.array([row["litres"] for row in rows if row["litres"] != ""], dtype=float)
    inside = int(np.count_nonzero((litres >= PLAUSIBLE[0]) & (litres <= PLAUSIBLE[1])))
    print(f"{len(rows)} pictures, {len(litres)} with lungs, {inside} of {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g} L")
    if len(litres):
        print(f"median {np.median(litres):.2f} L, from {litres.min():.2f} to {litres.max():.2f}")
    listed = arguments.folder / "patients.csv"
    if listed.is_file():
        with listed.open(newline="") as file:
            patient = {row["file"]: row["patient"] for row in csv.DictReader(file)}
        groups: dict[str, list[float]] = {}
        for row in rows:
            if row["litres"] != "":
                groups.setdefault(patient.get(str(row["file"]), str(row["file"])), []).append(float(str(row["litres"])))
        spread = [float(np.std(values) / np.mean(values)) for values in groups.values() if len(values) > 1]
        if spread:
            print(f"{len(spread)} patients with several pictures: coefficient of variation {np.mean(spread):.0%} on average")
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
