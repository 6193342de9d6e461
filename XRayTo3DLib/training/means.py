"""Make the bundled mean volumes: ``python -m XRayTo3DLib.training.means --out FILE CT [CT ...]`` (files or folders)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from XRayTo3DLib.evaluation.evaluate import ct_files
from XRayTo3DLib.evaluation.protocol import body_centre
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume, write_volume

_SIZE = (112, 80, 96)
_SPACING = 4.0


def mean_of(paths: Sequence[Path]) -> Volume:
    """Mean HU (clipped to [-1024, 1476] first, as the protocol's error is) of CTs aligned by the protocol; air where a scan ends.

    Rounded to 4 HU, which a mean of so many does not notice and the file's size does.
    """
    total = np.zeros(_SIZE[::-1], dtype=np.float64)
    for path in tqdm(paths, unit="CT"):
        volume = read_volume(path)
        x, y = body_centre(volume)
        top = volume.grid.origin[2] + (volume.grid.size[2] - 1) * volume.grid.spacing[2]
        centre = (x, y, top - (_SIZE[2] - 1) / 2 * _SPACING)
        total += np.clip(resample(volume, Grid.centred(centre, _SIZE, _SPACING)).array, -1024, 1476)
    return Volume((4 * np.round(total / len(paths) / 4)).astype(np.int16), Grid.centred((0, 0, 0), _SIZE, _SPACING))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", nargs="+", type=Path, help="training CTs, files or folders")
    parser.add_argument("--out", required=True, type=Path, help="the .nrrd to write")
    arguments = parser.parse_args(argv)
    write_volume(mean_of(ct_files(arguments.ct)), arguments.out)


if __name__ == "__main__":
    main()
