"""X-rays of single structures: path lengths and attenuation that add up, cropped without loss, and label files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.itk_images import to_sitk
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.io.segmentations import read_labelmap
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.simulation.structures import project_structures


@pytest.fixture
def grid(turn: np.ndarray) -> Grid:
    """An oblique, anisotropic grid of 20 x 24 x 16 voxels around the origin."""
    centred = Grid((20, 24, 16), (2.0, 1.5, 3.0), (0, 0, 0), turn)
    return replace(centred, origin=tuple(-centred.centre))


@pytest.fixture
def labelmap(grid: Grid) -> Labelmap:
    """A block inside, a block that reaches the border of the grid, and a single voxel without a name."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[3:9, 5:15, 4:12] = 3
    labels[10:, 12:, 9:] = 1
    labels[12, 3, 3] = 7
    return Labelmap(labels, grid, {3: "liver", 1: "bone", 5: "spleen"})


@pytest.fixture
def ct(grid: Grid, rng: np.random.Generator) -> Volume:
    return Volume(rng.uniform(-900, 1200, grid.shape).astype(np.float32), grid)


def views(size: tuple[int, int] = (50, 60)) -> list[Projection]:
    return [view_projection(view, (0, 0, 0), size, 2.0, distance) for view, distance in (("AP", 900.0), ("LAO30CRAN10", None))]


def indicator(labelmap: Labelmap, label: int, projection: Projection) -> np.ndarray:
    """The whole label map's line integral, uncropped."""
    return project((labelmap.array == label).astype(np.float32), labelmap.grid, [projection])[0].numpy()


def test_channels_are_path_lengths_in_the_order_of_the_names(labelmap):
    found = project_structures(labelmap, views(), ["front", "arm"])
    assert [view.name for view in found] == ["front", "arm"]
    for view, projection in zip(found, views(), strict=True):
        assert view.names == {3: "liver", 1: "bone", 5: "spleen", 7: "label 7"}
        assert view.channels.dtype == np.float32 and view.channels.shape == (4, 50, 60) and view.unit == "mm"
        for channel, label in zip(view.channels, view.names, strict=True):
            np.testing.assert_allclose(channel, indicator(labelmap, label, projection), atol=2e-4)
        assert not view.channel("spleen").any()
        np.testing.assert_array_equal(view.channel("bone"), view.channel(1))


def test_a_slab_is_as_thick_as_it_is():
    grid = Grid.centred((0, 0, 0), (40, 30, 40), 2.0)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[:, 10:15] = 2  # five voxels of 2 mm from front to back
    view = project_structures(Labelmap(labels, grid, {}), [view_projection("AP", size=(10, 10), source_to_detector=None)])[0]
    np.testing.assert_allclose(view.channels, 10, rtol=1e-5)
    assert view.names == {2: "label 2"} and view.name == "view 1"


def test_structures_of_a_ct_and_the_rest_add_up_to_its_drr(labelmap, ct):
    with_rest = replace(labelmap, names={0: "rest", **labelmap.names})
    whole = project(to_attenuation(ct).array, ct.grid, views())
    for view, drr in zip(project_structures(with_rest, views(), volume=ct), whole, strict=True):
        assert view.unit == "1" and list(view.names) == [0, 3, 1, 5, 7]
        np.testing.assert_allclose(view.channels.sum(axis=0), drr.numpy(), atol=1e-5 * float(drr.max()))
    # Without being named, the rest is no channel.
    for view, other in zip(project_structures(labelmap, views(), volume=ct), views(), strict=True):
        assert 0 not in view.names
        inside = np.where(labelmap.array == 3, to_attenuation(ct).array, 0)
        np.testing.assert_allclose(view.channel(3), project(inside, ct.grid, [other])[0].numpy(), atol=1e-5)


