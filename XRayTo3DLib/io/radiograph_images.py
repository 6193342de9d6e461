"""Radiographs as images of one slice that stand where the detector is, with the rest of the geometry in their metadata.

NRRD and MetaImage take any metadata. NIfTI has room for two texts, of 79 and 23 bytes, and its header is in single
precision: geometry comes back to 1e-3 mm, and notes are lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json
from XRayTo3DLib.geometry.projection import SCAN_AXES, Projection
from XRayTo3DLib.images.itk_images import metadata
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph

_SOURCE, _RAY, _NAME, _UNKNOWN, _NOTES = (f"XRayTo3D.{key}" for key in ("source", "ray_direction", "name", "unknown", "notes"))
#: The source of a scanned beam has keys of its own, by its axis: no reader can take it for a cone's.
_SCANS = {f"XRayTo3D.scan_{axis}": axis for axis in SCAN_AXES}
_BEAMS = (_SOURCE, _RAY, *_SCANS)
#: The two texts of NIfTI ("descrip" and "aux_file") by the names that SimpleITK has for them.
_NIFTI_GEOMETRY, _NIFTI_NAME, _NIFTI_NAME_BYTES = "ITK_FileNotes", "aux_file", 23


#: A pixel that is not valid: NaN, which every viewer leaves out; in NIfTI, where NaN is refused as damage, the lowest number.
_LOWEST = np.finfo(np.float32).min


def stored_mask(values: np.ndarray) -> np.ndarray:
    """Which pixels of a file of :func:`radiograph_to_image` are valid (bool)."""
    return ~np.isnan(values) & (values > _LOWEST)


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file says of the radiograph in it beside the pixels; no ``projection`` where it was not asked for."""

    projection: Projection | None
    name: str
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


def known_words(words: Iterable[object]) -> tuple[str, ...]:
    """Those of ``words`` that a radiograph's scale can lack, in their own order."""
    told = set(words)
    return tuple(word for word in UNKNOWN if word in told)


def radiograph_to_image(radiograph: Radiograph, for_nifti: bool = False) -> sitk.Image:
    """A float32 image of one slice, LPS mm, rows and columns along the detector's, with the metadata of its file format."""
    projection = radiograph.projection
    values = radiograph.line_integrals.astype(np.float32)
    if radiograph.valid is not None:
        values = np.where(radiograph.valid, values, _LOWEST if for_nifti else np.float32(np.nan))
    image = sitk.GetImageFromArray(values[np.newaxis])
    image.SetOrigin(projection.origin.tolist())
    image.SetSpacing((projection.spacing[1], projection.spacing[0], 1.0))
    axes = projection.row_direction, projection.column_direction, projection.normal
    image.SetDirection(np.stack(axes, axis=1).ravel().tolist())
    key, point = (_RAY, projection.ray_direction) if projection.source is None else (_SOURCE, projection.source)
    if projection.scan_axis is not None:
        key = next(key for key, axis in _SCANS.items() if axis == projection.scan_axis)
    numbers = np.asarray(point, dtype=np.float64).tolist()
    name = radiograph.name
    if for_nifti:
        words = [key, *(f"{v:.9g}" for v in numbers), *radiograph.unknown]
        image.SetMetaData(_NIFTI_GEOMETRY, " ".join(words))
        image.SetMetaData(_NIFTI_NAME, " ".join(name.split()).encode()[:_NIFTI_NAME_BYTES].decode(errors="ignore"))
        return image
    image.SetMetaData(key, " ".join(map(repr, numbers)))
    # A line end would break a header of text, and MetaImage cuts off letters beyond ASCII: such names are quoted.
    plain = name.isascii() and name.isprintable() and name == name.strip() and not name.startswith('"')
    if name:
        image.SetMetaData(_NAME, name if plain else json.dumps(name))
    if radiograph.unknown:
        image.SetMetaData(_UNKNOWN, " ".join(radiograph.unknown))
    if radiograph.notes:
        image.SetMetaData(_NOTES, json.dumps(radiograph.notes))
    return image


def stored_in_image(image: sitk.Image, geometry: bool, name: str) -> Stored | None:
    """What :func:`radiograph_to_image` put into an image that was read; ``None`` for any other image.

    ``geometry`` asks for the projection too. ``name`` begins the sentences of errors: :class:`InputError` for a geometry
    that is damaged or has lost its plane.
    """
    tags = metadata(image)
    words = tags.get(_NIFTI_GEOMETRY, "").split()
    own = [key for key in _BEAMS if key in tags]
    if words and words[0] in _BEAMS:
        key, numbers, title, notes = words[0], words[1:4], tags.get(_NIFTI_NAME, ""), "[]"
        told = words[4:]
    elif own:
        key = own[0]
        numbers, title, notes = tags[key].split(), _unquoted(tags.get(_NAME, "")), tags.get(_NOTES, "[]")
        told = tags.get(_UNKNOWN, "").split()
    else:
        return None
    if geometry and image.GetDimension() != 3:
        raise InputError(f"{name} has lost the plane of its detector (it is 2D): give view, spacing and distances.")
    try:
        projection = _projection(image, key, np.array([float(v) for v in numbers])) if geometry else None
        return Stored(projection, title, known_words(told), tuple(map(str, parse_json(notes, name))))
    except (ValueError, TypeError):
        if not geometry:
            return None
        raise InputError(
            f"{name} has a damaged geometry ({key} is {' '.join(numbers)!r}): give view, spacing and distances."
        ) from None


def _unquoted(name: str) -> str:
    try:
        return str(parse_json(name, "The name")) if name.startswith('"') else name
    except ValueError:
        return name


def _projection(image: sitk.Image, key: str, point: np.ndarray) -> Projection:
    direction = np.reshape(image.GetDirection(), (3, 3))
    columns, rows = image.GetSize()[:2]
    across, down = image.GetSpacing()[:2]
    source, ray = (None, point) if key == _RAY else (point, None)
    row, column = direction[:, 0], direction[:, 1]
    return Projection(np.array(image.GetOrigin()), row, column, (down, across), (rows, columns), source, ray, _SCANS.get(key))
