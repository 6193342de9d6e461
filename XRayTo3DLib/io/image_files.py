"""What ITK lets pass in a NIfTI or gzip file: an early end, and voxels that are not finite, both read as zeros."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from XRayTo3DLib.errors import InputError

#: Bytes taken from a stream at a time.
_CHUNK = 1 << 24
#: Bits of the voxel types that a CT has, by their numbers in NIfTI; a header's own count of bits is not always right.
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI has its voxels: ``start`` and ``size`` in bytes; ``dtype`` when they are floating-point numbers."""

    start: int
    size: int
    dtype: np.dtype | None


def check_file(path: Path) -> None:
    """Raise :class:`InputError` for a NIfTI or gzip file that ends early or a NIfTI with NaN or infinite voxels.

    ITK reads both as zeros, which are water in a CT. Whole integer files cost no more than a look at header and end.
    """
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".nii", ".hdr", ".img")):
        if path.name.lower().endswith(".gz"):
            _check_voxels(path, None)
        return
    head, body = path, path
    if not name.endswith(".nii"):  # a pair of files, of which either may be named
        stem = path.with_name(path.name[: len(name) - 4])
        found = [[f for f in (Path(f"{stem}{end}"), Path(f"{stem}{end}.gz")) if f.exists()] for end in (".hdr", ".img")]
        if not all(found):
            return  # ITK says so
        head, body = found[0][0], found[1][0]
    try:
        with _opened(head) as stream:
            layout = _layout(stream.read(540), head == body)
    except (EOFError, OSError, zlib.error):
        layout = None
    if layout is not None:  # else ITK says so
        _check_voxels(body, layout)


def _layout(header: bytes, single: bool) -> _Layout | None:
    """The layout in a header of NIfTI 1 (or Analyze, which has the same fields) or NIfTI 2, in either byte order."""
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(f"{order}i", header)[0] == 348:
            shape, (kind, bits) = struct.unpack_from(f"{order}8h", header, 40), struct.unpack_from(f"{order}2h", header, 70)
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
            start = int(offset) if math.isfinite(offset) else 0
        elif len(header) >= 540 and struct.unpack_from(f"{order}i", header)[0] == 540:
            shape, (kind, bits) = struct.unpack_from(f"{order}8q", header, 16), struct.unpack_from(f"{order}2h", header, 12)
            start = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        if not 1 <= shape[0] <= 7:
            return None
        voxels = math.prod(max(length, 1) for length in shape[1 : shape[0] + 1])
        dtype = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)
        least = struct.unpack_from(f"{order}i", header)[0] if single else 0  # an offset inside the header means its end
        return _Layout(max(start, least), voxels * _BITS.get(kind, bits) // 8, dtype)
    return None


def _check_voxels(path: Path, layout: _Layout | None) -> None:
    if layout is not None and layout.dtype is None and _ends_as_it_should(path, layout.start + layout.size):
        return
    finite = True
    try:
        with _opened(path) as stream:
            if layout is None:
                while stream.read(_CHUNK):
                    pass
                return
            stream.seek(layout.start)
            rest = layout.size
            while rest and (data := stream.read(min(rest, _CHUNK))):
                rest -= len(data)
                if layout.dtype is not None:
                    whole = len(data) - len(data) % layout.dtype.itemsize
                    finite = finite and bool(np.isfinite(np.frombuffer(data[:whole], layout.dtype)).all())
    except (EOFError, OSError, zlib.error):
        rest = 1
    if rest:
        raise InputError(f"{path} ends before its last voxel, so it is truncated or damaged: copy or export it again.")
    if not finite:
        raise InputError(f"{path} holds NaN or infinite voxels: replace them (with -1000 HU for air in a CT) and try again.")


def _ends_as_it_should(path: Path, needed: int) -> bool:
    """Whether the file's end alone shows that it holds ``needed`` bytes: a gzip file ends with its length, mod 2^32."""
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return path.stat().st_size >= needed
        if path.stat().st_size < 18:  # the least that a gzip file has
            return False
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little") == needed % (1 << 32)


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb")
