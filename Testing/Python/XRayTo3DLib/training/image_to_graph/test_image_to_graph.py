"""A template with corresponding vertices, a network that moves them, and a model that gives a closed mesh where the organ is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from organ_recipe import MANDIBLES, heads, organ_recipe

from XRayTo3DLib.anatomy.self_intersections import self_intersections
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.shapes.answer import organ_shape
from XRayTo3DLib.shapes.methods.image_to_graph import filled, mesh, untangled
from XRayTo3DLib.shapes.methods.organ_frame import cube_at
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.training.export import export
from XRayTo3DLib.training.fit import fit
from XRayTo3DLib.training.image_to_graph.meshes import load_meshes
from XRayTo3DLib.training.image_to_graph.template import edges_of, enclosed_mm3, template_mesh
from XRayTo3DLib.training.systems import system_of

_NETWORK = {"vertices": 150, "plane": [4, 8, 8, 8], "graph": 16, "layers": 4}
_NAME = "image-to-graph-mandible"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return heads(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def subjects(data, tmp_path_factory):
    return load_meshes(organ_recipe(_NAME, _NETWORK), data, tmp_path_factory.mktemp("cache"))


def test_the_template_is_on_every_organ_and_encloses_its_volume(subjects):
    template = subjects[0].template
    assert template.points.shape == (150, 3) and template.triangles.shape == (296, 3) and template.edges.shape == (888, 2)
    for subject in subjects:
        axes, _ = MANDIBLES[subject.organ.name]
        for variant, points in enumerate(subject.vertices):
            volume = enclosed_mm3(points.astype(float), template.triangles) / 1000
            assert volume == pytest.approx(subject.organ.volume_ml[variant], rel=0.03)
            assert len(self_intersections(points, template.triangles)) == 0
        # Of an ellipsoid's own points; those of the template on the right are on its right, and so on.
        assert np.abs(np.sqrt(((subject.vertices[0] / axes) ** 2).sum(axis=1)) - 1).max() < 0.2
        for axis in range(3):
            assert np.corrcoef(subject.vertices[0][:, axis], template.points[:, axis])[0, 1] > 0.97
    ring = np.zeros((64, 64, 64), dtype=bool)
    z, y, x = np.meshgrid(*[np.arange(64) - 31.5] * 3, indexing="ij")
    ring[(np.hypot(x, y) - 24) ** 2 + z**2 < 16] = True
    with pytest.raises(InputError, match="handle"):
        template_mesh(ring, 2.0, 300)


def test_the_network_learns_and_its_model_gives_a_closed_mesh_in_its_place(subjects, data, tmp_path):
    recipe = organ_recipe(_NAME, _NETWORK, steps=30, learning_rate=1e-2)
    system = system_of(recipe)
    task = system.task(recipe, subjects)
    batch = task.batch(0, torch.device("cpu"))
    across = batch.vertices.mean(dim=1) - batch.offset
    assert across[:, [0, 2]].abs().max() < 3  # vertices are within the picture, offsets from its middle
    fit(recipe, task, tmp_path)
    rows = np.loadtxt(tmp_path / "log.csv", delimiter=",")
    assert rows[-1, 1] < 0.8 * rows[0, 1]
    model = load_model(export(recipe, tmp_path, tmp_path / "model.pt"), ask=lambda _: True)
    ct = read_volume(data / "heads" / "two.nii.gz")
    for beam in ({}, {"source_to_detector": 1500.0}):
        view = ViewSpec.parse("AP", size=(100, 100), spacing=4.0, isocentre=(10.0, -20.0, -70.0), **beam).projection()
        (seen,) = render_drr(ct, [view], ["AP"])
        found = organ_shape([seen], "mandible", masks=[seen.line_integrals > 1], model=model)
        assert found.surface.closed and found.surface.polydata.GetNumberOfPoints() == 150
        assert found.volume_ml == pytest.approx(found.surface.volume_ml) == pytest.approx(57, rel=0.5)
        inside = np.count_nonzero(found.labelmap.array) * found.labelmap.grid.voxel_volume / 1000
        assert inside == pytest.approx(found.volume_ml, rel=0.05)
        assert any("takes no outline" in note for note in found.notes)
        points = np.argwhere(found.labelmap.array)[:, ::-1] * found.labelmap.grid.spacing + np.array(found.labelmap.grid.origin)
        assert np.abs(points.mean(axis=0) - MANDIBLES["two"][1]).max() < 40


def _tetrahedron(shift: float) -> np.ndarray:
    return np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], dtype=float) + shift


def test_triangles_that_pass_through_one_another_are_counted_and_parted():
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    for shift, count in ((2.0, 3), (20.0, 0)):
        pairs = self_intersections(np.vstack([_tetrahedron(0), _tetrahedron(shift)]), np.vstack([faces, faces + 4]))
        assert len(pairs) == count and all((a < 4) != (b < 4) for a, b in pairs)
    z, y, x = np.meshgrid(*[np.arange(64) - 31.5] * 3, indexing="ij")
    points, triangles = template_mesh(x**2 + y**2 + z**2 < 400, 1.0, 300)
    assert untangled(points, triangles)[1] == 0 and np.array_equal(untangled(points, triangles)[0], points)
    spike = points.copy()
    spike[0] *= -1.5  # through the other side
    assert len(self_intersections(spike, triangles)) > 3
    mended, left = untangled(spike, triangles)
    assert left == 0 and enclosed_mm3(mended, triangles) == pytest.approx(enclosed_mm3(points, triangles), rel=0.05)
    assert len(edges_of(triangles)) == 6 * 300 - 12
    share = filled(mesh(points + np.array([5, 0, -3]), triangles), cube_at(np.array([5.0, 0.0, -3.0]), 1.0))
    assert share.sum() == pytest.approx(enclosed_mm3(points, triangles), rel=0.01)
    where = np.argwhere(share > 0.5).mean(axis=0)
    assert np.abs(where - 31.5).max() < 0.2
