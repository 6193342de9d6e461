"""What the headers of NRRD and MetaImage files declare, checked before ITK reads them.

ITK ends the process for some headers, allocates whatever another declares, and takes the rest of a damaged stream for zeros.
Only what images of this software and of its users need is let through: raw and gzip (zlib) voxels in one file.
References: Teem's NRRD file format; MetaIO's documentation.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError

#: Bytes of a header, at most; voxels along an axis, at most.
_HEADER, _LONGEST = 1 << 20, 1 << 20
_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i8", "MET_ULONG": "u8", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where the voxels of an image are: in ``file`` from the byte ``start`` on, ``size`` bytes when they are unpacked.

    ``compression`` is "gzip", "zlib" or ``None``; ``dtype`` that of a voxel (of one of its components).
    """

    file: Path
    start: int
    size: int
    compression: str | None
    dtype: np.dtype


def nrrd_layout(path: Path) -> Layout:
    """The layout of a .nrrd or .nhdr file; :class:`InputError` for a header that is damaged, or of a kind that is not read."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER)
    end = re.search(rb"\r?\n\r?\n", head)
    lines = _lines(head[: end.start() if end else len(head)], path)
    if not lines or not re.fullmatch(r"NRRD000[1-5]", lines[0].strip()):
        raise InputError(f"{path} does not begin as a NRRD file does: export it again.")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("#") or ":=" in line:
            continue
        name, found, value = line.partition(":")
        if not found:
            raise InputError(f"The header of {path} is damaged (line {line[:40]!r}): export it again.")
        fields[name.strip().lower().replace(" ", "")] = value.strip()
    kind = _NRRD_TYPES.get(fields.get("type", "").lower())
    if kind is None:
        raise _refused(path, "type", fields.get("type", ""))
    sizes = _sizes(fields.get("sizes", ""), fields.get("dimension", ""), path)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise _refused(path, "encoding", encoding)
    if any(fields.get(skip, "0").split()[0:1] not in (["0"], []) for skip in ("lineskip", "byteskip")):
        raise _refused(path, "byte skip", fields.get("byteskip", fields.get("lineskip", "")))
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    data = fields.get("datafile", fields.get("data file", ""))
    file, start = path, end.end() if end else len(head)
    if data:
        if data.upper().startswith("LIST") or "%" in data or (len(data.split()) > 1 and not (path.parent / data).exists()):
            raise _refused(path, "data file", data)
        file, start = path.parent / data, 0
    elif end is None:
        raise InputError(f"The header of {path} has no end: the file is cut off or damaged; export it again.")
    return _layout(path, file, start, sizes, None if encoding == "raw" else "gzip", np.dtype(order + kind))


def metaimage_layout(path: Path) -> Layout:
    """The layout of a .mha or .mhd file; :class:`InputError` for a header that is damaged, or of a kind that is not read."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER)
    end = re.search(rb"(?m)^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n?", head)
    if end is None:
        raise InputError(f"The header of {path} names no ElementDataFile: the file is cut off or damaged; export it again.")
    fields = {}
    for line in _lines(head[: end.start()], path):
        name, found, value = line.partition("=")
        if line.strip() and not found:
            raise InputError(f"The header of {path} is damaged (line {line[:40]!r}): export it again.")
        fields[name.strip()] = value.strip()
    kind = _META_TYPES.get(fields.get("ElementType", "").removesuffix("_ARRAY"))
    if kind is None:
        raise _refused(path, "ElementType", fields.get("ElementType", ""))
    if fields.get("BinaryData", "True").lower() not in ("true", "1"):
        raise _refused(path, "BinaryData", fields["BinaryData"])
    if fields.get("HeaderSize", "0") != "0":
        raise _refused(path, "HeaderSize", fields["HeaderSize"])
    sizes = _sizes(fields.get("DimSize", ""), fields.get("NDims", ""), path)
    channels = fields.get("ElementNumberOfChannels", "1")
    if not re.fullmatch(r"[1-9]\d{0,3}", channels):
        raise _refused(path, "ElementNumberOfChannels", channels)
    big = any(fields.get(name, "False").lower() in ("true", "1") for name in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    packed = fields.get("CompressedData", "False").lower() in ("true", "1")
    data = end[1].decode("utf-8", "surrogateescape").strip()
    file, start = path, end.end()
    if data.upper() != "LOCAL":
        if not data or "%" in data or data.upper() == "LIST" or (len(data.split()) > 1 and not (path.parent / data).exists()):
            raise _refused(path, "ElementDataFile", data)
        file, start = path.parent / data, 0
    dtype = np.dtype((">" if big else "<") + kind)
    layout = _layout(path, file, start, (*sizes, int(channels)), "zlib" if packed else None, dtype)
    told = fields.get("CompressedDataSize", "")
    if packed and told and told != str(file.stat().st_size - start):  # ITK would unpack that much and leave the rest at 0
        raise InputError(f"The header of {path} is damaged, or its voxels are incomplete: copy or export it again.")
    return layout


def _layout(path: Path, file: Path, start: int, sizes: tuple[int, ...], compression: str | None, dtype: np.dtype) -> Layout:
    if not file.is_file():
        raise InputError(f"The voxels of {path} should be in {file}, which is no file: keep both together.")
    return Layout(file, start, math.prod(sizes) * dtype.itemsize, compression, dtype)


def _lines(head: bytes, path: Path) -> list[str]:
    try:
        return head.decode("utf-8", "surrogateescape").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"The header of {path} is no text: export it again.") from None


def _sizes(told: str, dimension: str, path: Path) -> tuple[int, ...]:
    """The voxels along each axis: as many numbers as the dimension says, each within reason."""
    if not re.fullmatch(r"[1-9]", dimension) or not re.fullmatch(r"[1-9]\d{0,6}(\s+[1-9]\d{0,6})*", told):
        raise InputError(f"The header of {path} declares {dimension[:20]!r} dimensions of {told[:40]!r} voxels: export it again.")
    sizes = tuple(map(int, told.split()))
    if len(sizes) != int(dimension) or max(sizes) > _LONGEST:
        raise InputError(f"The header of {path} declares {dimension} dimensions of {told[:40]} voxels: export it again.")
    return sizes


def _refused(path: Path, field: str, value: str) -> InputError:
    return InputError(f"{path} has the {field} {value[:40]!r}, which is not read here: save it as one file, raw or gzip.")
