"""The slices of a CT in a DICOM folder: which files are the series, what is damaged, and what ITK would squeeze in silence.

A culprit is named, and not its neighbour: sizes, spacings and directions are those of most slices. What can be left out without a
loss (a localizer, a copy of a slice) is left out, and said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_name
from XRayTo3DLib.io.ct_padding import fill_padding
from XRayTo3DLib.io.dicom_headers import bare_header, check_dicom, number, numbers, word, words
from XRayTo3DLib.io.quiet import quiet
from XRayTo3DLib.memory import check_memory

#: Gaps between slices may differ by this fraction, or by this many mm, whichever is more (positions are rounded text).
_UNEVEN, _UNEVEN_MM = 0.02, 0.05
#: Slices closer than this, in mm, lie at the same place.
_SAME_MM = 1e-3
#: Files with these endings are meant to be slices, whatever is in them.
_ENDINGS = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, eq=False)
class Slice:
    """One file of a series, its header (without pixels), and where it lies: LPS mm, and the unit vectors of rows and columns."""

    path: Path
    header: Dataset
    position: np.ndarray
    turn: np.ndarray

    @property
    def kind(self) -> tuple[object, ...]:
        """What all slices of a stack share: rows, columns, samples, and to a thousandth the pixel spacing."""
        spacing = tuple(round(value, 3) for value in numbers(self.header, "PixelSpacing"))
        return *(number(self.header, key) for key in ("Rows", "Columns", "SamplesPerPixel")), spacing


def series_files(folder: Path) -> list[str]:
    """The files of the one DICOM series of a folder, in the order of their slices, which lie evenly.

    Single files beside a stack of slices (a scout, structures, a dose) are left out. :class:`InputError` when there is
    no series, several of them, or one with members that are damaged, missing, differently oriented or at the same place.
    """
    return [str(member.path) for member in _series(folder, [])]


def read_series(folder: Path) -> tuple[sitk.Image, tuple[str, ...]]:
    """The one DICOM series of a folder as a volume, and notes of what was left out or filled in.

    Slices of a tilted gantry give an image whose axes are not at right angles. :class:`InputError` as :func:`series_files`
    raises it.
    """
    notes: list[str] = []
    members = _series(folder, notes)
    first = members[0].header
    voxels = len(members) * (number(first, "Rows") or 1) * (number(first, "Columns") or 1)
    check_memory(6.0 * voxels, f"The DICOM series in {folder}", "cut out or resample what you need of it")
    image = _stacked(members)
    if len(members) > 1:
        steps = np.array([member.position for member in members])
        step = (steps[-1] - steps[0]) / (len(members) - 1)
        row, column = members[0].turn
        length = float(np.linalg.norm(step))
        image.SetOrigin(steps[0].tolist())
        image.SetSpacing((*image.GetSpacing()[:2], length))
        image.SetDirection(np.stack([row, column, step / length], axis=1).ravel().tolist())
        _note_empty(image, members, notes)
        image = fill_padding(image, [member.header for member in members], notes)
    return image, tuple(notes)


def _stacked(members: Sequence[Slice]) -> sitk.Image:
    """The voxels of all slices in HU, the geometry that of ITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(member.path) for member in members])
    scales = {tuple(str(m.header.get(key)) for key in ("BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"))
              for m in members}  # fmt: skip
    if len(scales) > 1:  # ITK would give all slices the type of the first, and wrap or cut what does not fit
        reader.SetOutputPixelType(sitk.sitkFloat32)
    with quiet():
        try:
            return reader.Execute()
        except RuntimeError:
            for member in members:
                try:
                    sitk.ReadImage(str(member.path))
                except RuntimeError:
                    raise InputError(f"The pixels of the slice {member.path} cannot be decoded: export the series again.") from None
            raise


