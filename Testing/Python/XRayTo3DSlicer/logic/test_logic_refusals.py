"""Nodes that do not belong to a call: one sentence, and nothing is changed."""

import json

import numpy as np
import pytest
from scene_parts import put_under, sphere_node
from XRayTo3DSlicer.nodes import model_nodes, radiograph_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid


def test_what_is_no_xray_is_not_reconstructed_from(logic, views, fake, state, ct):
    """Residuals, re-projections and single structures carry a geometry too, and are no measurements."""
    result = logic.reconstruct(views, grid=Grid.centred(ct.grid.centre, (48, 36, 40), 8.0))
    structures = logic.renderStructures(logic.segment(result.volumeNode), "AP", size=(16, 16), spacing=30.0)
    before = state()
    for node, kind in (
        (result.reprojectionNodes[0], "reprojection"),
        (result.residualNodes[0], "residual"),
        (structures[0], "structure"),
    ):
        with pytest.raises(InputError, match=f"is no X-ray but a {kind}"):
            logic.reconstruct([node, views[1]])
    assert state() == before


def test_a_node_of_another_class_is_refused(logic, scene, state, views, ct_node, tmp_path):
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segments")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "Table")
    gone = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Gone")
    scene.RemoveNode(gone)
    before = state()
    calls = {
        "volume": [
            logic.renderDRR,
            logic.segment,
            lambda node: logic.compare(ct_node, node),
            lambda node: logic.compare(node, ct_node),
        ],
        "radiograph": [
            lambda node: logic.reconstruct([node]),
            lambda node: logic.reconstruct([views[0], node]),
            logic.showProjection,
            lambda node: logic.saveRadiograph(node, tmp_path / "x.nrrd"),
        ],
        "segmentation": [logic.extractSurfaces, logic.renderStructures],
    }
    for kind, functions in calls.items():
        wrong = [table, ct_node] if kind == "segmentation" else [table, segmentation]
        for call in functions:
            for node in wrong:
                with pytest.raises(InputError, match=f"{node.GetName()} is no {kind}"):
                    call(node)
            for no_node in ("CT", 5, [ct_node]):
                with pytest.raises(InputError, match="is no node of the scene"):
                    call(no_node)
            with pytest.raises(InputError, match=r"No .* is chosen"):
                call(None)
            if kind != "segmentation":
                with pytest.raises(InputError, match="Gone is not in the scene"):
                    call(gone)
    with pytest.raises(InputError, match="Table has no shape to insert"):
        logic.renderDRR(ct_node, inserts=[(table, "titanium")])
    assert state() == before and list(tmp_path.iterdir()) == []


def test_damaged_attributes_are_said_and_not_guessed(logic, scene, views):
    """A scene may come from anywhere. Whatever its text says, there is a sentence or an answer, never a traceback."""
    broken = ["{", "null", "[]", "3", '"text"', "[[[", "NaN", '{"a": 1}', "[" * 100000, "1e999"]
    node = views[0]
    for key in ("Projection", "Unknown", "Notes"):
        good = node.GetAttribute(f"XRayTo3D.{key}")
        for text in broken:
            if key == "Notes" and text == "[]":
                continue
            node.SetAttribute(f"XRayTo3D.{key}", text)
            with pytest.raises(InputError, match="CT AP"):
                radiograph_nodes.radiograph_from_node(node)
        node.SetAttribute(f"XRayTo3D.{key}", good)
    projection = json.loads(node.GetAttribute("XRayTo3D.Projection"))
    for key, value in (("origin", [1, 2]), ("spacing", "wide"), ("size", [1e99, 1]), ("source", None), ("origin", [[1], 2, 3])):
        node.SetAttribute("XRayTo3D.Projection", json.dumps({**projection, key: value}))
        with pytest.raises(InputError, match="CT AP"):
            radiograph_nodes.radiograph_from_node(node)


@pytest.mark.parametrize("kind", ["mirror it", "is a perspective"])
def test_a_transform_that_mirrors_or_is_a_perspective_is_refused(logic, views, ct_node, scene, state, kind):
    """A mirror exchanges the patient's left and right, silently; hardened it is part of the node and counts."""
    matrix = np.diag([-1.0, 1.0, 1.0, 1.0])
    if kind != "mirror it":
        matrix = np.eye(4)
        matrix[3, 0] = 1e-3
    segmentation, ball = logic.segment(ct_node), sphere_node((0, 0, 0), 20)
    for node in (ct_node, views[0], segmentation, ball):
        put_under(node, matrix)
    before = state()
    for call in (
        lambda: logic.renderDRR(ct_node, size=(8, 8), spacing=60.0),
        lambda: logic.reconstruct(views),
        lambda: logic.extractSurfaces(segmentation),
        lambda: model_nodes.surface_from_node(ball),
    ):
        with pytest.raises(InputError, match=kind):
            call()
    assert state() == before
