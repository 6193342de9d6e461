"""Make the bundled mean shapes: ``python -m XRayTo3DLib.training.mean_shapes --out FILE LABELS=FOLDER [LABELS=FOLDER ...]``.

``LABELS`` is how the labels of a folder are numbered, as ``xrayto3d evaluate --shapes --labels`` has it: ``head_neck=FOLDER``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from XRayTo3DLib.evaluation.cases import case_name, ct_files
from XRayTo3DLib.evaluation.shapes.baselines import MeanShape, mean_shape, save_means
from XRayTo3DLib.evaluation.shapes.cases import LONG, ShapeCase, labelled, read_scan, scheme_of
from XRayTo3DLib.files import writing


def means_of(folder: Path, labels: str, exclude: Sequence[str] = ()) -> list[MeanShape]:
    """The mean of each organ of a folder's labelled CTs; organs that a field cuts, and CTs excluded by name, do not count."""
    scheme = scheme_of(folder, labels)
    found: dict[str, list[ShapeCase]] = {organ: [] for organ in scheme if organ not in LONG}
    for path in tqdm([p for p in labelled(ct_files(folder)) if case_name(p) not in exclude], unit="CT"):
        scan = read_scan(path, scheme, case_name(path))
        for organ, cases in found.items():
            case = scan.case(organ)
            if not isinstance(case, str):
                cases.append(case)
    return [mean_shape(cases) for cases in found.values() if cases]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="+", help="LABELS=FOLDER of labelled training CTs")
    parser.add_argument("--exclude", action="append", default=[], help="a CT's name that is left out; may be repeated")
    parser.add_argument("--out", required=True, type=Path, help="the .npz to write")
    arguments = parser.parse_args(argv)
    means = []
    for item in arguments.folder:
        labels, _, folder = item.partition("=")
        means += means_of(Path(folder), labels, arguments.exclude)
    with writing(arguments.out) as temporary:
        save_means(means, temporary)


if __name__ == "__main__":
    main()