def _series(folder: Path, notes: list[str]) -> list[Slice]:
    """The slices of the series in order; a file that is no slice of a stack (several frames, perhaps) alone."""
    groups: dict[str, list[tuple[Path, Dataset]]] = {}
    others: list[tuple[Path, Dataset]] = []
    for path, header in _members(folder):
        if number(header, "Rows") and number(header, "Columns"):
            groups.setdefault(word(header, "SeriesInstanceUID"), []).append((path, header))
        else:
            others.append((path, header))
    if not groups:
        raise InputError(f"The folder {folder} holds no DICOM series: name an image file or a DICOM folder.")
    stacks = [files for files in groups.values() if len(files) > 1] or list(groups.values())
    if len(stacks) > 1:
        raise InputError(f"The folder {folder} holds {len(stacks)} DICOM series: put the one to be read in a folder of its own.")
    files = stacks[0]
    names, kinds = {_pattern(path) for path, _ in files}, {word(header, "SOPClassUID") for _, header in files}
    for path, header in others:  # structures and reports are no slices, but what was cut off before its pixels is one
        if _pattern(path) in names or word(header, "SOPClassUID") in kinds:
            raise InputError(f"The slice {path} holds no pixels: copy or export the series again.")
    for path, header in files:
        _check_pixels(path, header)
    beside = [path.name for group in groups.values() if group is not files for path, _ in group]
    if beside:
        notes.append(f"{_list(beside)} in {folder} {_are(beside)} of another series and left out.")
    if len(files) == 1:
        return [Slice(*files[0], np.zeros(3), np.eye(3)[:2])]
    localizers = [path.name for path, header in files if {"LOCALIZER", "SCOUT", "TOPOGRAM"} & set(words(header, "ImageType"))]
    kept = [(path, header) for path, header in files if path.name not in localizers]
    if localizers and len(kept) > 1:
        notes.append(
            f"{_list(localizers)}, beside the slices in {folder}, {_are(localizers)} no slice but a localizer and left out."
        )
        files = kept
    return _in_order(folder, [_slice(path, header) for path, header in files], notes)


def _members(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    """The DICOM files of a folder and their headers.

    Raises :class:`InputError` for what would be waited for, for a DICOM file that is damaged, and for a file that by its name
    should be a slice and is none: GDCM would leave it out in silence.
    """
    found: list[tuple[Path, Dataset]] = []
    strangers: list[Path] = []
    for member in sorted(folder.iterdir()):
        check_name(member)
        if member.is_dir():
            continue
        if not member.is_file():
            raise InputError(f"{member} is no file but a pipe, a device or a broken link: take it out of the DICOM folder.")
        header = check_dicom(member)
        if header is None:
            strangers.append(member)
        else:
            found.append((member, header))
    names = {_pattern(path) for path, _ in found}
    for member in strangers:
        if member.name.startswith("."):
            continue
        if member.suffix.lower() in _ENDINGS or _pattern(member) in names or not found:
            header = bare_header(member)
            if header is not None:
                found.append((member, header))
            elif found or member.suffix.lower() in _ENDINGS:
                fault = "is empty" if not member.stat().st_size else "is damaged at its beginning, or no DICOM file"
                raise InputError(f"{member}, among the slices, {fault}: copy or export the series again, or remove it.")
    yield from sorted(found, key=lambda pair: pair[0])


def _pattern(path: Path) -> str:
    """A name with its numbers as one sign, as slices of a series share it."""
    return re.sub(r"\d+", "#", path.name)


def _check_pixels(path: Path, header: Dataset) -> None:
    if not any(key in header for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(f"The slice {path} holds no pixels: copy or export the series again.")


def _slice(path: Path, header: Dataset) -> Slice:
    position, turn = np.array(numbers(header, "ImagePositionPatient")), np.array(numbers(header, "ImageOrientationPatient"))
    lengths = np.linalg.norm(turn.reshape(2, 3), axis=1) if turn.shape == (6,) else np.zeros(2)
    if position.shape != (3,) or lengths.min() < 0.5:
        raise InputError(f"The DICOM file {path} does not say where its slice lies: export the series as slices.")
    return Slice(path, header, position, turn.reshape(2, 3) / lengths[:, None])


def _in_order(folder: Path, slices: list[Slice], notes: list[str]) -> list[Slice]:
    """The slices by their place, all alike, each once, and evenly on a line."""
    _check_alike(folder, slices)
    row, column = slices[0].turn
    normal = np.cross(row, column)
    slices = _without_copies(folder, sorted(slices, key=lambda member: float(member.position @ normal)), normal, notes)
    if len(slices) < 2:
        raise InputError(f"The series in {folder} has one slice only: give the whole series.")
    positions = np.array([member.position for member in slices])
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))

    def between(gap: int) -> str:
        return " and ".join(slices[at].path.name for at in (gap, gap + 1))

    worst = int(np.abs(gaps - usual).argmax())
    if abs(gaps[worst] - usual) > max(_UNEVEN * usual, _UNEVEN_MM):
        raise InputError(
            f"The slices {between(worst)} in {folder} are {gaps[worst]:.4g} mm apart but others {usual:.4g} mm, so slices are "
            "missing or uneven: export the whole series again, or resample it."
        )
    # Slices of a tilted gantry lie on a line that is not along the normal; anything else is no stack.
    line = positions[0] + np.outer((along - along[0]) / (along[-1] - along[0]), positions[-1] - positions[0])
    aside = np.linalg.norm(positions - line, axis=1)
    if aside.max() > max(2 * _UNEVEN_MM, 0.1 * usual):
        raise InputError(
            f"The slices in {folder} do not lie behind one another: {slices[int(aside.argmax())].path.name} is {aside.max():.3g} "
            "mm to the side of the line of the others; export the whole series again, or resample it."
        )
    return slices


