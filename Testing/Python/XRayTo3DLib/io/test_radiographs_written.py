"""Radiographs that are written, and what is read back of them."""

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io import radiographs
from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("distance", [1234.5, None])
@pytest.mark.parametrize("unknown", [(), ("offset",), ("offset", "gain", "curve")])
def test_a_written_radiograph_comes_back_exactly(tmp_path, rng, ending, distance, unknown):
    projection = view_projection("LAO33CRAN7", (1 / 3, -20.7, 31), (6, 8), (0.71, 0.3), distance)
    values = rng.uniform(-0.1, 5, (6, 8)).astype(np.float32)
    values[0, 0] = 1e30
    path = tmp_path / f"a{ending}"
    notes = ('A beam of 90 kV ("hard").', "Ä = 2\n3.")
    write_radiograph(Radiograph(values, projection, "LAO33CRAN7", unknown, notes), path)
    found = read_radiograph(path)
    assert np.array_equal(found.line_integrals, values)
    assert (found.name, found.unknown, found.notes) == ("LAO33CRAN7", unknown, notes)
    for name in ("origin", "row_direction", "column_direction", "source", "ray_direction", "spacing"):
        own, other = getattr(found.projection, name), getattr(projection, name)
        assert (own is None) == (other is None)
        if own is not None:
            assert np.abs(np.subtract(own, other)).max() < 1e-12
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("view", ["AP", "PA", "RLAT", "LAO33CRAN7", "CAUD40"])
@pytest.mark.parametrize("distance", [1234.5, None])
def test_nifti_keeps_the_geometry_to_a_thousandth_of_a_millimetre(tmp_path, rng, ending, view, distance):
    projection = view_projection(view, (123 / 3, -220.7, 1031.123), (300, 400), (0.71, 0.3), distance)
    values = rng.uniform(-0.1, 5, (300, 400)).astype(np.float32)
    unknown = () if distance is None else ("gain",)
    write_radiograph(Radiograph(values, projection, view, unknown, ("lost",)), tmp_path / f"a{ending}")
    found = read_radiograph(tmp_path / f"a{ending}")
    assert np.array_equal(found.line_integrals, values)
    assert (found.name, found.unknown, found.notes) == (view, unknown, ())
    corners = np.array([[0, 0], [0, 399], [299, 0], [299, 399]])
    assert np.abs(found.projection.pixel_positions(corners) - projection.pixel_positions(corners)).max() < 1e-3
    for name in ("source", "ray_direction"):
        own, other = getattr(found.projection, name), getattr(projection, name)
        assert (own is None) == (other is None)
        assert own is None or np.abs(own - other).max() < (1e-3 if name == "source" else 1e-8)
    with pytest.raises(InputError, match="choose the right file"):
        read_radiograph(tmp_path / f"a{ending}", "LLAT" if view != "LLAT" else "AP")


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii", ".dcm"])
def test_a_scanned_beam_comes_back_as_one(tmp_path, rng, ending):
    for axis in ("column", "row"):
        projection = view_projection("LLAT", (123 / 3, -220.7, 1031.123), (30, 40), (0.71, 0.3), 1085.0, 595.0, scan_axis=axis)
        radiograph = Radiograph(rng.uniform(0, 5, (30, 40)).astype(np.float32), projection, "LLAT", ("offset", "gain"))
        write_radiograph(radiograph, tmp_path / f"a{ending}")
        found = read_radiograph(tmp_path / f"a{ending}")
        assert (found.projection.scan_axis, found.name, found.unknown) == (axis, "LLAT", ("offset", "gain"))
        assert found.projection.source_to_detector == pytest.approx(1085.0, abs=1e-3)
        points = projection.pixel_positions(rng.uniform(0, 30, (9, 2))) - 400 * projection.normal
        assert found.projection.project(points) == pytest.approx(projection.project(points), abs=0.02)
        if ending != ".nii":
            assert found.projection == projection
            assert read_radiograph(tmp_path / f"a{ending}", isocentre=(0, 0, 0)).projection.scan_axis == axis


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("name", ["", "Ä" * 20, "two\nlines", "a = b: c", '"AP"'])
def test_names_of_any_kind_are_written(tmp_path, rng, ending, name):
    projection = view_projection("AP", size=(6, 8), spacing=2.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, name), tmp_path / f"a{ending}")
    found = read_radiograph(tmp_path / f"a{ending}").name
    assert found == (name if ending != ".nii.gz" else name.replace("\n", " ").encode()[:23].decode(errors="ignore"))


