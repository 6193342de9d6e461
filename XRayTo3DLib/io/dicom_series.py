"""The slices of a CT in a DICOM folder, checked for what ITK squeezes into a straight and even stack in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_name
from XRayTo3DLib.io.dicom_headers import check_dicom, number, read_header
from XRayTo3DLib.memory import check_memory

#: Gaps between slices may differ by this fraction, or by this many mm, whichever is more (positions are rounded text).
_UNEVEN, _UNEVEN_MM = 0.02, 0.05
#: Slices may lie to the side of the first by this fraction of the stack's length: a sixth of a degree.
_SHEARED = 0.003
#: Slices closer than this, in mm, lie at the same place.
_SAME_MM = 1e-3
_POSITION, _ORIENTATION = "0020|0032", "0020|0037"


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of ITK, which name its own source files, while what they warn of is checked here."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def series_files(folder: Path) -> list[str]:
    """The files of the one DICOM series of a folder, in the order of their slices, which lie evenly.

    Single files beside a stack of slices (a scout, structures, a dose) are left out. :class:`InputError` when there is
    no series, several of them, or one with slices that are missing, double, differently oriented or sheared.
    """
    return _series(folder)[0]


def read_series(folder: Path) -> sitk.Image:
    """The one DICOM series of a folder as a volume; :class:`InputError` as :func:`series_files` raises it."""
    files, kinds = _series(folder)
    header = read_header(files[0])
    voxels = len(files) * (1 if header is None else (number(header, "Rows") or 1) * (number(header, "Columns") or 1))
    check_memory(6.0 * voxels, f"The DICOM series in {folder}", "cut out or resample what you need of it")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    if len(kinds) > 1:  # ITK would give all slices the type of the first, and wrap or cut what does not fit
        reader.SetOutputPixelType(sitk.sitkFloat32)
    with quiet():
        return reader.Execute()


def _series(folder: Path) -> tuple[list[str], set[int]]:
    """The files of the series, in order, and the types of their voxels (empty for a single file)."""
    _check_members(folder)
    with quiet():
        names = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        found = [sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name) for name in names]
    if not found:
        raise InputError(f"The folder {folder} holds no DICOM series: name an image file or a DICOM folder.")
    stacks = [files for files in found if len(files) > 1] or found
    if len(stacks) > 1:
        raise InputError(f"The folder {folder} holds {len(stacks)} DICOM series: put the one to be read in a folder of its own.")
    files = list(stacks[0])
    return files, _check_slices(folder, files) if len(files) > 1 else set()


def _check_members(folder: Path) -> None:
    """Nothing in the folder that would be waited for, and no DICOM file that is damaged: GDCM would leave it out in silence."""
    for member in sorted(folder.iterdir()):
        check_name(member)
        if member.is_dir():
            continue
        if not member.is_file():
            raise InputError(f"{member} is no file but a pipe, a device or a broken link: take it out of the DICOM folder.")
        check_dicom(member)


def _check_slices(folder: Path, files: list[str]) -> set[int]:
    """Refuse slices that are no even stack; the types of their voxels."""
    kinds = set()
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    first: tuple[Any, ...] = ()
    positions, turns = np.empty((len(files), 3)), np.empty((len(files), 6))
    for index, file in enumerate(files):
        try:
            reader.SetFileName(file)
            reader.ReadImageInformation()
            positions[index] = [float(text) for text in reader.GetMetaData(_POSITION).split("\\")]
            turns[index] = [float(text) for text in reader.GetMetaData(_ORIENTATION).split("\\")]
            if not np.isfinite([*positions[index], *turns[index]]).all():
                raise ValueError("not finite")
        except (RuntimeError, ValueError, OverflowError):
            raise InputError(f"The DICOM file {file} does not say where its slice lies: export the series as slices.") from None
        kind = (reader.GetSize()[:2], reader.GetNumberOfComponents(), reader.GetSpacing()[:2])
        kinds.add(reader.GetPixelID())
        first = kind if index == 0 else first
        if kind[:2] != first[:2] or np.abs(np.subtract(kind[2], first[2])).max() > 1e-3:
            raise InputError(
                f"The slice {file} is not like the first of its series in its size or pixel spacing: remove it, or export the "
                "whole series again."
            )
    if np.abs(turns - turns[0]).max() > 1e-3:
        other = Path(files[int(np.abs(turns - turns[0]).max(axis=1).argmax())]).name
        raise InputError(f"The slices in {folder} are not parallel ({other} differs from the first): remove those of other stacks.")
    normal = np.cross(turns[0, :3], turns[0, 3:])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    usual = float(np.median(gaps))

    def between(gap: int) -> str:
        return " and ".join(Path(files[order[at]]).name for at in (gap, gap + 1))

    if gaps.min() < _SAME_MM:
        raise InputError(
            f"{between(int(gaps.argmin()))} in {folder} are slices at the same place: keep one volume (one time point) in a folder."
        )
    worst = int(np.abs(gaps - usual).argmax())
    if abs(gaps[worst] - usual) > max(_UNEVEN * usual, _UNEVEN_MM):
        raise InputError(
            f"The slices {between(worst)} in {folder} are {gaps[worst]:.4g} mm apart but others {usual:.4g} mm, so slices are "
            "missing or uneven: export the whole series again, or resample it."
        )
    across = positions[order] - along[order, None] * normal
    shift = float(np.linalg.norm(across - across[0], axis=1).max())
    if shift > _SHEARED * gaps.sum() + _UNEVEN_MM:
        raise InputError(
            f"The slices in {folder} do not lie behind one another but up to {shift:.3g} mm to the side, as with a tilted gantry: "
            "make a straight stack of them first (in Slicer, load the series with acquisition geometry regularization)."
        )
    return kinds
