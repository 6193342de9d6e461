"""Matrices as text or JSON, as people and programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, read_text_file


def read_projection_matrix(path: str | Path) -> np.ndarray:
    """A 3x4 matrix (LPS mm to column, row) from a file: three lines of four numbers, or a list of three lists of four as JSON."""
    matrix = numbers_in(read_text_file(path, "matrix file"))
    if matrix.shape == (1, 12):
        matrix = matrix.reshape(3, 4)
    if matrix.shape != (3, 4):
        raise InputError(
            f"{path} does not hold a 3x4 matrix: write three lines of four numbers (LPS mm to column, row), or the same as JSON; "
            "camera files of Autoscoper, RTK's geometry (.xml) and projections as JSON are read too."
        )
    return matrix


def numbers_in(content: bytes) -> np.ndarray:
    """The numbers of a text, a row a line (# begins a comment), or of JSON: a list of lists, or that as "matrix"; else empty."""
    try:
        text = content.decode("utf-8")
        if text.lstrip().startswith(("[", "{")):
            found = parse_json(text, "The matrix")
            return np.array(found["matrix"] if isinstance(found, dict) else found, dtype=np.float64)
        lines = [line.split("#")[0].replace(",", " ").replace(";", " ").split() for line in text.splitlines()]
        return np.array([line for line in lines if line], dtype=np.float64)
    except (InputError, ValueError, KeyError, TypeError, OverflowError):  # no text, no JSON, no numbers, lines of different lengths
        return np.zeros(0)
