"""X-rays of a CT and of its structures by the console calls: right nodes, with what was simulated said on them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import vtk
from scene_parts import SMALL, attribute, bend, box_map, pixels, put_under, shift, sphere_node
from XRayTo3DSlicer.nodes import mask_nodes, provenance, radiograph_nodes, scene, segmentation_nodes, volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.exposure import Exposure
from XRayTo3DLib.simulation.inserts import Insert
from XRayTo3DLib.simulation.phantom import thorax_phantom


def cancel(fraction, text):
    raise Cancelled


def test_drr_measures_the_phantom(logic, ct_node):
    node = logic.renderDRR(ct_node, "AP")
    radiograph = radiograph_nodes.radiograph_from_node(node)
    exact = thorax_phantom().line_integrals(radiograph.projection)
    error = np.abs(radiograph.line_integrals - exact).mean() / exact.mean()
    assert error < 0.05  # what is left comes from voxels of 8 mm
    assert node.GetName() == "CT AP"
    assert attribute(node, "Type") == provenance.RADIOGRAPH
    assert json.loads(attribute(node, "Source")) == ["CT"]
    assert provenance.sources(node) == [ct_node]
    assert attribute(node, "Software").startswith("XRayTo3D")


def test_drr_geometry_is_the_one_asked_for(logic, ct_node, ct):
    node = logic.renderDRR(ct_node, "LAO30", size=(24, 40), spacing=12.0, sourceToDetector=1300, sourceToIsocentre=900)
    asked = view_projection("LAO30", ct.grid.centre, (24, 40), 12.0, 1300, 900)
    np.testing.assert_allclose(radiograph_nodes.radiograph_from_node(node).projection.matrix, asked.matrix, atol=1e-9)
    node = logic.renderDRR(ct_node, "AP", size=(24, 40), spacing=12.0, parallel=True)
    assert radiograph_nodes.radiograph_from_node(node).projection.beam == "parallel"
    node = logic.renderDRR(ct_node, "AP", size=(24, 40), spacing=12.0, beam="scanned")
    scanned = view_projection("AP", ct.grid.centre, (24, 40), 12.0, 1085, 595, scan_axis="column")
    assert radiograph_nodes.radiograph_from_node(node).projection == scanned
    assert len(logic.showProjection(node)) == 2
    with pytest.raises(InputError, match="use one of cone, parallel, scanned"):
        logic.renderDRR(ct_node, "AP", beam="fan")
    node = logic.renderDRR(ct_node, "mine", projection=asked, name="as calibrated")
    back = radiograph_nodes.radiograph_from_node(node)
    np.testing.assert_allclose(back.projection.matrix, asked.matrix, atol=1e-9)
    assert (node.GetName(), back.name) == ("as calibrated", "mine")


def test_drr_of_a_turned_ct_is_the_drr_of_the_ct(logic, ct_node, ct):
    """Turning the CT by its parent transform is the same as turning the X-ray system the other way."""
    straight = logic.renderDRR(ct_node, "AP", size=(32, 32), spacing=16.0)
    turn = vtk.vtkTransform()
    turn.Translate(30, -20, 10)
    turn.RotateZ(35)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    ct_node.SetAndObserveTransformNodeID(transform.GetID())
    straight.SetAndObserveTransformNodeID(transform.GetID())
    moved = radiograph_nodes.radiograph_from_node(straight)
    again = logic.renderDRR(ct_node, "AP", projection=moved.projection)
    np.testing.assert_allclose(
        radiograph_nodes.radiograph_from_node(again).line_integrals, moved.line_integrals, atol=0.02 * moved.line_integrals.max()
    )


def test_a_second_drr_gets_its_own_name(logic, ct_node):
    names = [logic.renderDRR(ct_node, "AP", size=(8, 8), spacing=60.0).GetName() for _ in range(2)]
    assert names[0] == "CT AP" and names[1].startswith("CT AP") and names[1] != names[0]


# Several views, matrices


def test_several_views_in_one_call_are_a_list(logic, ct_node):
    front, side = logic.renderDRR(ct_node, ["AP", "LAT"], **SMALL)
    assert (front.GetName(), side.GetName()) == ("CT AP", "CT LAT")
    for node, view in ((front, "AP"), (side, "LAT")):
        alone = logic.renderDRR(ct_node, view, **SMALL)
        np.testing.assert_array_equal(pixels(node), pixels(alone))
        assert radiograph_nodes.radiograph_from_node(node).name == view and provenance.sources(node) == [ct_node]
    (only,) = logic.renderDRR(ct_node, ["AP"], **SMALL, name="mine")
    assert only.GetName() == "mine AP"


def test_several_poses_in_one_call(logic, ct_node, ct):
    first, second = (view_projection("AP", (0, 0, height), (40, 48), 12.0) for height in (0, 20))
    found = logic.renderDRR(ct_node, "pose", projection=[first, second])
    assert [node.GetName() for node in found] == ["CT pose 1", "CT pose 2"]
    for node, projection in zip(found, (first, second), strict=True):
        np.testing.assert_allclose(radiograph_nodes.radiograph_from_node(node).projection.matrix, projection.matrix, atol=1e-9)
    named = logic.renderDRR(ct_node, ["here", "there"], projection=[first, second])
    assert [radiograph_nodes.radiograph_from_node(node).name for node in named] == ["here", "there"]


def test_matrices_are_projections(logic, ct_node, ct):
    exact = view_projection("AP+25", ct.grid.centre, (40, 48), 12.0)
    by_matrix = logic.renderDRR(ct_node, "arm", projection=exact.matrix, **SMALL)
    expected = render_drr(ct, [exact])[0].line_integrals
    np.testing.assert_allclose(pixels(by_matrix), expected, atol=1e-3 * expected.max())
    as_lists = logic.renderDRR(ct_node, "arm", projection=[exact.matrix.tolist()] * 2, **SMALL)
    assert len(as_lists) == 2
    np.testing.assert_allclose(pixels(as_lists[1]), pixels(by_matrix), atol=1e-6)
    askew = logic.renderDRR(ct_node, "arm", projection=np.array([[1, 3e-3, 0], [0, 1, 0], [0, 0, 1]]) @ exact.matrix, **SMALL)
    assert "off by up to" in askew.GetAttribute("XRayTo3D.Notes")


def test_geometries_go_to_files_and_come_back(logic, ct_node, ct, tmp_path):
    node = logic.renderDRR(ct_node, "AP", **SMALL)
    own = radiograph_nodes.radiograph_from_node(node).projection
    for ending, given in ((".json", {}), (".txt", {"spacing": 12.0})):
        assert logic.saveProjection(node, tmp_path / f"pose{ending}") == ()
        again = logic.renderDRR(ct_node, "AP", projection=tmp_path / f"pose{ending}", **given)
        np.testing.assert_allclose(pixels(again), pixels(node), atol=1e-4 * pixels(node).max())
    logic.saveRadiograph(node, tmp_path / "picture.png")
    loaded = logic.loadRadiograph(tmp_path / "picture.png", "AP", geometry=tmp_path / "pose.json")
    assert radiograph_nodes.radiograph_from_node(loaded).projection == own


def test_what_is_painted_into_a_mask_is_no_measurement_and_goes_with_the_file(logic, ct_node, tmp_path):
    node = logic.renderDRR(ct_node, "AP", **SMALL)
    mask = logic.maskRadiograph(node)
    assert logic.maskRadiograph(node) is mask and provenance.sources(mask) == [node]
    assert radiograph_nodes.radiograph_from_node(node).valid is None  # an empty one
    scene.remove(mask)
    valid = np.ones(radiograph_nodes.radiograph_from_node(node).projection.size, bool)
    valid[3:6, 2:9] = False
    mask_nodes.mask_to_node(valid, node)
    logic.saveRadiograph(node, tmp_path / "x.nrrd")
    for given in ({}, {"mask": ~np.roll(valid, 8, axis=0)}):
        again = logic.loadRadiograph(tmp_path / "x.nrrd", **given)
        both = valid & np.roll(valid, 8, axis=0) if given else valid
        np.testing.assert_array_equal(radiograph_nodes.radiograph_from_node(again).valid, both)
        assert mask_nodes.mask_of(again) is not mask_nodes.mask_of(node)


# What is simulated


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        ({"kilovolts": 80}, {"kilovolts": 80}, "80 kV"),
        ({"photons": 500, "electronicNoise": 4, "seed": 3}, {"photons": 500, "electronic_noise": 4, "seed": 3}, "500 photons"),
        ({"blur": 30.0}, {"blur": 30.0}, "blur of 30 mm"),
    ],
)
def test_every_word_reaches_the_library_and_the_notes(logic, ct_node, ct, given, wanted, said):
    node = logic.renderDRR(ct_node, "AP", **SMALL, **given)
    projection = view_projection("AP", ct.grid.centre, (40, 48), 12.0)
    expected = render_drr(ct, [projection], ["AP"], exposure=Exposure(**wanted))[0]
    np.testing.assert_allclose(pixels(node), expected.line_integrals, atol=1e-5)
    assert np.abs(pixels(node) - pixels(logic.renderDRR(ct_node, "AP", **SMALL))).max() > 0.01
    (note,) = json.loads(attribute(node, "Notes"))
    assert said in note
    assert radiograph_nodes.radiograph_from_node(node).notes == (note,)


def test_preview_is_close(logic, ct_node):
    full, preview = (pixels(logic.renderDRR(ct_node, "AP", **SMALL, quality=quality)) for quality in ("full", "preview"))
    np.testing.assert_allclose(preview, full, atol=0.05 * full.max())
    with pytest.raises(InputError, match="best"):
        logic.renderDRR(ct_node, "AP", **SMALL, quality="best")


@pytest.mark.parametrize("moved", [False, True])
def test_a_model_of_metal_casts_its_shadow_where_it_stands(logic, ct_node, ct, moved):
    centre, radius = np.array([40.0, -30.0, 50.0]), 12.0
    ball = sphere_node(centre, radius)
    if moved:
        put_under(ball, shift(-25, 0, -35))  # RAS
        centre = np.add(centre, [25, 0, -35])
    projection = view_projection("AP", ct.grid.centre, (90, 90), 4.0)
    node = logic.renderDRR(ct_node, "AP", projection=projection, inserts=[(ball, 0.5)])
    shadow = pixels(node) - pixels(logic.renderDRR(ct_node, "AP", projection=projection))
    rows, columns = np.mgrid[:90, :90]
    middle = [(shadow * columns).sum() / shadow.sum(), (shadow * rows).sum() / shadow.sum()]
    np.testing.assert_allclose(middle, projection.project(centre[None])[0], atol=0.1)
    # Behind its middle: the ball in place of soft tissue or lung, which is at most 0.02 per mm.
    assert (0.5 - 0.021) * 2 * radius * 0.97 < shadow.max() < 0.5 * 2 * radius * 1.01
    assert "ball" in json.loads(attribute(node, "Notes"))[0]
    assert provenance.sources(node) == [ct_node, ball]


@pytest.mark.parametrize("moved", [False, True])
def test_a_segmentation_of_contrast_agent_is_where_its_parent_puts_it(logic, ct_node, ct, moved):
    labelmap = box_map(ct)
    node = segmentation_nodes.segmentation_to_node(labelmap, "Agent")
    grid = ct.grid
    if moved:
        put_under(node, shift(0, 0, 24))
        grid = Grid(grid.size, grid.spacing, tuple(np.add(grid.origin, [0, 0, 24])), grid.direction)
    projection = view_projection("AP", ct.grid.centre, (40, 48), 12.0)
    found = logic.renderDRR(ct_node, "AP", projection=projection, inserts=[(node, "iodine 15")])
    expected = render_drr(ct, [projection], inserts=[Insert(Labelmap(labelmap.array, grid, labelmap.names), "iodine 15")])[0]
    np.testing.assert_allclose(pixels(found), expected.line_integrals, atol=1e-4)
    # 96 mm of it in each ray through the box: 15 mg/mL attenuate about 0.007 per mm at 70 keV.
    assert 0.4 < (pixels(found) - pixels(logic.renderDRR(ct_node, "AP", projection=projection))).max() < 1.0


# What cannot be adds nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": "sideways"}, "sideways"),
        ({"view": ["AP", "sideways"]}, "sideways"),
        ({"view": []}, "No view"),
        ({"sourceToIsocentre": 5000.0}, "5000"),
        ({"sourceToDetector": 0.0}, "source-to-isocentre"),
        ({"sourceToDetector": -1500.0}, "source-to-isocentre"),
        ({"sourceToDetector": float("nan")}, "source-to-isocentre"),
        ({"sourceToIsocentre": 0.0}, "source-to-isocentre"),
        ({"sourceToIsocentre": -5.0}, "source-to-isocentre"),
        ({"sourceToDetector": 300.0, "sourceToIsocentre": 100.0}, "inside the volume"),
        ({"sourceToDetector": 300.0, "sourceToIsocentre": 100.0, "size": (8, 8)}, "inside the volume"),
        ({"spacing": 0.0}, "spacing"),
        ({"spacing": -2.0}, "spacing"),
        ({"spacing": float("nan")}, "spacing"),
        ({"spacing": 1e-4}, "pixels"),
        ({"size": (100_000, 100_000)}, "100000"),
        ({"size": (0, 8)}, "size"),
        ({"size": 512}, "two whole numbers"),
        ({"size": (8.5, 8)}, "two whole numbers"),
        ({"projection": view_projection("AP", (5000.0, 0.0, 0.0), (8, 8), 2.0)}, "misses the volume"),
        ({"projection": np.eye(3, 4)}, "how large the detector is"),
        ({"projection": np.zeros((3, 4)), "size": (8, 8)}, "singular"),
        ({"projection": [[1, 2], [3]], "size": (8, 8)}, "no projection"),
        ({"projection": []}, "projections"),
        ({"view": ["AP", "LAT"], "projection": view_projection("AP", size=(8, 8))}, "2 views for 1 projections"),
        ({"photons": 0}, "photons"),
        ({"photons": float("nan")}, "photons"),
        ({"electronicNoise": 3.0}, "give both"),
        ({"blur": -1.0}, "blur"),
        ({"kilovolts": 5}, "5 kV"),
        ({"quality": "best"}, "best"),
        ({"seed": -1}, "seed"),
        ({"inserts": [(None, "steel")]}, "No node is chosen"),
        ({"inserts": ["steel"]}, "pair"),
    ],
)
def test_what_cannot_be_simulated_adds_nothing(logic, ct_node, state, change, message):
    before = state()
    with pytest.raises(InputError, match=message):
        logic.renderDRR(ct_node, **change)
    assert state() == before


def test_inserts_that_cannot_be_add_nothing(logic, ct_node, state):
    ball = sphere_node((0, 0, 0), 10)
    plane = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "open sheet")
    source = vtk.vtkPlaneSource()
    source.Update()
    plane.SetAndObservePolyData(source.GetOutput())
    before = state()
    for pair, message in (((ball, "gold dust"), "gold dust"), ((plane, "steel"), "open sheet"), ((ct_node, "steel"), "no shape")):
        with pytest.raises(InputError, match=message):
            logic.renderDRR(ct_node, **SMALL, inserts=[pair])
    assert state() == before


@pytest.mark.parametrize("bent", ["CT", "Organs", "ball"])
def test_bent_transforms_are_refused(logic, ct_node, ct, state, bent):
    segmentation, ball = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs"), sphere_node((0, 0, 0), 10)
    bend({"CT": ct_node, "Organs": segmentation, "ball": ball}[bent])
    before = state()
    with pytest.raises(InputError, match=rf"{bent} .*non-linear.*harden"):
        logic.renderDRR(ct_node, **SMALL, inserts=[(segmentation, "steel"), (ball, "titanium")])
    if bent != "ball":
        with pytest.raises(InputError, match=rf"{bent} .*non-linear.*harden"):
            logic.renderStructures(segmentation, **SMALL, ctNode=ct_node)
    assert state() == before


def test_what_is_no_ct_adds_nothing(logic, scene, state, ct):
    picture = volume_nodes.volume_to_node(Volume((np.abs(ct.array) % 256).astype(np.uint8), ct.grid), "Photo")
    before = state()
    with pytest.raises(InputError, match=r"Photo has values .* not HU"):
        logic.renderDRR(picture)
    with pytest.raises(InputError, match="No volume is chosen"):
        logic.renderDRR(None)
    assert state() == before


def test_cancelled_drr_adds_nothing(logic, ct_node, state):
    before = state()
    with pytest.raises(Cancelled):
        logic.renderDRR(ct_node, "AP", size=(16, 16), spacing=30.0, progress=cancel)
    assert state() == before
