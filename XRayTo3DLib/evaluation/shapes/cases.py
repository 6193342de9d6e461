"""Cases of the evaluation of shapes: an organ of a labelled CT, in the frame of the field that is X-rayed.

The field is a cube: 256 mm for head and neck, 384 mm for the torso; its middle is the frame's origin. In x and y it is centred
on the body, as the evaluation protocol has it. Its top is the scan's top, but where the organ lies deeper the field is moved
down until it holds it with a margin: whoever takes an X-ray of an organ aims at it, and does not know more than that.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name
from XRayTo3DLib.evaluation.protocol import body_centre, scan_top
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.orientation import oriented
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.shapes.labels import Scheme, label_file, read_labels, read_scheme
from XRayTo3DLib.shapes.organs import ORGANS, organ_mask

#: Side of the field in mm, and voxels along it, by region.
FIELD_MM = {"head_neck": 256.0, "torso": 384.0}
FIELD_VOXELS = 64
#: The field reaches this far below an organ, where the scan does.
_MARGIN_MM = 20.0
#: An organ is cut where a face of the scan goes through more than this share of its largest parallel section.
_SLIVER = 0.02
#: Organs that go on beyond most fields: they are measured inside the field, and not left out for being cut.
LONG = ("spinal_cord", "esophagus", "spine", "ribs")
#: What a file of names beside the label files may be called.
_NAMES = ("labels.json", "names.json")
#: Which CTs are of one patient: columns file and patient.
PATIENTS = "patients.csv"


@dataclass(frozen=True, eq=False)
class ShapeCase:
    """One organ of one CT, in the field's frame (LPS mm, the field's middle at the origin).

    ``ct``: the CT at its own voxels, ``None`` once its X-rays are made; ``truth``: the organ's voxels (bool [z, y, x]) on ``grid``,
    the voxels of the labels carried on over the whole field: what an answer adds anywhere in it counts; ``field``: the field as a
    grid.
    """

    name: str
    organ: str
    ct: Volume | None
    truth: np.ndarray
    grid: Grid
    field: Grid

    @property
    def volume_ml(self) -> float:
        """The organ's volume in mL, by counting voxels."""
        return float(np.count_nonzero(self.truth)) * self.grid.voxel_volume / 1000

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and largest LPS mm of the organ's voxels, faces included."""
        return mask_box(self.truth, self.grid)


@dataclass(frozen=True, eq=False)
class Scan:
    """A labelled CT as it was read: LPS order, its own place."""

    name: str
    ct: Volume
    labels: Labelmap
    centre: tuple[float, float]
    top: float

    def case(self, organ: str) -> ShapeCase | str:
        """The case of an organ, or why there is none."""
        mask = organ_mask(self.labels, organ)
        if not mask.any():
            return "not labelled"
        grid, side = self.labels.grid, FIELD_MM[ORGANS[organ].region]
        long = organ in LONG
        if not long and _is_cut(mask):
            return "cut by the scan"
        low, high = mask_box(mask, grid)
        bottom = self.top - side
        if not long:
            bottom = min(bottom, max(low[2] - _MARGIN_MM, high[2] - side))
        middle = np.array([*self.centre, bottom + side / 2])
        # The field ends at voxel centres of the scan, an organ at voxel faces.
        if not long and (np.abs(np.stack([low, high]) - middle) > side / 2 + max(grid.spacing)).any():
            return "larger than the field or outside it"
        field = Grid.centred((0, 0, 0), FIELD_VOXELS, side / FIELD_VOXELS)
        placed = replace(grid, origin=tuple(np.array(grid.origin) - middle))
        truth, whole = _over(mask, placed, field)
        if long:
            truth &= _inside(whole, side / 2)
        if not truth.any():
            return "larger than the field or outside it"
        ct = replace(self.ct, grid=replace(self.ct.grid, origin=tuple(np.array(self.ct.grid.origin) - middle)))
        return ShapeCase(self.name, organ, ct, truth, whole, field)


def read_scan(path: Path, scheme: Scheme, name: str | None = None) -> Scan:
    """A CT of any direction and the labels beside it; :class:`InputError` for what is no labelled CT, or holds no body."""
    ct = oriented(read_volume(path))
    labels = read_labels(path, {name: list(ids) for name, ids in scheme.items()})
    turned = oriented(Volume(labels.array, labels.grid, "1"))
    x, y = body_centre(ct)
    return Scan(name or case_name(path), ct, Labelmap(turned.array, turned.grid, labels.names), (x, y), scan_top(ct, x, y))


