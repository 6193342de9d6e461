"""Linear transforms from files, as the 4x4 matrix (LPS mm) that is applied to a CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import read_text_file
from XRayTo3DLib.io.matrices import numbers_in

#: How a text file of ITK begins.
_ITK_TEXT = b"#Insight Transform File"
_ITK_ENDINGS = (".tfm", ".h5", ".hdf5", ".mat")


def read_transform(path: str | Path) -> np.ndarray:
    """The 4x4 matrix (LPS mm, float64) of a transform file: it takes a point of the CT to where the CT is moved.

    - ITK transform files (.tfm, .txt, .h5, .mat) that are linear: affine, Euler, versor, similarity, translation and
      composites of these. ITK resamples with them, so they take points of the *result* to points of the image that is
      moved (ITK Software Guide, "Geometric Transformations"; Slicer calls it "from parent"). The matrix returned is the
      inverse: a transform that was saved by 3D Slicer moves the CT as it does in Slicer, and one found by a registration
      (SimpleITK, ANTs) moves the moving image onto the fixed one.
    - a 4x4 matrix as text (four lines of four numbers, # begins a comment) or JSON (a list of four lists of four, or
      that as "matrix"): applied to the CT as it is, points as columns, LPS mm.

    Raises :class:`InputError` for a transform that is not linear, not 3D or not invertible, and for any other file.
    """
    source = Path(path)
    content = read_text_file(source, "transform file")
    if source.suffix.lower() in _ITK_ENDINGS or content.startswith(_ITK_TEXT):
        matrix = _itk_matrix(source)
    else:
        matrix = _text_matrix(content, source)
    if not np.isfinite(matrix).all() or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-9:
        raise InputError(f"The matrix in {source} is no linear transform: its numbers must be finite and its last line 0 0 0 1.")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise InputError(f"The matrix in {source} is singular, it would flatten the CT: export the transform again.")
    return matrix


def _itk_matrix(source: Path) -> np.ndarray:
    """What moves an image in ITK's sense: the inverse of the stored map of points."""
    try:
        transform = sitk.ReadTransform(str(source))
    except (RuntimeError, KeyError, UnicodeDecodeError):  # a kind that SimpleITK does not know; a message that is no text
        raise InputError(
            f"{source} is not a transform file that ITK reads: give a linear .tfm, .txt, .h5 or .mat file, or a 4x4 matrix as text."
        ) from None
    if transform.GetDimension() != 3:
        raise InputError(f"The transform in {source} has {transform.GetDimension()} dimensions: give one of 3D points.")
    if not transform.IsLinear():
        raise InputError(
            f"The transform in {source} is not linear (a B-spline or a displacement field, perhaps): apply it to the CT first "
            "(in Slicer: Harden transform) and give the result."
        )
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    axes = [np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()]
    stored = np.eye(4)
    stored[:3, :3], stored[:3, 3] = np.stack(axes, axis=1), origin
    return np.linalg.inv(stored) if abs(np.linalg.det(stored)) > 1e-9 else np.diag([0.0, 0.0, 0.0, 1.0])


def _text_matrix(content: bytes, source: Path) -> np.ndarray:
    numbers = numbers_in(content)
    if numbers.shape in ((1, 16), (16,)):
        numbers = numbers.reshape(4, 4)
    if numbers.shape != (4, 4):
        raise InputError(
            f"{source} holds neither an ITK transform nor a 4x4 matrix: give a linear .tfm, .txt, .h5 or .mat file, or four "
            "lines of four numbers (LPS mm)."
        )
    return numbers
