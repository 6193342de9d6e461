"""Metal and contrast agent: closed forms, what they displace, and shapes that are none."""

from __future__ import annotations

import numpy as np
import pytest
from tables import each
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkAppendPolyData, vtkReverseSense
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter
from vtkmodules.vtkFiltersSources import vtkCubeSource, vtkCylinderSource, vtkPlaneSource, vtkSphereSource

from XRayTo3DLib.anatomy.surfaces import extract_surface
from XRayTo3DLib.anatomy.voxelisation import surface_fraction
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import fit_projection, view_projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.simulation.beam import tube_beam
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.inserts import Insert, parse_material, solids
from XRayTo3DLib.simulation.materials import IODINE, METALS, WATER
from XRayTo3DLib.simulation.phantom import Ellipsoid, Phantom

CENTRE = (7.0, -11.0, 4.0)
TITANIUM = METALS["titanium"].attenuation


def polydata(source) -> vtkPolyData:
    source.Update()
    return source.GetOutput()


def sphere(radius: float, centre=CENTRE, resolution: int = 120) -> vtkPolyData:
    source = vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*centre)
    source.SetThetaResolution(resolution)
    source.SetPhiResolution(resolution // 2)
    return polydata(source)


def box(sides, centre=CENTRE) -> vtkPolyData:
    source = vtkCubeSource()
    source.SetXLength(sides[0])
    source.SetYLength(sides[1])
    source.SetZLength(sides[2])
    source.SetCenter(*centre)
    return polydata(source)


def slab(low: float, high: float) -> Volume:
    """A mask around CENTRE, 20 mm wide and high, from ``low`` to ``high`` mm along the beam of AP."""
    grid = Grid.centred(CENTRE, 40, 1.0)
    depth = np.indices(grid.shape)[1] - 19.5
    mask = (depth > low) & (depth < high)
    mask[:10], mask[30:], mask[:, :, :10], mask[:, :, 30:] = False, False, False, False
    return Volume(mask, grid)


def together(*parts: vtkPolyData) -> vtkPolyData:
    append = vtkAppendPolyData()
    for part in parts:
        append.AddInputData(part)
    return polydata(append)


def tissue(hu: float = 0.0, size=(40, 40, 40), spacing=4.0, direction=None) -> Volume:
    """A block of one tissue around CENTRE, with two voxels of air about it."""
    direction = np.eye(3) if direction is None else direction
    spacing = np.broadcast_to(spacing, 3)
    origin = np.array(CENTRE) - direction @ ((np.array(size) - 1) / 2 * spacing)
    array = np.full(size[::-1], -1000.0, dtype=np.float32)
    array[2:-2, 2:-2, 2:-2] = hu
    return Volume(array, Grid(size, tuple(spacing), tuple(origin), direction))


def view(direction="LAO30CRAN10", size=(48, 44), spacing=2.0, distance: float | None = 1000.0):
    return view_projection(direction, CENTRE, size, spacing, distance)


def rendered(volume, inserts, projection=None, **settings) -> np.ndarray:
    return render_drr(volume, [projection or view()], ["V"], inserts=inserts, **settings)[0].line_integrals


def added(volume, inserts, projection=None, **settings) -> np.ndarray:
    return rendered(volume, inserts, projection, **settings) - rendered(volume, (), projection, **settings)


@each("distance", [None, 1000.0])
@each("radius", [2.0, 25.0])
def test_a_sphere_has_the_thickness_of_a_sphere(radius, distance):
    projection = view(size=(40, 40), spacing=radius / 16, distance=distance)
    exact = Phantom((Ellipsoid(CENTRE, (radius,) * 3, TITANIUM),)).line_integrals(projection)
    found = added(tissue(-1000.0), [Insert(sphere(radius, resolution=200), "titanium")], projection)
    inner = exact > radius * TITANIUM  # paths longer than the radius
    np.testing.assert_allclose(found[inner], exact[inner], rtol=0.01)
    assert found.sum() == pytest.approx(exact.sum(), rel=2e-3)


def test_a_box_has_its_sides_and_blocks_of_two_materials_are_told_apart():
    projection = view("AP", (9, 9), 1.0, None)
    found = added(tissue(-1000.0), [Insert(box((30, 6, 30)), 0.05), Insert(box((30, 0.5, 30), (7, 30, 4)), "steel")], projection)
    np.testing.assert_allclose(found, 6 * 0.05 + 0.5 * METALS["steel"].attenuation, rtol=2e-3)


def test_a_long_thin_rod_in_any_direction_keeps_its_thickness():
    source = vtkCylinderSource()
    source.SetRadius(1.0)
    source.SetHeight(120.0)
    source.SetResolution(90)
    turn = vtkTransform()
    turn.Translate(*CENTRE)
    turn.RotateWXYZ(50, 0.3, 1, 0.8)
    moved = vtkTransformPolyDataFilter()
    moved.SetTransform(turn)
    moved.SetInputData(polydata(source))
    fraction, grid = surface_fraction(polydata(moved), "rod")
    assert fraction.size < 3e6 and sorted(grid.spacing)[0] < 0.1
    assert fraction.sum() * grid.voxel_volume == pytest.approx(120 * np.pi, rel=0.005)
    axis = np.array(turn.TransformVector(0.0, 1.0, 0.0))
    across = view(np.cross(axis, [0, 0, 1.0]), (1, 1), 1.0, None)
    assert added(tissue(-1000.0), [Insert(polydata(moved), 1.0)], across)[0, 0] == pytest.approx(2.0, rel=0.01)
    along = view(axis, (1, 1), 1.0, None)
    assert added(tissue(-1000.0), [Insert(polydata(moved), 0.1)], along)[0, 0] == pytest.approx(12.0, rel=0.01)


@each("kilovolts", [None, 80])
def test_what_is_like_its_surroundings_changes_nothing(kilovolts, turn):
    hu = 600.0
    block = tissue(hu, direction=turn)
    projection = view(spacing=3.0)
    for shape in (sphere(30), Volume(block.array > 0, block.grid)):
        change = added(block, [Insert(shape, MU_WATER * (1 + hu / 1000))], projection, exposure=Exposure(kilovolts))
        assert np.abs(change).max() < 2e-3 * rendered(block, (), projection, exposure=Exposure(kilovolts)).max()


@each("kilovolts", [None, 80])
def test_a_mask_on_the_grid_of_the_ct_is_the_ct_with_other_voxels(kilovolts, turn, rng):
    volume = tissue(0.0, direction=turn * [1, -1, 1], spacing=(3.0, 4.0, 5.0))
    volume.array[:] = rng.uniform(-1000, 2000, volume.array.shape)
    mask = np.zeros(volume.array.shape, dtype=bool)
    mask[10:20, 12:30, 5:25] = rng.random((10, 18, 20)) > 0.3
    changed = volume.array.copy()
    changed[mask] = 2500.0
    expected = rendered(Volume(changed, volume.grid), (), exposure=Exposure(kilovolts))
    mu = MU_WATER * 3.5
    for shape in (Volume(mask, volume.grid), Volume(mask.astype(np.int16), volume.grid)):
        found = rendered(volume, [Insert(shape, mu)], exposure=Exposure(kilovolts))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_metal_displaces_and_contrast_agent_adds():
    projection = view("AP", (1, 1), 1.0, None)
    block = tissue(0.0)
    shape = slab(-5, 5)
    metal = added(block, [Insert(shape, "titanium")], projection)[0, 0]
    assert metal == pytest.approx(10 * (TITANIUM - MU_WATER), rel=2e-3)
    iodine = added(block, [Insert(shape, "iodine 20 mg/mL")], projection)[0, 0]
    assert iodine == pytest.approx(10 * 0.020 * IODINE.attenuation, rel=2e-3)
    hole = added(block, [Insert(shape, 0)], projection)[0, 0]
    assert hole == pytest.approx(-10 * MU_WATER, rel=2e-3)


def test_in_a_polychromatic_beam_each_material_hardens_as_it_does():
    projection, beam = view("AP", (1, 1), 1.0, None), tube_beam(80)
    block = tissue(0.0)
    thick = 36 * 4.0
    for material, part in (("steel", METALS["steel"]), ("iodine 50", IODINE)):
        found = rendered(block, [Insert(slab(-2, 3), material)], projection, exposure=Exposure(80))[0, 0]
        own = 5 * part.attenuation * (1 if material == "steel" else 0.050)
        left = thick - (5 if material == "steel" else 0)
        exact = beam.line_integrals({WATER: np.array([left * MU_WATER]), part: np.array([own])})[0]
        assert found == pytest.approx(exact, rel=2e-3)


@each("kilovolts", [None, 90])
def test_where_inserts_overlap_the_later_metal_counts(kilovolts):
    projection = view("AP", (1, 1), 1.0, None)
    block = tissue(0.0)
    small, large, vessel = slab(-5, 5), slab(-10, 10), slab(-15, 15)
    settings = {"projection": projection, "exposure": Exposure(kilovolts)}
    inside = rendered(block, [Insert(large, "titanium"), Insert(small, "steel")], **settings)
    sleeve = [Insert(slab(-10, -5), "titanium"), Insert(slab(5, 10), "titanium")]
    np.testing.assert_allclose(inside, rendered(block, [*sleeve, Insert(small, "steel")], **settings), rtol=1e-3)
    covered = rendered(block, [Insert(small, "steel"), Insert(large, "titanium")], **settings)
    np.testing.assert_allclose(covered, rendered(block, [Insert(large, "titanium")], **settings), rtol=1e-3)
    # Contrast agent flows around metal, whatever the order.
    rest = [Insert(slab(-15, -5), "iodine 100"), Insert(slab(5, 15), "iodine 100")]
    expected = rendered(block, [Insert(small, "steel"), *rest], **settings)
    for order in ([Insert(small, "steel"), Insert(vessel, "iodine 100")], [Insert(vessel, "iodine 100"), Insert(small, "steel")]):
        np.testing.assert_allclose(rendered(block, order, **settings), expected, rtol=1e-3)


def test_the_transform_moves_inserts_with_the_ct(phantom_volume, turn):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * 1.2, (20, -30, 10)
    insert = Insert(sphere(15, (30, 10, -20)), "titanium")
    projection = fit_projection("AP", phantom_volume.grid.transformed(matrix), 8.0)
    found = render_drr(phantom_volume, [projection], transform=matrix, inserts=[insert])[0].line_integrals
    other = Volume(phantom_volume.array, phantom_volume.grid.transformed(matrix))
    centre = matrix[:3, :3] @ [30, 10, -20] + matrix[:3, 3]
    expected = rendered(other, [Insert(sphere(15 * 1.2, centre), "titanium")], projection)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.02 * 36 * TITANIUM)
    assert expected.max() > 36 * TITANIUM * 0.9


