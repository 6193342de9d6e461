"""The files of ``xrayto3d drr``: radiographs, pictures for the eye, and structures with their masks and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.cli.options import FORMATS
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.images.display import to_display
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.pictures import write_picture
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.io.rtimage import write_rtimage
from XRayTo3DLib.report.outlines import draw_outlines
from XRayTo3DLib.simulation.structures import StructureRadiograph


@dataclass(frozen=True)
class Destination:
    """``folder`` receives files of the kind ``ending``, each view's under its own name or, for a single view, ``single``."""

    folder: Path
    ending: str
    single: str | None = None

    def name_of(self, view: str) -> str:
        return f"{file_stem(view)}.{self.ending}" if self.single is None else self.single

    def stem_of(self, view: str) -> str:
        """A view's name without its ending, with which the names of its other files begin."""
        return self.name_of(view)[: -len(self.ending) - 1]


@dataclass(frozen=True)
class Looks:
    """The picture for the eye: a look of :mod:`XRayTo3DLib.io.pictures`, or "none", and the percentiles of the clinical one."""

    name: str
    percentiles: tuple[float, float]


def destination(out: Path, ending: str | None, views: int) -> Destination:
    """Where ``--out`` and ``--format`` send the files; :class:`InputError` when they cannot hold them."""
    if not is_file(out):
        return Destination(out, ending or "nrrd")
    own = next((known for known in FORMATS if out.name.lower().endswith(f".{known}")), None)
    if own is None:
        raise InputError(
            f"{out} cannot hold an X-ray: end the name in .nrrd or .mha, .nii.gz, .nii, .dcm or .png, or name a folder."
        )
    if views > 1:
        raise InputError(f"{out} is one file but there are several views: name a folder with --out.")
    if ending not in (None, own):
        raise InputError(f"{out} does not end in .{ending}: leave --format out, it is for folders, or change the name.")
    return Destination(out.parent, own, out.name[: -len(own)] + own)  # writers know no capital endings


def is_file(path: Path) -> bool:
    """Whether a path that need not exist means a file: it has an ending, which is no number: run_1.5 is a folder."""
    ending = path.suffix.removeprefix(".")
    return ending != "" and not ending.isdecimal() and not path.is_dir()


def file_stem(name: str) -> str:
    """The name of a view or a structure as part of a file's name."""
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in name)


def check_stems(views: Sequence[str], structures: Sequence[str], where: Destination) -> None:
    """Raise :class:`InputError` when two of the files would have the same name."""
    known: dict[str, str] = {}
    for view in views:
        for structure in ("", *structures):
            stem = where.stem_of(view) + (f"_{file_stem(structure)}" if structure else "")
            name = f"{view} {structure}".strip()
            if stem.lower() in known:
                raise InputError(f"{known[stem.lower()]} and {name} would both be written to {stem}: give them different names.")
            known[stem.lower()] = name


def file_names(views: Sequence[str], structures: Sequence[str], where: Destination, look: str) -> list[str]:
    """The names of all files that :func:`write_views` and :func:`write_structures` write."""
    names = []
    for view in views:
        stem = where.stem_of(view)
        own = [f"{stem}_{file_stem(structure)}" for structure in structures]
        names += [f"{name}_mask.png" for name in own]
        if where.ending != "png":
            names += [f"{name}.{where.ending}" for name in (stem, *own)]
        if look != "none":
            names += [f"{stem}.png"] + ([f"{stem}_outlines.png"] if structures else [])
    return names


def write_views(
    radiographs: Sequence[Radiograph],
    where: Destination,
    folder: Path,
    looks: Looks,
    aims: Sequence[ArrayLike | None],
    series: Series | None,
) -> list[str]:
    """Write each radiograph and its picture into ``folder``; the names of the files.

    DICOM takes the isocentre of each (LPS mm, ``None`` where it is not known) and the ``series`` they belong to.
    """
    names = []
    for radiograph, aim in zip(radiographs, aims, strict=True):
        stem = where.stem_of(radiograph.name)
        name = where.name_of(radiograph.name)
        if where.ending != "png":
            _write(radiograph, folder / name, aim, series)
            names.append(name)
        if looks.name != "none":
            write_picture(radiograph, folder / f"{stem}.png", looks.name, looks.percentiles)
            names.append(f"{stem}.png")
    return names


class Series:
    """What the DICOM files of one call share: the CT's patient and study, as far as they are known, and one series."""

    def __init__(self, identity: PatientStudy | None) -> None:
        from pydicom.uid import generate_uid

        self.identity = identity
        self.uids = {f"{level}_uid": str(generate_uid()) for level in ("study", "series", "frame_of_reference")}
        self._written = 0

    def write(self, radiograph: Radiograph, path: Path, aim: ArrayLike | None) -> None:
        self._written += 1
        write_rtimage(radiograph, path, aim, self.identity, instance_number=self._written, **self.uids)


def _write(radiograph: Radiograph, path: Path, aim: ArrayLike | None, series: Series | None) -> None:
    if series is None:
        write_radiograph(radiograph, path)
    else:
        series.write(radiograph, path, aim)


def write_structures(
    radiographs: Sequence[Radiograph],
    attenuation: Sequence[StructureRadiograph],
    lengths: Sequence[StructureRadiograph],
    where: Destination,
    folder: Path,
    looks: Looks,
    aims: Sequence[ArrayLike | None],
    series: Series | None,
) -> list[str]:
    """Write what each structure alone attenuates, its mask, and the outlines over each view; the names of the files.

    Masks and outlines come from path ``lengths``, so that a structure of little attenuation has them too.
    """
    names = []
    for radiograph, channels, masks, aim in zip(radiographs, attenuation, lengths, aims, strict=True):
        stem = where.stem_of(radiograph.name)
        for label, mask in zip(masks.names, masks.masks(), strict=True):
            own = f"{stem}_{file_stem(masks.names[label])}"
            if where.ending != "png":
                _write(channels.radiograph(label), folder / f"{own}.{where.ending}", aim, series)
                names.append(f"{own}.{where.ending}")
            _write_png(np.where(mask, 255, 0).astype(np.uint8), radiograph, folder / f"{own}_mask.png")
            names.append(f"{own}_mask.png")
        if looks.name != "none":
            picture = to_display(radiograph, looks.name, looks.percentiles)
            drawn = draw_outlines(picture, list(masks.contours().values()))
            _write_png(np.rint(255 * drawn).astype(np.uint8), radiograph, folder / f"{stem}_outlines.png")
            names.append(f"{stem}_outlines.png")
    return names


def _write_png(pixels: np.ndarray, radiograph: Radiograph, path: Path) -> None:
    """Grey [row, column] or colour [row, column, 3]; the pixels may be parts of the detector's."""
    image = sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3)
    rows, columns = radiograph.projection.size
    down, across = radiograph.projection.spacing
    image.SetSpacing((across * columns / pixels.shape[1], down * rows / pixels.shape[0]))
    with writing(path) as temporary:
        sitk.WriteImage(image, str(temporary))