def _check_alike(folder: Path, slices: Sequence[Slice]) -> None:
    """Refuse slices of another size, spacing or direction than most, by their names."""
    kinds = Counter(member.kind for member in slices)
    usual = kinds.most_common(1)[0][0]
    other = next((member for member in slices if member.kind != usual), None)
    if other is not None:
        raise InputError(
            f"The slice {other.path} is not like the others of its series in its size or pixel spacing: remove it, or export the "
            "whole series again."
        )
    turns = Counter(tuple(np.round(member.turn, 2).ravel() + 0.0) for member in slices)
    common = np.reshape(turns.most_common(1)[0][0], (2, 3))
    near = [member.turn for member in slices if np.abs(member.turn - common).max() <= 0.02]
    middle = np.median(near, axis=0)
    off = [float(np.abs(member.turn - middle).max()) for member in slices]
    if max(off) > 1e-3:
        culprit = slices[int(np.argmax(off))].path.name
        raise InputError(
            f"The slices in {folder} are not parallel ({culprit} differs from the others): remove those of other stacks."
        )


def _without_copies(folder: Path, slices: Sequence[Slice], normal: np.ndarray, notes: list[str]) -> list[Slice]:
    """Each place once: a slice that is there twice with the same pixels is left out, and said."""
    kept: list[Slice] = []
    for member in slices:
        if kept and abs((member.position - kept[-1].position) @ normal) < _SAME_MM:
            twin = kept[-1].path
            if pydicom.dcmread(twin, force=True).PixelData != pydicom.dcmread(member.path, force=True).PixelData:
                raise InputError(
                    f"{twin.name} and {member.path.name} in {folder} are slices at the same place: keep one volume (one time "
                    "point) in a folder."
                )
            notes.append(f"{member.path.name} in {folder} is a copy of the slice {twin.name} and left out.")
        else:
            kept.append(member)
    return kept


def _note_empty(image: sitk.Image, members: Sequence[Slice], notes: list[str]) -> None:
    """A note of slices that hold one value alone between others that do not: lost in some transfer, perhaps."""
    array = sitk.GetArrayViewFromImage(image)
    flat = np.array([bool((one == one.flat[0]).all()) for one in array])
    filled = np.flatnonzero(~flat)
    if filled.size:
        lost = [members[at].path.name for at in range(filled[0], filled[-1]) if flat[at]]
        if lost:
            notes.append(f"{_list(lost)} {_are(lost)} empty (one value everywhere) although the slices around show something.")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