def test_labels_of_a_labelmap_with_its_own_grid():
    block = tissue(0.0, spacing=2.0)
    grid = Grid.centred(CENTRE, (8, 8, 8), 6.0)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[2:6, 2:4, 2:6] = 1
    labels[2:6, 5:6, 2:6] = 2
    labelmap = Labelmap(labels, grid, {1: "plate", 2: "wire"})
    projection = view("AP", (1, 1), 1.0, None)
    for label, thickness in ((1, 12), ("plate", 12), ("wire", 6), (None, 18)):
        change = added(block, [Insert(labelmap, "titanium", label)], projection)[0, 0]
        assert change == pytest.approx(thickness * (TITANIUM - MU_WATER), rel=5e-3)
    # Its coarse voxels are cut into parts of the CT's size, and stay where they were.
    (solid,) = solids([Insert(labelmap, "titanium", "wire")], block.grid)
    assert solid.grid.spacing == (2.0, 2.0, 2.0)
    np.testing.assert_allclose(solid.grid.centre, (grid.affine @ [3.5, 5, 3.5, 1])[:3])
    with pytest.raises(InputError, match="no structure 'screw'"):
        rendered(block, [Insert(labelmap, "titanium", "screw")])


def test_the_surface_of_a_mask_is_worth_the_mask():
    grid = Grid.centred(CENTRE, 40, 1.0)
    z, y, x = np.indices(grid.shape) - 19.5
    mask = x**2 / 200 + y**2 / 100 + z**2 / 300 < 1
    block, projection = tissue(0.0), view(spacing=1.0)
    by_surface = added(block, [Insert(extract_surface(mask, grid, "bead"), "steel")], projection)
    by_mask = added(block, [Insert(Volume(mask, grid), "steel")], projection)
    assert by_surface.sum() == pytest.approx(by_mask.sum(), rel=0.01)
    assert np.abs(by_surface - by_mask).mean() < 0.02 * by_mask.max()


