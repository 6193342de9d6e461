"""Make the bundled mean volumes: ``python -m XRayTo3DLib.training.means --out FILE CT [CT ...]`` (files or folders)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.evaluation.cases import ct_files, read_case
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume

_SIZE = (112, 80, 96)
_SPACING = 4.0


def mean_of(paths: Sequence[Path]) -> Volume:
    """Mean HU (clipped to [-1024, 1476] first, as the protocol's error is) of CTs aligned by the protocol; air where a scan ends.

    CTs of any direction are read as the protocol's cases are. Rounded to 4 HU, which a mean of so many does not notice and the
    file's size does.
    """
    total = np.zeros(_SIZE[::-1], dtype=np.float64)
    for path in tqdm(paths, unit="CT"):
        case = read_case(path)
        assert case.ct is not None
        box = case.truth.grid
        top = box.origin[2] + (box.size[2] - 1) * box.spacing[2]
        grid = Grid.centred((*box.centre[:2], top - (_SIZE[2] - 1) / 2 * _SPACING), _SIZE, _SPACING)
        total += np.clip(resample(case.ct, grid).array, -1024, 1476)
    return Volume((4 * np.round(total / len(paths) / 4)).astype(np.int16), Grid.centred((0, 0, 0), _SIZE, _SPACING))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", nargs="+", type=Path, help="training CTs, files or folders")
    parser.add_argument("--out", required=True, type=Path, help="the .nrrd to write")
    arguments = parser.parse_args(argv)
    write_volume(mean_of(ct_files(arguments.ct)), arguments.out)


if __name__ == "__main__":
    main()
