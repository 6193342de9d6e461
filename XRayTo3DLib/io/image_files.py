"""What ITK lets pass in silence, or does not survive, in image files: looked for before it reads them."""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import check_dicom
from XRayTo3DLib.io.image_headers import Layout, metaimage_layout, nrrd_layout
from XRayTo3DLib.memory import check_memory

#: Bytes taken from a stream at a time.
_CHUNK = 1 << 24
#: No stream of zlib or gzip unpacks to more times its size.
_TIGHTEST = 1032
#: Bits of the voxel types that a CT has, by their numbers in NIfTI; a header's own count of bits is not always right.
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI has its voxels: ``start`` and ``size`` in bytes; ``dtype`` when they are floating-point numbers."""

    start: int
    size: int
    dtype: np.dtype | None


def check_file(path: Path) -> None:
    """Raise :class:`InputError` for a file that ITK would misread in silence, or that it would not survive.

    - NRRD and MetaImage: headers that are damaged or of a rare kind, voxels that are missing, damaged (checksums) or too many;
    - NIfTI and gzip files: an early end, a damaged stream, NaN or infinite voxels, which ITK reads as zeros, water in a CT;
    - PNG, JPEG, BMP and TIFF: anything that Pillow cannot read whole;
    - all: more voxels than the machine has memory for.
    """
    name = path.name.lower()
    if name.endswith((".nrrd", ".nhdr")) or _begins(path, b"NRRD0"):
        _check_stream(path, nrrd_layout(path))
    elif name.endswith((".mha", ".mhd")):
        _check_stream(path, metaimage_layout(path))
    elif name.endswith((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")):
        _check_picture(path)
    else:
        check_dicom(path)
        _check_nifti(path)


def _begins(path: Path, letters: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(letters)) == letters


def _check_stream(path: Path, layout: Layout) -> None:
    """Whether the voxels are all there, neither fewer nor more, and unpack to what was packed."""
    damaged = InputError(f"The voxels of {path} are damaged or incomplete: copy or export it again.")
    held = layout.file.stat().st_size - layout.start
    if layout.size > (held if layout.compression is None else _TIGHTEST * held):
        raise damaged
    # ITK holds the voxels once, and what is made of them (float32, 1/mm) takes as much again or twice as much.
    check_memory(3.0 * layout.size, f"The image {path}", "cut out or resample what you need of it")
    if layout.compression is None:
        return
    # Both end with a checksum that is verified at the end of the stream: CRC-32 of gzip, Adler-32 of zlib.
    unpack = zlib.decompressobj(31 if layout.compression == "gzip" else 15)
    found = 0
    try:
        with layout.file.open("rb") as stream:
            stream.seek(layout.start)
            while not unpack.eof and (packed := stream.read(_CHUNK >> 4)):
                while packed and not unpack.eof:
                    found += len(unpack.decompress(packed, _CHUNK))
                    packed = unpack.unconsumed_tail
                    if found > layout.size:
                        raise damaged
    except zlib.error:
        raise damaged from None
    if not unpack.eof or found != layout.size:
        raise damaged


def _check_picture(path: Path) -> None:
    """Read a picture whole with Pillow, which refuses what is cut off where ITK fills it up."""
    from PIL import Image, ImageFile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                check_memory(16.0 * picture.width * picture.height, f"The picture {path}", "reduce its size")
                truncated, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
                try:
                    picture.load()
                finally:
                    ImageFile.LOAD_TRUNCATED_IMAGES = truncated
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"The picture {path} has more pixels than any X-ray: reduce its size.") from None
    except Exception as error:  # Pillow's plugins raise whatever their parsing meets: OSError, SyntaxError, struct.error, ...
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"The picture {path} is damaged or cut off ({reason[:80]}): copy or export it again.") from None


def _check_nifti(path: Path) -> None:
    """NIfTI, Analyze and gzip files; anything else passes."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".nii", ".hdr", ".img")):
        if path.name.lower().endswith(".gz"):
            _check_voxels(path, None)
        return
    head, body = path, path
    if not name.endswith(".nii"):  # a pair of files, of which either may be named
        stem = path.with_name(path.name[: len(name) - 4])
        found = [[f for f in (Path(f"{stem}{end}"), Path(f"{stem}{end}.gz")) if f.is_file()] for end in (".hdr", ".img")]
        if not all(found):
            raise InputError(f"{path} is one of two files, .hdr and .img, and the other is not there: keep both together.")
        head, body = found[0][0], found[1][0]
        if max(map(len, found)) > 1:  # ITK takes the one that is not packed, whichever is named
            raise InputError(f"{path} is one of two images, packed and not packed, of the same name: keep one of them.")
    try:
        with _opened(head) as stream:
            header = stream.read(540)
    except (EOFError, OSError, zlib.error):
        header = b""
    layout = _layout(header, head == body)
    if layout is None:
        raise InputError(f"The header of {path} is damaged or not that of a NIfTI image: copy or export it again.")
    check_memory(3.0 * layout.size, f"The image {path}", "cut out or resample what you need of it")
    _check_voxels(body, layout)


