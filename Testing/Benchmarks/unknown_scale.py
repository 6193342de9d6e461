"""What a picture of unknown scale costs: DRRs through random display processing are reconstructed beside calibrated ones.

For each CT and seed: cone-beam DRRs (1500 mm, pixels of 1.5 mm) of the protocol's cube, AP and lateral or AP alone, once as line
integrals and once through :class:`XRayTo3DLib.simulation.display_processing.DisplayProcessing` of that seed, with gain, offset and
curve unknown and the region guessed. PSNR in dB as the protocol has it (peak 2500, whole grid), after fusion.

    python Testing/Benchmarks/unknown_scale.py FOLDER_OR_CT [...] [--seeds 2]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from XRayTo3DLib.evaluation.cases import Case, ct_files, read_case
from XRayTo3DLib.evaluation.metrics import hu_range, psnr
from XRayTo3DLib.geometry.views import fit_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import to_hu
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.display_processing import DisplayProcessing, process
from XRayTo3DLib.simulation.drr import render_drr


def quality(model: LoadedModel, radiographs: list[Radiograph], case: Case) -> tuple[float, str]:
    """PSNR in dB, and what was guessed to be on the pictures."""
    found = reconstruct(radiographs, model, case.truth.grid, check_views=False)
    guessed = found.scales[0].region if found.scales and found.scales[0] else ""
    return float(psnr(hu_range(case.truth.array), hu_range(to_hu(found.volume).array))), guessed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", nargs="+", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--seeds", type=int, default=2, help="consoles a CT")
    arguments = parser.parse_args()
    model = load_model(arguments.model, "volume")
    losses: dict[int, list[float]] = {1: [], 2: []}
    print(f"{'CT':<24}{'views':>6}{'calibrated':>12}{'unknown':>9}{'loss':>7}  region")
    for number, path in enumerate(ct_files(arguments.ct)):
        case = read_case(path)
        grid = case.truth.grid
        names = ["AP", "LAT"]
        drrs = render_drr(case.truth, [fit_projection(name, grid, 1.5, 1500.0) for name in names], names)
        for count in (2, 1):
            base, _ = quality(model, drrs[:count], case)
            for seed in range(arguments.seeds):
                consoles = [DisplayProcessing.random(100 * number + 10 * seed + view) for view in range(count)]
                shown = [process(drr, console) for drr, console in zip(drrs, consoles, strict=False)]
                reached, guessed = quality(model, shown, case)
                losses[count].append(base - reached)
                print(f"{case.name:<24}{count:>6}{base:12.2f}{reached:9.2f}{base - reached:7.2f}  {guessed}", flush=True)
    for count, lost in losses.items():
        words = f"{count} view{'s' if count > 1 else ''}"
        print(f"{words}: mean loss {np.mean(lost):.2f} dB, worst {np.max(lost):.2f} dB, {len(lost)} runs")


if __name__ == "__main__":
    main()