def labelled(paths: Sequence[Path]) -> list[Path]:
    """Those CTs that have labels beside them; :class:`InputError` when there is none."""
    found = [path for path in paths if label_file(path) is not None]
    if not found:
        raise InputError(
            f"None of the CTs in {paths[0].parent} has labels beside it: put NAME.labels.nii.gz beside NAME.nii.gz, or a "
            "segmentation of 3D Slicer, NAME.labels.seg.nrrd."
        )
    return found


def scheme_of(folder: Path, asked: str | None) -> Scheme:
    """How the labels of a folder are numbered: as asked for, or by the JSON of the folder itself.

    That is ``labels.json``, ``names.json`` or the one ``*.names.json`` or ``*.labels.json`` in it, {organ: id or [ids]}. Raises
    :class:`InputError` when neither says.
    """
    if asked is not None:
        return read_scheme(asked)
    place = folder if folder.is_dir() else folder.parent
    named = [place / name for name in _NAMES if (place / name).is_file()]
    found = named or sorted([*place.glob("*.names.json"), *place.glob("*.labels.json")])
    if len(found) != 1:
        what = "holds no labels.json" if not found else f"holds several label names ({', '.join(p.name for p in found)})"
        raise InputError(
            f"{place} {what}: say how its labels are numbered, --labels head_neck, totalsegmentator or a JSON file "
            "{organ: id or [ids]}."
        )
    return read_scheme(found[0])


def patients_of(folder: Path) -> dict[str, str]:
    """The patient of each CT by its case name, where ``patients.csv`` (columns file, patient) of the folder says so."""
    listed = (folder if folder.is_dir() else folder.parent) / PATIENTS
    if not listed.is_file():
        return {}
    try:
        with listed.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {case_name(Path(row["file"])): row["patient"] for row in rows}
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise InputError(f"{listed} has no rows of file,patient ({error}): correct it or take it away.") from None


def mask_box(mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The least and largest LPS mm of a mask's voxels [z, y, x], their faces included."""
    box = ndimage.find_objects(np.asarray(mask, dtype=np.uint8))[0]
    corners = grid.cropped(box).corners
    return corners.min(axis=0), corners.max(axis=0)


def _is_cut(mask: np.ndarray) -> bool:
    """Whether a face of its image cuts a structure: through more than a sliver of it, as the windpipe is of the lungs."""
    for axis in range(3):
        areas = np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))
        if max(areas[0], areas[-1]) > _SLIVER * areas.max():
            return True
    return False


def _over(mask: np.ndarray, grid: Grid, field: Grid) -> tuple[np.ndarray, Grid]:
    """A mask [z, y, x] on its own lattice carried on, empty, over all of ``field``, and cut to it; and that grid."""
    corners = field.corners @ grid.to_index[:3, :3].T + grid.to_index[:3, 3]
    first, last = np.floor(corners.min(axis=0)).astype(int)[::-1], np.ceil(corners.max(axis=0)).astype(int)[::-1] + 1
    inner = tuple(slice(max(0, f), max(0, min(n, e))) for f, e, n in zip(first, last, mask.shape, strict=True))
    outer = tuple(slice(p.start - f, p.stop - f) for p, f in zip(inner, first, strict=True))
    found = np.zeros(last - first, dtype=bool)
    found[outer] = mask[inner]
    return found, grid.cropped(tuple(slice(int(f), int(e)) for f, e in zip(first, last, strict=True)))


def _inside(grid: Grid, half: float) -> np.ndarray:
    """The voxels (bool [z, y, x]) whose centres lie within ``half`` mm of the origin along every axis."""
    z, y, x = (np.arange(n, dtype=np.float64) for n in grid.shape)
    matrix = grid.affine
    inside = np.ones(grid.shape, dtype=bool)
    for row in matrix[:3]:
        place = row[0] * x[None, None, :] + row[1] * y[None, :, None] + row[2] * z[:, None, None] + row[3]
        inside &= np.abs(place) <= half
    return inside