def _layout(header: bytes, single: bool) -> _Layout | None:
    """The layout in a header of NIfTI 1 (or Analyze, which has the same fields) or NIfTI 2, in either byte order."""
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(f"{order}i", header)[0] == 348:
            shape, kind = struct.unpack_from(f"{order}8h", header, 40), struct.unpack_from(f"{order}h", header, 70)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
            start = int(offset) if math.isfinite(offset) else -1
        elif len(header) >= 540 and struct.unpack_from(f"{order}i", header)[0] == 540:
            shape, kind = struct.unpack_from(f"{order}8q", header, 16), struct.unpack_from(f"{order}h", header, 12)[0]
            start = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        if not 1 <= shape[0] <= 7 or kind not in _BITS or min(shape[1 : shape[0] + 1]) < 1 or not 0 <= start < 1 << 40:
            return None
        voxels = math.prod(shape[1 : shape[0] + 1])
        dtype = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)
        least = struct.unpack_from(f"{order}i", header)[0] if single else 0  # an offset inside the header means its end
        return _Layout(max(start, least), voxels * _BITS[kind] // 8, dtype)
    return None


def _check_voxels(path: Path, layout: _Layout | None) -> None:
    """Read to the end, which also compares gzip's checksum; ``None`` for a gzip file of something else."""
    plain = layout is not None and layout.dtype is None and not _begins(path, b"\x1f\x8b")
    if plain and layout is not None:
        rest, finite = int(path.stat().st_size < layout.start + layout.size), True
    else:
        rest, finite = _read_through(path, layout)
    if rest:
        raise InputError(f"{path} ends before its last voxel, so it is truncated or damaged: copy or export it again.")
    if not finite:
        raise InputError(f"{path} holds NaN or infinite voxels: replace them (with -1000 HU for air in a CT) and try again.")


def _read_through(path: Path, layout: _Layout | None) -> tuple[int, bool]:
    """How many bytes of voxels are missing (1 for a damaged stream), and whether all numbers are finite."""
    start, rest = (layout.start, layout.size) if layout is not None else (0, 0)
    finite = True
    try:
        with _opened(path) as stream:
            skipped = 0
            while skipped < start and (data := stream.read(min(start - skipped, _CHUNK))):
                skipped += len(data)
            while rest and (data := stream.read(min(rest, _CHUNK))):
                rest -= len(data)
                if layout is not None and layout.dtype is not None:
                    whole = len(data) - len(data) % layout.dtype.itemsize
                    finite = finite and bool(np.isfinite(np.frombuffer(data[:whole], layout.dtype)).all())
            while stream.read(_CHUNK):  # the checksum comes last
                pass
    except (EOFError, OSError, zlib.error):
        return 1, finite
    return rest, finite


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb")