def test_small_inserts_stay_small(real_ct):
    fraction, grid = surface_fraction(sphere(2.0), "bead")
    assert fraction.size < 1.2e6 and max(grid.spacing) < 0.05
    mask = np.zeros(real_ct.grid.shape, dtype=bool)
    mask[50:53, 60:70, 40:42] = True
    (solid,) = solids([Insert(Volume(mask, real_ct.grid), "steel")], real_ct.grid)
    assert solid.fraction.shape == (5, 12, 4)  # one empty voxel about it
    np.testing.assert_allclose(solid.grid.centre, (real_ct.grid.affine @ [40.5, 64.5, 51, 1])[:3])


def test_a_screw_in_the_real_ct(real_ct):
    projection = view_projection("AP", real_ct.grid.centre, (64, 64), 6.0)
    rod = sphere(12, real_ct.grid.centre)
    change = added(real_ct, [Insert(rod, "steel")], projection, exposure=Exposure(80))
    assert change.max() > 3
    far = np.hypot(*np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5)) * 6 > 40
    assert (change[far] == 0).all()


def test_inside_out_and_hollow_surfaces_are_understood():
    inner = vtkReverseSense()
    inner.SetInputData(sphere(10))
    shell = together(sphere(15), polydata(inner))
    projection = view("AP", (1, 1), 0.5, None)
    assert added(tissue(-1000.0), [Insert(shell, 0.1)], projection)[0, 0] == pytest.approx(1.0, rel=0.01)
    turned = polydata(inner)
    assert added(tissue(-1000.0), [Insert(turned, 0.1)], projection)[0, 0] == pytest.approx(2.0, rel=0.01)


