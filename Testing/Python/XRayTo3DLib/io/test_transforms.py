"""Transform files: ITK's point the other way, matrices are taken as they are, and what is not linear is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.transforms import read_transform

#: What 3D Slicer writes for a node whose matrix (to parent, RAS) turns by 30 degrees about S and shifts by 10, 20, 30 mm.
SLICER = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 0.8660254037844387 0.5 0 -0.5 0.8660254037844387 0 0 0 1 15 23.30127018922193 -30
FixedParameters: -18.660254037844386 -12.320508075688775 30
"""


@pytest.fixture
def rigid(turn: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (12.5, -30, 7)
    return matrix


def affine(matrix: np.ndarray) -> sitk.AffineTransform:
    """ITK's transform of points with a matrix."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


@pytest.mark.parametrize("ending", ["tfm", "txt"])
def test_a_transform_of_slicer_moves_the_ct_as_in_slicer(tmp_path, ending):
    path = tmp_path / f"lie.{ending}"
    path.write_text(SLICER)
    c, s = np.cos(np.pi / 6), 0.5
    in_ras = np.array([[c, -s, 0, 10], [s, c, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    np.testing.assert_allclose(read_transform(path), flip @ in_ras @ flip, atol=1e-9)


def test_the_matrix_moves_an_image_as_itk_resamples_it(tmp_path, rng):
    """A blob resampled through the file's transform lies where the matrix takes the blob's own place."""
    values = np.zeros((20, 20, 20), dtype=np.float32)
    values[8, 9, 12] = 1
    image = sitk.GetImageFromArray(values)
    place = np.array(image.TransformIndexToPhysicalPoint((12, 9, 8)))
    euler = sitk.Euler3DTransform((9, 9, 9), 0.0, 0.0, np.pi / 2, (0, 3, -2))
    sitk.WriteTransform(euler, str(tmp_path / "e.tfm"))
    moved = sitk.GetArrayFromImage(sitk.Resample(image, image, euler, sitk.sitkLinear, 0.0))
    found = np.array(np.unravel_index(moved.argmax(), moved.shape))[::-1]
    expected = read_transform(tmp_path / "e.tfm") @ [*place, 1]
    np.testing.assert_allclose(found, expected[:3], atol=1e-6)


@pytest.mark.parametrize("ending", ["tfm", "txt", "h5", "mat"])
def test_linear_transforms_and_composites_in_every_format(tmp_path, rigid, ending):
    shift = np.eye(4)
    shift[:3, 3] = (1, 2, 3)
    path = str(tmp_path / f"t.{ending}")
    sitk.WriteTransform(affine(rigid), path)
    np.testing.assert_allclose(read_transform(path), np.linalg.inv(rigid), atol=1e-9)
    sitk.WriteTransform(sitk.TranslationTransform(3, (1, 2, 3)), path)
    np.testing.assert_allclose(read_transform(path), np.linalg.inv(shift), atol=1e-12)
    if ending == "mat":
        return  # this format holds a single transform
    both = sitk.CompositeTransform([affine(rigid), sitk.TranslationTransform(3, (1, 2, 3))])
    sitk.WriteTransform(both, path)
    # ITK applies the one that was added last first.
    np.testing.assert_allclose(read_transform(path), np.linalg.inv(rigid @ shift), atol=1e-9)


@pytest.mark.parametrize("kind", ["Euler3DTransform", "VersorRigid3DTransform", "Similarity3DTransform", "ScaleTransform"])
def test_every_kind_of_linear_transform(tmp_path, kind, rng):
    transform = sitk.ScaleTransform(3) if kind == "ScaleTransform" else getattr(sitk, kind)()
    transform.SetParameters([0.1 * (i + 1) if i < 6 else 1.2 for i in range(len(transform.GetParameters()))])
    sitk.WriteTransform(transform, str(tmp_path / "t.tfm"))
    matrix = read_transform(tmp_path / "t.tfm")
    for point in rng.normal(size=(3, 3)) * 100:
        there = np.array(transform.TransformPoint(point.tolist()))
        np.testing.assert_allclose((matrix @ [*there, 1])[:3], point, atol=1e-9)


@pytest.mark.parametrize(
    "write",
    [
        lambda m: "# applied to the CT, LPS mm\n" + "\n".join(" ".join(map(repr, row)) for row in m.tolist()),
        lambda m: "\n".join(",".join(map(repr, row)) for row in m.tolist()) + "\n\n",
        lambda m: " ".join(map(repr, m.ravel().tolist())),
        lambda m: json.dumps(m.tolist()),
        lambda m: json.dumps({"matrix": m.tolist()}),
        lambda m: json.dumps(m.ravel().tolist()),
    ],
)
def test_a_matrix_is_applied_as_it_is(tmp_path, rigid, write):
    path = tmp_path / "m.txt"
    path.write_text(write(rigid))
    np.testing.assert_array_equal(read_transform(path), rigid)


def test_what_is_not_linear_is_refused_with_what_to_do(tmp_path):
    spline = sitk.BSplineTransform(3)
    field = sitk.DisplacementFieldTransform(sitk.Image((4, 4, 4), sitk.sitkVectorFloat64, 3))
    mixed = sitk.CompositeTransform([sitk.Euler3DTransform(), spline])
    for name, transform in (("spline", spline), ("field", field), ("mixed", mixed)):
        path = tmp_path / f"{name}.h5"
        sitk.WriteTransform(transform, str(path))
        with pytest.raises(InputError, match=rf"{name}\.h5 is not linear.*Harden"):
            read_transform(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n", "4x4 matrix"),
        ("1 0 0 0\n0 1 0 0\n0 0 1\n0 0 0 1\n", "4x4 matrix"),
        ("hello", "4x4 matrix"),
        ("[[1, 0", "4x4 matrix"),
        ('{"rotation": 3}', "4x4 matrix"),
        ("1 0 0 nan\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "finite"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n0.1 0 0 1\n", "last line 0 0 0 1"),
        ("1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n", "singular"),
    ],
)
def test_bad_matrices_are_refused(tmp_path, content, words):
    (tmp_path / "m.txt").write_text(content)
    with pytest.raises(InputError, match=words):
        read_transform(tmp_path / "m.txt")


def test_files_that_are_no_transforms_are_refused(tmp_path):
    with pytest.raises(InputError, match="check the path"):
        read_transform(tmp_path / "gone.tfm")
    for ending in ("tfm", "h5", "mat"):
        (tmp_path / f"bad.{ending}").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
        with pytest.raises(InputError, match="not a transform file that ITK reads"):
            read_transform(tmp_path / f"bad.{ending}")
    (tmp_path / "picture.bin").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="neither an ITK transform nor a 4x4 matrix"):
        read_transform(tmp_path / "picture.bin")
    sitk.WriteTransform(sitk.AffineTransform(2), str(tmp_path / "flat.tfm"))
    with pytest.raises(InputError, match="2 dimensions"):
        read_transform(tmp_path / "flat.tfm")
    sitk.WriteTransform(sitk.ScaleTransform(3, (1, 1, 0)), str(tmp_path / "zero.tfm"))
    with pytest.raises(InputError, match="singular"):
        read_transform(tmp_path / "zero.tfm")
