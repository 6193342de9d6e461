"""A radiograph's mask as one line of text, for where only text can be kept."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np

from XRayTo3DLib.errors import InputError


def mask_to_text(valid: np.ndarray) -> str:
    """``valid`` (bool, [row, column]) packed to bits, deflated, in base64."""
    return base64.b64encode(zlib.compress(np.packbits(np.asarray(valid, dtype=bool)).tobytes(), 9)).decode("ascii")


def mask_from_text(text: str, size: tuple[int, int], name: str) -> np.ndarray:
    """The mask of ``size`` (rows, columns) that :func:`mask_to_text` wrote; :class:`InputError` for any other text."""
    count = size[0] * size[1]
    length = -(-count // 8)
    try:
        inflate = zlib.decompressobj()
        packed = inflate.decompress(base64.b64decode(text, validate=True), length + 1)
    except (binascii.Error, ValueError, zlib.error):
        packed = b""
    if len(packed) != length:
        raise InputError(f"The mask of {name} is damaged or of another picture: load or make the X-ray again.")
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(bool).reshape(size)