def test_the_notes_say_what_is_there(phantom_volume):
    projections = [fit_projection("AP", phantom_volume.grid, 16.0), view_projection("AP", (0, 0, 100), (8, 8), 4.0)]
    inserts = [Insert(sphere(9, (0, 0, 0)), "titanium", name="screw"), Insert(sphere(9, (0, 0, 172)), "iodine 30")]
    first, second = (r.notes for r in render_drr(phantom_volume, projections, ["wide", "near"], inserts=inserts))
    assert first[0].startswith("screw: titanium alloy") and "in place of" in first[0] and "beam" not in first[0]
    assert "outside the beam of near" in second[0]
    assert "30 mg/mL" in first[1] and "added to" in first[1] and "outside the CT" in first[1]


def test_a_misplaced_insert_is_an_error(phantom_volume):
    with pytest.raises(InputError, match="outside the CT and outside every beam"):
        render_drr(
            phantom_volume,
            [fit_projection("AP", phantom_volume.grid, 16.0)],
            inserts=[Insert(sphere(9, (3000, 0, 0)), "steel")],
        )


@each(
    ("shape", "match"),
    [
        (vtkPolyData(), "no triangles"),
        (polydata(vtkPlaneSource()), "open"),
        (together(box((10, 10, 10)), box((10, 10, 10), (12, -11, 4))), "overlap"),
        (box((10, 0, 10)), "flat|open"),
        (Volume(np.zeros((3, 4, 5), bool), Grid((5, 4, 3), (1.0, 1.0, 1.0))), "empty"),
        (Volume(np.full((3, 4, 5), 40.0), Grid((5, 4, 3), (1.0, 1.0, 1.0))), "other values than 0 and 1"),
        (Labelmap(np.ones((3, 4, 4), np.uint8), Grid((5, 4, 3), (1.0, 1.0, 1.0)), {1: "a"}), "pass both alike"),
        ("screw.stl", "neither a mask nor a surface"),
    ],
)
def test_shapes_that_are_none(shape, match, phantom_volume):
    with pytest.raises(InputError, match=match):
        render_drr(phantom_volume, [fit_projection("AP", phantom_volume.grid, 16.0)], inserts=[Insert(shape, "steel")])


def test_a_surface_with_a_hole_or_a_lost_point_is_refused(phantom_volume):
    projection = [fit_projection("AP", phantom_volume.grid, 16.0)]
    holed = sphere(10)
    holed.BuildCells()
    holed.DeleteCell(500)
    holed.RemoveDeletedCells()
    with pytest.raises(InputError, match=r"open \(3 edges"):
        render_drr(phantom_volume, projection, inserts=[Insert(holed, "steel")])
    lost = sphere(10)
    lost.GetPoints().SetPoint(40, float("nan"), 0, 0)
    with pytest.raises(InputError, match="NaN"):
        render_drr(phantom_volume, projection, inserts=[Insert(lost, "steel")])
    with pytest.raises(InputError, match="leave the label out"):
        render_drr(phantom_volume, projection, inserts=[Insert(sphere(10), "steel", label=1)])


@each(
    ("material", "match"),
    [
        ("wood", "titanium, steel, cobalt-chromium"),
        ("iodine", "15 mg/mL"),
        ("iodine 0", "cannot be"),
        ("iodine 9999", "cannot be"),
        ("iodine 1.2.3", "not known"),
        ("iodine -30", "-30 mg/mL of iodine cannot be: give more than 0"),
        ("iodine - 30", "-30 mg/mL of iodine cannot be"),
        ("iodine:-30", "-30 mg/mL of iodine cannot be"),
        ("iodine--30", "-30 mg/mL of iodine cannot be"),
        (-0.1, "cannot be"),
        (float("nan"), "cannot be"),
        (1e4, "cannot be"),
        ("", "not known"),
    ],
)
def test_materials_that_are_none(material, match):
    with pytest.raises(InputError, match=match):
        parse_material(material)


def test_materials_by_many_spellings():
    assert parse_material("Cobalt Chromium").parts == parse_material("cobalt-chromium").parts
    assert parse_material("0.07").parts == parse_material(0.07).parts
    assert sum(value for _, value in parse_material(0.07).parts) == pytest.approx(0.07)
    for word in ("iodine15", "iodine 15", "iodine-15", "iodine:15", "Iodine: 15 mg/mL"):
        assert parse_material(word).parts == ((IODINE, pytest.approx(0.015 * IODINE.attenuation)),)