def test_a_written_radiograph_stands_at_its_detector(tmp_path, rng):
    projection = view_projection("RLAT", (5, 6, 7), (6, 8), (0.5, 0.25), 1000.0, 700.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, "RLAT"), tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    for row, column in ((0, 0), (5, 7), (2, 6)):
        point = image.TransformIndexToPhysicalPoint((column, row, 0))
        assert point == pytest.approx(projection.pixel_positions(np.array([[row, column]]))[0])


def test_a_named_view_must_agree_with_the_stored_geometry(tmp_path, rng):
    projection = view_projection("AP+10", size=(6, 8), spacing=2.0)
    write_radiograph(Radiograph(rng.random((6, 8), dtype=np.float32), projection, "front"), tmp_path / "a.nrrd")
    found = read_radiograph(tmp_path / "a.nrrd", "AP")
    assert found.name == "AP" and found.projection.matrix == pytest.approx(projection.matrix)
    for wrong in ("LAT", "PA"):
        with pytest.raises(InputError, match="choose the right file"):
            read_radiograph(tmp_path / "a.nrrd", wrong)
    anew = read_radiograph(tmp_path / "a.nrrd", "LAT", source_to_detector=1000.0)
    assert anew.projection.beam_direction == pytest.approx([1, 0, 0]) and anew.projection.spacing == pytest.approx(
        (2, 2), abs=1e-12
    )


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_damaged_geometry_is_said_and_can_be_passed_by(tmp_path, rng, ending):
    image = sitk.GetImageFromArray(rng.random((1, 6, 8), dtype=np.float32))
    image.SetSpacing((0.5, 0.75, 1))
    for numbers in ("1 2", "1 2 x", "1 2 nan"):
        image.SetMetaData("XRayTo3D.source", numbers)
        image.SetMetaData("ITK_FileNotes", f"XRayTo3D.source {numbers}")
        sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
        with pytest.raises(InputError, match="damaged geometry"):
            read_radiograph(tmp_path / f"a{ending}")
        found = read_radiograph(tmp_path / f"a{ending}", "AP", (0.75, 0.5), 1000.0)
        assert found.projection.source_to_detector == pytest.approx(1000)
    flat = sitk.GetImageFromArray(rng.random((6, 8), dtype=np.float32))
    flat.SetMetaData("XRayTo3D.source", "1 2 3")
    flat.SetMetaData("ITK_FileNotes", "XRayTo3D.source 1 2 3")
    sitk.WriteImage(flat, str(tmp_path / f"b{ending}"))
    with pytest.raises(InputError, match="lost the plane of its detector"):
        read_radiograph(tmp_path / f"b{ending}", "AP")


def test_a_display_picture_is_16_bit_with_bright_bone(tmp_path, pixels):
    projection = view_projection("AP", size=pixels.shape, spacing=2.0)
    write_radiograph(Radiograph(pixels.astype(np.float32) / 1000, projection, "AP"), tmp_path / "a.png")
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))
    assert image.dtype == np.uint16 and (image.min(), image.max()) == (0, 65535)
    assert image.argmax() == pixels.argmax()


def test_a_radiograph_that_cannot_be_written_leaves_nothing(tmp_path, pixels, monkeypatch):
    radiograph = Radiograph(pixels.astype(np.float32), view_projection("AP", size=pixels.shape), "AP")
    with pytest.raises(InputError, match=r"\.nrrd or \.mha"):
        write_radiograph(radiograph, tmp_path / "a.tif")

    def die(image, name, **settings):
        raise RuntimeError("disk full")

    monkeypatch.setattr(radiographs.sitk, "WriteImage", die)
    with pytest.raises(InputError, match="disk full"):
        write_radiograph(radiograph, tmp_path / "a.nrrd")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii", ".nii.gz", ".dcm"])
def test_pixels_that_are_no_measurement_are_kept_so(tmp_path, rng, ending):
    values, valid = rng.uniform(0, 5, (6, 8)).astype(np.float32), rng.random((6, 8)) > 0.3
    for unknown in (("offset", "gain"), ()):
        made = Radiograph(values, view_projection("AP", size=(6, 8), spacing=2.0), "AP", unknown, valid=valid)
        write_radiograph(made, tmp_path / f"a{ending}")
        for given in ({}, {"view": "LAT", "spacing": 1.0}):  # in its own geometry and in another
            found = read_radiograph(tmp_path / f"a{ending}", **given)
            assert np.array_equal(found.valid, valid) and np.abs(found.line_integrals - values)[valid].max() < 1e-3
            assert np.isfinite(found.line_integrals).all() and found.unknown == unknown
    if ending == ".nrrd":  # a NaN of another program's file means nothing that is known
        image = sitk.ReadImage(tmp_path / "a.nrrd")
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        sitk.WriteImage(image, tmp_path / "other.nrrd")
        with pytest.raises(InputError, match="NaN"):
            read_radiograph(tmp_path / "other.nrrd", "AP", spacing=1.0)
