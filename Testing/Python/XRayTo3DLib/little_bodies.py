"""Little bodies for the tests of populations: a trunk with lungs, a liver, a spine and ribs' worth of bone, in any pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume

#: Labels of TotalSegmentator.
LIVER, LUNG_LEFT, LUNG_RIGHT, SPINE = 5, 10, 12, 32
GRID = Grid((44, 34, 48), (4.0, 4.0, 4.0), (-86.0, -66.0, -94.0))
#: LPS centre and half-axes in mm, label and HU, the later ones inside the earlier ones.
_PARTS = (
    ((0, 0, 0), (74, 54, 150), 0, -90.0),
    ((0, 0, 0), (66, 46, 150), 0, 40.0),
    ((34, -2, 40), (24, 34, 44), LUNG_LEFT, -850.0),
    ((-34, -2, 40), (24, 34, 44), LUNG_RIGHT, -850.0),
    ((-22, -6, -36), (34, 30, 32), LIVER, 70.0),
    ((0, 34, 0), (11, 10, 150), SPINE, 900.0),
    ((0, 34, 0), (6, 5, 150), SPINE, 300.0),
)


def little_body(
    stretch: float = 1.0, bulge: float = 0.0, shift: float = 0.0, slices: slice = slice(None)
) -> tuple[Volume, np.ndarray]:
    """HU and labels: ``stretch`` of x and y, ``bulge``: mm by which the liver's top is moved up (the lungs give way), ``shift`` in
    z."""
    axes = [o + s * np.arange(n) for o, s, n in zip(GRID.origin, GRID.spacing, GRID.size, strict=True)]
    z, y, x = np.meshgrid(axes[2] - shift, axes[1], axes[0], indexing="ij")
    x, y = x / stretch, y / stretch
    # The inverse of a smooth push upwards around the liver's top.
    z = z - bulge * np.exp(-(((x + 20) / 45) ** 2 + ((z + 4) / 40) ** 2))
    ct, labels = np.full(GRID.shape, -1000.0, dtype=np.float32), np.zeros(GRID.shape, dtype=np.uint8)
    for centre, half, label, value in _PARTS:
        inside = sum(((p - c) / h) ** 2 for p, c, h in zip((x, y, z), centre, half, strict=True)) <= 1
        ct[inside], labels[inside] = value, label
    grid = GRID.cropped((slice(*slices.indices(GRID.shape[0])), slice(0, GRID.shape[1]), slice(0, GRID.shape[2])))
    return Volume(ct[slices], grid), labels[slices]


def write_body(folder: Path, name: str, body: tuple[Volume, np.ndarray], labelled: bool = True) -> None:
    """``NAME.nii.gz``, and its labels beside it."""
    ct, labels = body
    write_volume(ct, folder / f"{name}.nii.gz")
    if labelled:
        write_volume(Volume(labels, ct.grid), folder / f"{name}.labels.nii.gz")
