"""CTs are read as they lie, whatever the order of their axes, and told apart by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name, case_names, ct_files, read_case
from XRayTo3DLib.evaluation.protocol import PROTOCOLS
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.simulation.phantom import thorax_phantom

#: A scan's origin and spacing are seldom round numbers, and NIfTI keeps them in single precision.
SPACING, ORIGIN = (6.1, 5.9, 7.3), (-123.4567891, 98.7654321, -1234.5678912)


@pytest.fixture(scope="module")
def phantom_ct() -> Volume:
    made = thorax_phantom().volume(Grid.centred((0, 0, 0), (56, 40, 48), (7.0, 7.0, 7.3)), supersample=1)
    array = np.rint(made.array).astype(np.int16)
    array[:, :, :20] += 25  # left is left
    return Volume(array, Grid(made.grid.size, SPACING, ORIGIN))


def stored(ct: Volume, order: str, path: Path) -> Path:
    """The CT written with its axes in another order, with the labels of its bright and dark voxels beside it."""
    for array, name in (
        (ct.array, path),
        ((ct.array > 100).astype(np.uint8) + 1, path.with_name(f"{case_name(path)}.labels.nii.gz")),
    ):
        sitk.WriteImage(sitk.DICOMOrient(to_sitk(array, ct.grid), order), str(name))
    return path


def test_every_order_of_axes_is_the_same_case_to_the_last_digit(phantom_ct, tmp_path):
    lps = read_case(stored(phantom_ct, "LPS", tmp_path / "lps.nii.gz"))
    assert (lps.truth.array > -300).mean() > 0.2 and set(np.unique(lps.labels)) == {0, 1, 2}
    for order in ("RAS", "LPI", "RAI", "PIR", "SLA"):
        other = read_case(stored(phantom_ct, order, tmp_path / f"{order}.nii.gz"))
        np.testing.assert_array_equal(other.truth.array, lps.truth.array, err_msg=order)
        np.testing.assert_array_equal(other.labels, lps.labels, err_msg=order)
        assert other.truth.grid.same_as(lps.truth.grid, 0) and other.ct.grid.same_as(lps.ct.grid, 0)


def test_an_oblique_ct_is_where_it_is(phantom_ct, tmp_path):
    """Turned 12 degrees about the long axis and tilted by 5, the voxels lie where they lay."""
    straight = read_case(stored(phantom_ct, "LPS", tmp_path / "straight.nii.gz"))
    a, b = np.radians([12, 5])
    about = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    direction = about @ tilt @ np.diag([-1.0, -1.0, 1.0])
    fine, size = (3.0, 3.0, 3.0), (150, 130, 125)
    first = phantom_ct.grid.centre - direction @ ((np.array(size) - 1) / 2 * fine)
    image = sitk.Resample(
        to_sitk(phantom_ct.array, phantom_ct.grid), size, sitk.Transform(), sitk.sitkLinear, first.tolist(), fine,
        direction.ravel().tolist(), -1000,
    )  # fmt: skip
    sitk.WriteImage(image, str(tmp_path / "oblique.nii.gz"))
    oblique = read_case(tmp_path / "oblique.nii.gz")
    # The turned box reaches higher than the straight scan, so the two grids differ by a shift along z alone.
    found, wanted = (case.truth.array > -300 for case in (oblique, straight))
    overlaps = []
    for shift in range(16):
        a, b = found[: 64 - shift], wanted[shift:]
        overlaps.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert max(overlaps) > 0.97, overlaps


def test_names_end_where_a_known_ending_begins(tmp_path):
    uid = "1.2.840.113619.2.55.3.604688119"
    table = {
        f"{uid}.nii.gz": uid, f"{uid}.1.nrrd": f"{uid}.1", "a.b.mha": "a.b", "A.NII.GZ": "A", uid: uid, ".nii": ".nii",
        "x.gz": "x.gz",
    }  # fmt: skip
    assert {name: case_name(tmp_path / name) for name in table} == table
    paths = [tmp_path / p for p in ("one/p.nii.gz", "two/p.nii.gz", "two/q.nii", "two/q.nrrd", "r.mha")]
    names = case_names(paths)
    assert len(set(names)) == 5
    assert names[:2] == ["one/p", "two/p"] and names[4] == "r"


def test_files_of_a_folder(phantom_ct, tmp_path):
    for name in ("b.1.nii.gz", "a.nrrd", "c.labels.nii.gz", "d.seg.nrrd", ".part-1-e.nii.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.mha").mkdir()
    assert [p.name for p in ct_files(tmp_path)] == ["a.nrrd", "b.1.nii.gz"]
    assert [p.name for p in ct_files([tmp_path, tmp_path / "a.nrrd"])] == ["a.nrrd", "b.1.nii.gz"]


def test_a_grid_of_air_is_refused(tmp_path):
    grid = Grid((24, 24, 90), (1.0, 1.0, 1.0))
    array = np.full(grid.shape, -1000, np.int16)
    array[80, 11:13, 11:13] = 400  # falls between the voxels of the protocol
    write_volume(Volume(array, grid), tmp_path / "speck.nii.gz")
    with pytest.raises(InputError, match=r"speck.nii.gz hold no body"):
        read_case(tmp_path / "speck.nii.gz")


def test_the_grid_of_a_protocol(phantom_ct, tmp_path):
    case = read_case(stored(phantom_ct, "RAS", tmp_path / "ras.nii.gz"), PROTOCOLS["chest128"], "chest")
    assert case.name == "chest" and case.truth.grid.same_as(Grid.centred((0, 0, 0), 128, 2.5), 1e-9)
    # The scan's top slice is the grid's, and the body's middle its middle.
    top = case.ct.grid.origin[2] + (case.ct.grid.size[2] - 1) * case.ct.grid.spacing[2]
    assert top == pytest.approx(127 * 1.25)
    columns = np.flatnonzero((case.truth.array[-72:] > -300).any(axis=(0, 1)))
    assert columns[[0, -1]].mean() == pytest.approx(63.5, abs=2.5)
