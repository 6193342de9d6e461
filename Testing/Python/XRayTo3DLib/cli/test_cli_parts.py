"""The command line's parts: options, output folders, matched detectors and segmentation files."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from tables import each

from XRayTo3DLib.cli.options import count, detector_size, per_view, pixel_spacing, positive
from XRayTo3DLib.cli.outputs import staged, write_json
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.pixel_matching import coarse, matched
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.matrices import read_projection_matrix
from XRayTo3DLib.io.segmentations import write_segmentation
from XRayTo3DLib.reconstruction.calibration.curve import Curve
from XRayTo3DLib.reconstruction.calibration.scale import Scale
from XRayTo3DLib.reconstruction.refine import with_detail
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.simulation.phantom import thorax_phantom


class TestOptions:
    def test_general_and_own_values(self):
        assert per_view(["lat=1,0.5"], ["LAT"], "--spacing", pixel_spacing) == {"LAT": (1.0, 0.5)}
        with pytest.raises(InputError, match="not a pixel spacing"):
            per_view(["1,2,3"], ["LAT"], "--spacing", pixel_spacing)
        found = per_view(["1", "lat=2"], ["AP", "LAT", "RAO20"], "--spacing", positive)
        assert found == {"AP": 1.0, "LAT": 2.0, "RAO20": 1.0}
        assert per_view(None, ["AP"], "--sdd", positive) == {}

    def test_own_value_wins_wherever_it_stands(self):
        assert per_view(["AP=2", "1"], ["AP"], "--sdd", positive) == {"AP": 2.0}

    @each("text", ["0", "-1", "nan", "inf", "x", ""])
    def test_positive_refuses(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            positive(text)

    def test_sizes(self):
        assert detector_size("512") == (512, 512) and detector_size("300x400") == (300, 400) and count("3") == 3
        for text in ("1", "3x", "2x3x4", "20000"):
            with pytest.raises(argparse.ArgumentTypeError):
                detector_size(text)

    @pytest.mark.parametrize(
        "text",
        [
            "1 2 3 4\n5 6 7 8\n9 10 11 12\n",
            "# scanner 3\n1, 2, 3, 4\n\n5; 6; 7; 8\n9 10 11 12",
            "1 2 3 4 5 6 7 8 9 10 11 12",
            "[[1,2,3,4],[5,6,7,8],[9,10,11,12]]",
            '{"matrix": [[1,2,3,4],[5,6,7,8],[9,10,11,12]]}',
        ],
    )
    def test_matrix_files(self, tmp_path, text):
        (tmp_path / "m").write_text(text)
        np.testing.assert_array_equal(read_projection_matrix(tmp_path / "m"), np.arange(1, 13).reshape(3, 4))

    @pytest.mark.parametrize("text", ["", "one two", "1 2 3\n4 5 6\n7 8 9", "[1, [2]]", '{"other": 1}', "1 2 3 4\n5 6 7"])
    def test_files_that_hold_no_matrix(self, tmp_path, text):
        (tmp_path / "m").write_text(text)
        with pytest.raises(InputError, match="does not hold a 3x4 matrix"):
            read_projection_matrix(tmp_path / "m")


class TestOutputs:
    def test_files_appear_together(self, tmp_path):
        with staged(tmp_path / "a" / "b") as folder:
            (folder / "x.txt").write_text("x")
            assert not (tmp_path / "a" / "b" / "x.txt").exists()
        assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["x.txt"]

    def test_a_failure_leaves_what_was_there(self, tmp_path):
        (tmp_path / "x.txt").write_text("old")
        with pytest.raises(ValueError, match="mine"), staged(tmp_path) as folder:
            (folder / "x.txt").write_text("new")
            raise ValueError("mine")
        assert [p.name for p in tmp_path.iterdir()] == ["x.txt"] and (tmp_path / "x.txt").read_text() == "old"

    def test_json_has_no_nan(self, tmp_path):
        write_json({"a": float("nan"), "b": [np.float32(1.5), np.int64(2), (np.inf,)], 3: np.eye(2)}, tmp_path / "m.json")
        assert json.loads((tmp_path / "m.json").read_text()) == {"a": None, "b": [1.5, 2, [None]], "3": [[1, 0], [0, 1]]}


class TestDetail:
    @each("distance", [None, 1500.0])
    def test_matched_pixels_measure_the_same_rays(self, distance):
        """Means of exact line integrals are close to exact line integrals at the larger pixels' centres."""
        phantom = thorax_phantom()
        fine = view_projection("LAO20", (5, 6, 7), (150, 131), 3.0, distance)
        radiograph = Radiograph(phantom.line_integrals(fine).astype(np.float32), fine, "LAO20")
        found = matched(radiograph, 10.0, np.array([5.0, 6.0, 7.0]))
        factor = 3 if distance is None else 4  # a voxel of 10 mm is 12.5 mm wide on a detector at 1.25 of the distance
        assert found.projection.spacing == (3.0 * factor, 3.0 * factor)
        inside = (slice(None, -1), slice(None, -1))  # the last blocks repeat the edge

        def error(projection):
            exact = phantom.line_integrals(projection)
            return np.abs(found.line_integrals - exact)[inside].mean() / exact.mean()

        own = found.projection
        assert error(own) < 0.04
        # A fine pixel off is seen.
        for direction in (own.row_direction, own.column_direction):
            assert error(own) < min(error(replace(own, origin=own.origin + s * 3 * direction)) for s in (-1, 1))

    def test_coarse_pixels_stay_as_they_are(self):
        radiograph = Radiograph(np.ones((8, 8), np.float32), view_projection("AP", (0, 0, 0), (8, 8), 8.0, None), "AP")
        assert matched(radiograph, 10.0, np.zeros(3)) is radiograph

    def test_detail_keeps_the_fitted_gain_and_offset(self):
        grid = Grid.centred((0, 0, 0), 16, 20.0)
        volume = Volume(np.full(grid.shape, 0.01, np.float32), grid, "1/mm")
        projection = view_projection("AP", (0, 0, 0), (64, 64), 5.0, 1500.0)
        truth = reproject(volume, [Radiograph(np.zeros((64, 64), np.float32), projection)])[0]
        picture = Radiograph((truth + 0.3) / 2.5, projection, "AP", unknown=("offset", "gain"))
        small = coarse([picture], grid)[0]
        scale = Scale(Curve(0.12, 1.12, 2.5), "chest", "frontal", picture.unknown)
        used = scale.of(small)
        kept = {"notes": [], "scales": (scale,)}
        found = Reconstruction(volume, volume, None, [used], [used.line_integrals], [0.0], [0.0], "m", "0", 1.0, 1.0, **kept)
        fine = with_detail(found, [picture], 5.0).radiographs[0]
        assert fine.projection.size == (64, 64)
        inside = truth > 0.5
        np.testing.assert_allclose(fine.line_integrals[inside], truth[inside], atol=1e-4)