def test_labels_on_another_grid_are_brought_onto_that_of_the_ct(labelmap, ct):
    fine = Grid((40, 48, 32), (1.0, 0.75, 1.5), tuple((ct.grid.affine @ [-0.25, -0.25, -0.25, 1])[:3]), ct.grid.direction)
    split = np.repeat(np.repeat(np.repeat(labelmap.array, 2, 0), 2, 1), 2, 2)
    first = project_structures(Labelmap(split, fine, labelmap.names), views(), volume=ct)
    second = project_structures(labelmap, views(), volume=ct)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.channels, other.channels)


def test_a_transform_moves_labels_and_ct_together(labelmap, ct, turn):
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turn, (7, -9, 4)
    grid = labelmap.grid
    affine = move @ grid.affine
    there = replace(grid, origin=tuple(affine[:3, 3]), direction=turn @ grid.direction)
    for volume in (None, ct):
        moved = None if volume is None else replace(volume, grid=there)
        expected = project_structures(replace(labelmap, grid=there), views(), volume=moved)
        for one, other in zip(project_structures(labelmap, views(), volume=volume, transform=move), expected, strict=True):
            np.testing.assert_allclose(one.channels, other.channels, atol=1e-4)


def test_masks_and_contours_outline_the_shadow():
    """A ball of 20 mm radius, 40 mm nearer to the source than the isocentre: its outline is a circle, enlarged."""
    grid = Grid.centred((0, -40, 0), 48, 1.0)
    centres = np.stack(np.meshgrid(*[np.arange(48)] * 3, indexing="ij"), axis=-1)[..., ::-1] - 23.5
    labels = (np.linalg.norm(centres, axis=-1) <= 20).astype(np.uint8)
    projection = view_projection("AP", (0, 0, 0), (80, 100), (1.0, 0.8), 1000.0, 800.0)
    view = project_structures(Labelmap(labels, grid, {1: "ball"}), [projection], ["AP"])[0]
    radius = 1000 * np.tan(np.arcsin(20 / 760))
    mask = view.masks()
    assert mask.dtype == bool and mask.shape == (1, 80, 100)
    voxel = 1000 / 760  # magnified
    # Half a voxel outside, because edges are blurred and the farthest voxel makes the outline.
    assert mask.sum() * 0.8 == pytest.approx(np.pi * (radius + voxel / 2) ** 2, rel=0.03)
    (outline,) = view.contours()[1]
    np.testing.assert_array_equal(outline[0], outline[-1])
    distances = np.linalg.norm(projection.pixel_positions(outline) - projection.centre, axis=1)
    assert distances == pytest.approx(radius + voxel / 2, abs=0.6 * voxel)
    # Fewer pixels pass through more of it, and half of its diameter is there.
    assert view.masks(30).sum() < view.masks(5).sum() < view.masks(0).sum()
    assert view.masks(39).any() and not view.masks(42).any()


def test_the_threshold_of_attenuation_is_mm_of_water():
    grid = Grid.centred((0, 0, 0), 20, 2.0)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[5:15, 5:15, 5:15] = 1
    water = Volume(np.zeros(grid.shape, dtype=np.float32), grid)
    projection = view_projection("AP", size=(30, 30), spacing=2.0, source_to_detector=None)
    mm, attenuation = (project_structures(Labelmap(labels, grid, {}), [projection], volume=v)[0] for v in (None, water))
    np.testing.assert_allclose(attenuation.channels, mm.channels * MU_WATER, rtol=1e-5)
    for threshold in (None, 3.0, 19.0):
        np.testing.assert_array_equal(attenuation.masks(threshold), mm.masks(threshold))
    assert not attenuation.masks(21.0).any()


def test_a_structure_becomes_a_radiograph(labelmap, ct, tmp_path):
    from XRayTo3DLib.io.radiographs import read_radiograph, write_radiograph

    paths, attenuation = (project_structures(labelmap, views()[:1], ["AP"], volume)[0] for volume in (None, ct))
    made = attenuation.radiograph("liver")
    assert made.name == "AP liver" and made.calibrated and made.projection is attenuation.projection
    np.testing.assert_array_equal(made.line_integrals, attenuation.channels[0])
    thick = paths.radiograph(3)
    assert not thick.calibrated and "mm" in thick.notes[0]
    write_radiograph(thick, tmp_path / "liver.nrrd")
    found = read_radiograph(tmp_path / "liver.nrrd")
    np.testing.assert_array_equal(found.line_integrals, paths.channel(3))
    assert found.name == "AP liver" and not found.calibrated
    for unknown in (4, "heart"):
        with pytest.raises(InputError, match=r"no structure .* in AP: it has 3 \(liver\), 1 \(bone\)"):
            attenuation.radiograph(unknown)


