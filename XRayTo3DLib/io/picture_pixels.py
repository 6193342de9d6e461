"""Pictures (PNG, JPEG, TIFF, BMP and what else Pillow reads) as grey values: upright, of full depth, without what is transparent.

What a picture says of its resolution (PNG's pHYs, JFIF, TIFF) is that of a screen or a print, and never taken for mm at the
detector.
References: EXIF 2.3 4.6.4 (Orientation), TIFF 6.0 (PhotometricInterpretation, NewSubfileType).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.grey import grey_of
from XRayTo3DLib.io.quiet import quiet

ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".jp2")
#: How pictures begin, whatever their names end in.
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8")
#: EXIF's orientations, as quarter turns to the left after a mirror (left to right): what makes the picture upright.
_TURNS = {1: (False, 0), 2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
_ORIENTATION, _PHOTOMETRIC, _SUBFILE, _BITS = 274, 262, 254, 258
_WHITE_IS_ZERO, _REDUCED = 0, 1
#: Pillow's modes of one channel; it has none of several channels with more than 8 bits.
_GREY = {"L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


@dataclass(frozen=True, eq=False)
class PicturePixels:
    """Grey values (float64), where they are the film's (bool), both [row, column], and what was done to the picture."""

    values: np.ndarray
    valid: np.ndarray
    notes: tuple[str, ...]


def is_picture(path: str | Path) -> bool:
    """Whether a file is a picture by its ending or its first bytes."""
    if Path(path).suffix.lower() in ENDINGS:
        return True
    with Path(path).open("rb") as stream:
        return stream.read(8).startswith(_BEGINNINGS)


def read_picture(path: str | Path) -> PicturePixels:
    """A picture that :func:`.image_files.check_file` has passed. Raises :class:`InputError` for one that is no grey picture."""
    # By a stream: Pillow maps a file that it opens by name, and scrambles a TIFF that lies on its side.
    with quiet(), Path(path).open("rb") as stream, Image.open(stream) as picture:
        _one_page(picture, str(path))
        told = int(picture.getexif().get(_ORIENTATION, 1) or 1)
        picture.load()
        # Pillow turns a TIFF itself, and forgets its orientation.
        orientation = int(picture.getexif().get(_ORIENTATION, 1) or 1)
        channels, full = _channels(picture, Path(path), told == orientation)
    notes = []
    if told in _TURNS and told != 1:
        notes.append(f"The picture was turned upright, as its EXIF orientation ({told}) says.")
    grey, valid = channels[..., 0], np.ones(channels.shape[:2], bool)
    if channels.shape[2] >= 3:
        grey, valid = grey_of(channels[..., :3], full, str(path))
        if not valid.all():
            notes.append("Coloured marks were left out.")
    if channels.shape[2] in (2, 4):
        opaque = channels[..., -1] > full / 2
        if not opaque.all():
            notes.append(f"{1 - opaque.mean():.0%} of the picture is transparent and was left out.")
        valid = valid & opaque
    if orientation != 1 and orientation in _TURNS:
        mirrored, quarters = _TURNS[orientation]
        grey, valid = (np.rot90(a[:, ::-1] if mirrored else a, quarters) for a in (grey, valid))
    return PicturePixels(np.ascontiguousarray(grey, dtype=np.float64), np.ascontiguousarray(valid), tuple(notes))


def _one_page(picture: Image.Image, name: str) -> None:
    """Refuse several pages, but for the reduced copies that cameras and scanners put beside the picture."""
    count = getattr(picture, "n_frames", 1)
    if count < 2 or picture.format == "MPO":
        return
    whole = []
    for index in range(count):
        picture.seek(index)
        if not int(getattr(picture, "tag_v2", {}).get(_SUBFILE, 0)) & _REDUCED:
            whole.append(index)
    if len(whole) > 1:
        raise InputError(f"{name} holds {len(whole)} pages: an X-ray has one; export the page you mean as its own file.")
    picture.seek(whole[0] if whole else 0)


def _channels(picture: Image.Image, path: Path, as_stored: bool) -> tuple[np.ndarray, float]:
    """Values [row, column, channel], and those of full scale (1 where the picture has floats).

    Several channels of 16 bits are read whole where they are ``as_stored``, and by their upper 8 bits where Pillow has turned them.
    """
    mode, tags = picture.mode, getattr(picture, "tag_v2", {})
    if mode == "1":
        raise InputError(f"{path} has black and white only, no grey: export it as greyscale.")
    if mode in ("CMYK", "LAB", "HSV", "YCbCr"):
        raise InputError(f"{path} is a picture in {mode} colours, as for print, whose grey is ambiguous: export it as greyscale.")
    if as_stored and mode not in _GREY and max(_png_depth(path), *tags.get(_BITS, (8,))) > 8:
        return _deep(path), 65535.0
    if mode in ("P", "PA"):
        picture = picture.convert("RGBA" if "transparency" in picture.info or mode == "PA" else "RGB")
    elif mode in ("RGBX", "RGBa", "La"):
        picture = picture.convert({"RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}[mode])
    elif mode not in _GREY and mode not in ("LA", "RGB", "RGBA"):
        raise InputError(f"{path} is a picture of the kind {mode!r}, which is no greyscale: export it as greyscale.")
    values = np.array(picture)
    if values.dtype.kind == "u" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and mode != "L":
        values = np.iinfo(values.dtype).max - values  # Pillow turns 8 bits over, but not 16
    full = float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 1.0
    return values.reshape(*values.shape[:2], -1).astype(np.float64), full


def _png_depth(path: Path) -> int:
    """The bits of a sample in a PNG; 8 for any other file."""
    with path.open("rb") as stream:
        head = stream.read(26)
    return head[24] if head.startswith(_BEGINNINGS[0]) else 8


def _deep(path: Path) -> np.ndarray:
    """Several channels of 16 bits, which Pillow would cut to 8."""
    if _png_depth(path) > 8:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkIOImage import vtkPNGReader

        reader = vtkPNGReader()
        reader.SetFileName(str(path))
        reader.Update()
        image = reader.GetOutput()
        columns, rows, _ = image.GetDimensions()
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
        return values[::-1].astype(np.float64)
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    return values.reshape(image.GetSize()[1], image.GetSize()[0], -1).astype(np.float64)