@pytest.fixture
def labelmap() -> Labelmap:
    array = np.zeros((10, 12, 14), np.uint8)
    array[2:8, 3:9, 4:10] = 1
    array[4:6, 4:6, 5:7] = 3
    grid = Grid((14, 12, 10), (2.0, 3.0, 4.0), (10.0, -20.0, 30.0))
    return Labelmap(array, grid, {1: "body", 2: "lungs", 3: "left <hip>"})


class TestSegmentationFile:
    def test_simpleitk_reads_labels_and_place(self, labelmap, tmp_path):
        write_segmentation(labelmap, tmp_path / "s.seg.nrrd")
        image = sitk.ReadImage(str(tmp_path / "s.seg.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labelmap.array)
        assert image.GetSpacing() == (2, 3, 4) and image.GetOrigin() == (10, -20, 30)
        assert image.GetMetaData("Segment0_Extent") == "0 13 0 11 0 9"
        assert image.GetMetaData("Segment2_LabelValue") == "3"

    def test_slicer_reads_names_and_colours(self, labelmap, tmp_path):
        slicer = pytest.importorskip("slicer", reason="needs slicer-core")
        from XRayTo3DSlicer import headless
        from XRayTo3DSlicer.nodes import segmentation_nodes

        headless.start()
        write_segmentation(labelmap, tmp_path / "s.seg.nrrd")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
        try:
            assert storage.ReadData(node)
            segments = [node.GetSegmentation().GetNthSegment(i) for i in range(3)]
            assert [s.GetName() for s in segments] == ["body", "lungs", "left <hip>"]
            np.testing.assert_allclose(segments[0].GetColor(), (0.502, 0.682, 0.502), atol=1e-3)
            found = segmentation_nodes.segmentation_from_node(node)
            assert found.names == labelmap.names
            np.testing.assert_array_equal(found.array, labelmap.array)
            assert found.grid.same_as(labelmap.grid)
        finally:
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
