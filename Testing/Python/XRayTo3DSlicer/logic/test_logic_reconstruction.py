"""A reconstruction by the console calls: its nodes after success, nothing after an error or a cancel."""

import json

import numpy as np
import pytest
from scene_parts import attribute, hierarchy, names_in
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, results, volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.progress import Cancelled


def test_reconstruction_adds_its_nodes_in_one_folder(logic, views, fake, ct):
    result = logic.reconstruct(views, name="Case")
    assert isinstance(result, results.ReconstructionNodes)
    assert names_in(result.folder) == [
        "Case",
        "Case before fusion",
        "Case uncertainty",
        "Case AP re-projection",
        "Case AP residual",
        "Case LAT re-projection",
        "Case LAT residual",
    ]
    assert hierarchy().GetItemName(result.folder) == "Case"
    volume = volume_nodes.volume_from_node(result.volumeNode)
    np.testing.assert_allclose(volume.array, np.maximum(resample(ct, volume.grid).array, -1000), atol=0.1)
    assert result.errors == [0.25, 0.125] and result.notes == ["a note"]
    measured = [radiograph_nodes.radiograph_from_node(node) for node in views]
    for radiograph, again, rest in zip(measured, result.reprojectionNodes, result.residualNodes, strict=True):
        again, rest = radiograph_nodes.radiograph_from_node(again), radiograph_nodes.radiograph_from_node(rest)
        np.testing.assert_allclose(again.projection.matrix, radiograph.projection.matrix, atol=1e-9)
        np.testing.assert_allclose(rest.line_integrals, again.line_integrals - radiograph.line_integrals, atol=1e-6)


def test_reconstruction_says_where_it_comes_from(logic, views, fake):
    result = logic.reconstruct(views)
    node = result.volumeNode
    assert node.GetName() == "Reconstruction AP + LAT"
    assert attribute(node, "Type") == provenance.RECONSTRUCTION
    assert (attribute(node, "Model"), attribute(node, "ModelSHA256")) == ("a model", "ab" * 32)
    assert json.loads(attribute(node, "Views")) == ["AP", "LAT"]
    assert json.loads(attribute(node, "Errors")) == [0.25, 0.125]
    assert json.loads(attribute(node, "Notes")) == ["a note"]
    for text, view in zip(json.loads(attribute(node, "Projections")), views, strict=True):
        stored = provenance.projection_from_text(text, "it")
        np.testing.assert_array_equal(stored.matrix, radiograph_nodes.radiograph_from_node(view).projection.matrix)
    assert provenance.sources(node) == views
    assert attribute(result.beforeFusionNode, "Fused") == "false" and attribute(node, "Fused") == "true"
    assert provenance.sources(result.residualNodes[0]) == [node]
    types = [attribute(n, "Type") for n in (result.reprojectionNodes[0], result.residualNodes[0], result.deviationNode)]
    assert types == [provenance.REPROJECTION, provenance.RESIDUAL, provenance.DEVIATION]


def test_reconstruction_hands_its_settings_to_the_library(logic, views, fake):
    grid = Grid.centred((0, 0, 0), 8, 40.0)
    result = logic.reconstruct(views, model="mine", grid=grid, fuse=False, beta=1.5, checkViews=False)
    given = fake[0]
    assert (given["model"], given["grid"], given["fuse_views"], given["beta"], given["check_views"]) == (
        "mine",
        grid,
        False,
        1.5,
        False,
    )
    assert [r.name for r in given["radiographs"]] == ["AP", "LAT"]
    assert result.beforeFusionNode is None
    assert volume_nodes.volume_from_node(result.volumeNode).grid.same_as(grid, 1e-6)


def test_reconstruction_reports_progress_to_the_end(logic, views, fake):
    seen = []
    logic.reconstruct(views, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen) and 0 < seen[0] < 0.6 and seen[-1] >= 0.95


def test_two_reconstructions_stay_apart(logic, views, fake):
    one, two = logic.reconstruct(views), logic.reconstruct(views)
    assert one.folder != two.folder
    assert one.volumeNode.GetName() != two.volumeNode.GetName()
    assert not set(names_in(one.folder)) & set(names_in(two.folder))


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.95])
def test_cancelled_reconstruction_adds_nothing(logic, views, fake, state, fraction):
    before = state()

    def stop(reached, text):
        if reached >= fraction:
            raise Cancelled

    with pytest.raises(Cancelled):
        logic.reconstruct(views, progress=stop)
    assert state() == before


def test_the_same_view_twice_adds_nothing(logic, views, fake, state):
    before = state()
    with pytest.raises(InputError, match="same view"):
        logic.reconstruct([views[0], views[0]])
    assert state() == before


def test_no_radiograph_adds_nothing(logic, scene, state):
    before = state()
    with pytest.raises(InputError, match="No radiograph was given"):
        logic.reconstruct([])
    with pytest.raises(InputError, match="No radiograph is chosen"):
        logic.reconstruct([None])
    assert state() == before


def test_a_ct_given_as_radiograph_adds_nothing(logic, ct_node, state):
    before = state()
    with pytest.raises(InputError, match="CT has no projection geometry"):
        logic.reconstruct([ct_node])
    assert state() == before


def test_failure_half_way_through_the_nodes_adds_nothing(logic, views, fake, state, monkeypatch):
    before = state()
    real, made = radiograph_nodes.radiograph_to_node, []

    def fail_at_the_third(*args):
        made.append(args)
        if len(made) == 3:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(results.radiograph_nodes, "radiograph_to_node", fail_at_the_third)
    with pytest.raises(MemoryError):
        logic.reconstruct(views)
    assert len(made) == 3
    assert state() == before