def test_a_structure_beside_the_beam_is_empty_and_one_behind_the_detectors_edge_is_cut(labelmap):
    whole = views()[0]
    small = Projection(
        whole.pixel_positions(np.array([[20, 25]]))[0],
        whole.row_direction,
        whole.column_direction,
        whole.spacing,
        (8, 9),
        source=whole.source,
    )
    large, cut = (project_structures(labelmap, [projection])[0] for projection in (whole, small))
    np.testing.assert_allclose(cut.channels, large.channels[:, 20:28, 25:34], atol=1e-4)
    assert not cut.channel(7).any() and large.channel(7).any()


def test_many_small_structures_are_projected_from_their_own_boxes(grid):
    big = Grid.centred((0, 0, 0), 80, 2.0)
    labels = np.zeros(big.shape, dtype=np.uint8)
    for label in range(1, 101):
        z, y, x = 7 * (label // 20) + 20, 15 * (label // 4 % 5) + 3, 18 * (label % 4) + 5
        labels[z : z + 3, y : y + 3, x : x + 3] = label
    projection = view_projection("AP", size=(160, 160), spacing=2.0)
    whole = project(labels.astype(np.float32), big, [projection])[0]
    view = project_structures(Labelmap(labels, big, {}), [projection])[0]
    assert len(view.channels) == 100
    weighted = np.tensordot(np.arange(1, 101), view.channels, axes=1)
    np.testing.assert_allclose(weighted, whole.numpy(), atol=1e-4 * float(whole.max()))


def test_progress_is_told_and_may_cancel(labelmap):
    told: list[float] = []
    project_structures(labelmap, views(), progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1 and len(told) == 5


def test_bad_label_maps_are_refused(labelmap, ct):
    def refused(words, labels=labelmap, projections=None, **more):
        with pytest.raises(InputError, match=words):
            project_structures(labels, views() if projections is None else projections, **more)

    refused("all its voxels are 0", replace(labelmap, array=np.zeros_like(labelmap.array)))
    refused("whole numbers, not float32", replace(labelmap, array=labelmap.array.astype(np.float32)))
    refused("label -2", replace(labelmap, array=labelmap.array.astype(np.int16) - 2))
    refused("1 names for 2 projections", names=["AP"])
    far = replace(labelmap, grid=replace(labelmap.grid, origin=(5000.0, 0.0, 0.0)))
    refused("misses the volume", far)
    refused("overlap in space", far, volume=ct)
    refused("4x4", transform=np.eye(3))
    broken = ct.array.copy()
    broken[5, 8, 8] = np.nan
    refused("NaN", volume=replace(ct, array=broken))
    many = replace(labelmap, array=np.arange(labelmap.array.size, dtype=np.uint16).reshape(labelmap.array.shape) % 200)
    refused(r"need \d+ GB", many, [view_projection("AP", size=(8000, 8000), spacing=0.01)])
    with pytest.raises(InputError, match="threshold"):
        project_structures(labelmap, views())[0].masks(-1)


# Files


def test_label_images_are_read(tmp_path, labelmap):
    for ending, kind in (("nrrd", np.uint8), ("nii.gz", np.int16), ("mha", np.int64), ("nii", np.float32)):
        sitk.WriteImage(to_sitk(labelmap.array.astype(kind), labelmap.grid), str(tmp_path / f"a.{ending}"))
        found = read_labelmap(tmp_path / f"a.{ending}")
        assert found.array.dtype == np.uint8
        np.testing.assert_array_equal(found.array, labelmap.array)
        assert found.grid.same_as(labelmap.grid)
        assert found.names == {1: "label 1", 3: "label 3", 7: "label 7"}


def test_a_segmentation_brings_its_names(tmp_path, labelmap):
    from XRayTo3DLib.io.segmentations import write_segmentation

    write_segmentation(labelmap, tmp_path / "a.seg.nrrd")
    found = read_labelmap(tmp_path / "a.seg.nrrd")
    assert found.names == {3: "liver", 1: "bone", 5: "spleen", 7: "label 7"}
    np.testing.assert_array_equal(found.array, labelmap.array)


def test_overlapping_segments_in_layers(tmp_path, grid):
    """As Slicer saves them: one component a layer, and the label of a segment is only unique in its layer."""
    layers = np.zeros((*grid.shape, 2), dtype=np.uint8)
    layers[2:8, 4:10, 4:10, 0] = 1
    layers[10:12, 4:10, 4:10, 0] = 2
    layers[6:11, 6:8, 6:8, 1] = 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    image.CopyInformation(to_sitk(layers[..., 0], grid))
    for number, (name, label, layer) in enumerate((("liver", 1, 0), ("Niere", 2, 0), ("tumour", 1, 1))):
        for field, value in (("Name", name), ("LabelValue", label), ("Layer", layer)):
            image.SetMetaData(f"Segment{number}_{field}", str(value))
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    found = read_labelmap(tmp_path / "a.seg.nrrd")
    assert found.names == {1: "liver", 2: "Niere", 3: "tumour"}
    np.testing.assert_array_equal(found.mask("tumour"), layers[..., 1] == 1)
    np.testing.assert_array_equal(found.mask("liver"), (layers[..., 0] == 1) & (layers[..., 1] == 0))
    assert found.grid.same_as(grid)


def test_what_is_no_label_map_is_refused(tmp_path, rng):
    cases = {
        "CT": (rng.normal(0, 300, (4, 5, 6)).astype(np.int16), "labels go from 0"),
        "float": (rng.random((4, 5, 6)).astype(np.float32), "not whole numbers"),
        "nan": (np.where(rng.random((4, 5, 6)) < 0.5, np.nan, 1).astype(np.float32), "not whole numbers"),
        "many": (np.full((4, 5, 6), 300, dtype=np.uint16), "labels go from 0"),
        "empty": (np.zeros((4, 5, 6), dtype=np.uint8), "all its voxels are 0"),
        "flat": (np.ones((5, 6), dtype=np.uint8), "2 dimensions"),
    }
    for name, (array, words) in cases.items():
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
        with pytest.raises(InputError, match=words):
            read_labelmap(tmp_path / f"{name}.nrrd")
    colour = sitk.GetImageFromArray(np.ones((4, 5, 6, 3), dtype=np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / "colour.nrrd"))
    with pytest.raises(InputError, match="colour or vector"):
        read_labelmap(tmp_path / "colour.nrrd")
    with pytest.raises(InputError, match="does not exist"):
        read_labelmap(tmp_path / "gone.nrrd")


def test_real_structures(real_ct, tmp_path):
    lungs = (real_ct.array > -900) & (real_ct.array < -600)
    right = np.arange(lungs.shape[2]) < lungs.shape[2] // 2  # x grows towards the patient's left
    array = np.where(lungs, np.where(right, 12, 10), 0).astype(np.uint8)
    sitk.WriteImage(to_sitk(array, real_ct.grid), str(tmp_path / "labels.nii.gz"))
    labels = read_labelmap(tmp_path / "labels.nii.gz")
    assert labels.grid.same_as(real_ct.grid) and list(labels.names) == [10, 12]
    projection = view_projection("AP", real_ct.grid.centre, (64, 64), 7.0)
    left_lung, right_lung = project_structures(labels, [projection], ["AP"])[0].masks()
    columns = [np.nonzero(mask)[1].mean() for mask in (right_lung, left_lung)]
    assert columns[0] + 10 < columns[1]  # the patient's right is on the picture's left
