"""The console calls: right nodes after success, nothing after an error or a cancel."""

import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK
import slicer
import vtk
from PIL import Image
from scene_parts import attribute, put_under, sphere_node
from vtk.util.numpy_support import vtk_to_numpy
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.logic import Logic
from XRayTo3DSlicer.nodes import model_nodes, provenance, radiograph_nodes, results, segmentation_nodes, volume_nodes
from XRayTo3DSlicer.nodes import scene as scene_module

import XRayTo3DLib.reconstruction.pipeline as library
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.reprojection import reproject
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.radiographs import write_radiograph
from XRayTo3DLib.progress import Cancelled

SHA256 = "ab" * 32


@pytest.fixture
def views(logic, ct_node):
    return [logic.renderDRR(ct_node, view, size=(32, 32), spacing=16.0) for view in ("AP", "LAT")]


@pytest.fixture
def fake(monkeypatch, ct):
    """A library reconstruction that knows the CT, needs no model, and takes the arguments of the real one only."""
    signature = inspect.signature(library.reconstruct)
    calls = []

    def reconstruct(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        calls.append(given)
        radiographs = given["radiographs"]
        library.check_distinct(radiographs)
        grid = given["grid"] or library.default_grid([r.projection for r in radiographs], 16, 24.0)
        given["progress"](0.5, "half")
        volume = to_attenuation(resample(ct, grid))
        before = Volume(0.9 * volume.array, grid, "1/mm")
        return library.Reconstruction(
            volume=volume,
            before_fusion=before,
            deviation=Volume(0.1 * volume.array, grid, "1/mm"),
            radiographs=list(radiographs),
            reprojections=[np.asarray(p) for p in reproject(volume, radiographs)],
            errors=[0.25, 0.125],
            errors_before=[0.5, 0.375],
            model_name="a model",
            model_sha256=SHA256,
            model_seconds=0.5,
            seconds=1.0,
            notes=["a note"],
        )

    monkeypatch.setattr(library, "reconstruct", reconstruct)
    return calls


def hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def names_in(folder):
    found = vtk.vtkIdList()
    hierarchy().GetItemChildren(folder, found)
    return [hierarchy().GetItemName(found.GetId(i)) for i in range(found.GetNumberOfIds())]


# Radiographs from files


def test_a_written_radiograph_is_loaded_with_its_geometry(logic, ct_node, tmp_path):
    made = radiograph_nodes.radiograph_from_node(logic.renderDRR(ct_node, "LAT", size=(20, 24), spacing=24.0))
    write_radiograph(made, tmp_path / "side.nrrd")
    node = logic.loadRadiograph(tmp_path / "side.nrrd")
    back = radiograph_nodes.radiograph_from_node(node)
    np.testing.assert_allclose(back.projection.matrix, made.projection.matrix, rtol=1e-9)
    np.testing.assert_array_equal(back.line_integrals, made.line_integrals)
    assert (node.GetName(), back.name, back.calibrated) == ("side LAT", "LAT", True)
    assert attribute(node, "File") == "side.nrrd" and attribute(node, "Type") == provenance.RADIOGRAPH


def test_a_picture_is_loaded_as_uncalibrated(logic, scene, tmp_path):
    pixels = np.arange(30 * 20).reshape(30, 20) % 251
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels.astype(np.uint8)), str(tmp_path / "front.png"))
    node = logic.loadRadiograph(tmp_path / "front.png", "AP", spacing=4.0, sourceToDetector=1800, isocentre=(1, 2, 3))
    back = radiograph_nodes.radiograph_from_node(node)
    assert not back.calibrated and back.notes
    assert back.projection.size == (30, 20) and back.projection.source_to_detector == pytest.approx(1800)
    np.testing.assert_allclose(back.projection.project(np.array([[1.0, 2.0, 3.0]])), [[9.5, 14.5]], atol=1e-6)
    assert np.argmax(back.line_integrals) == np.argmax(pixels)


def test_what_is_no_radiograph_adds_nothing(logic, scene, state, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    before = state()
    for path in (tmp_path / "text.png", tmp_path / "missing.dcm", tmp_path):
        with pytest.raises(InputError):
            logic.loadRadiograph(path, "AP", spacing=1.0)
    assert state() == before


# Reconstruction


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
    assert (attribute(node, "Model"), attribute(node, "ModelSHA256")) == ("a model", SHA256)
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


# Segments, surfaces, figures


def test_segments_and_surfaces_join_the_folder(logic, views, fake, ct):
    result = logic.reconstruct(views, grid=Grid.centred(ct.grid.centre, (48, 36, 40), 8.0), name="Case")
    segmentation = logic.segment(result.volumeNode)
    assert segmentation.GetName() == "Case segmentation"
    surfaces = logic.extractSurfaces(segmentation)
    assert [node.GetName() for node in surfaces] == ["body", "lungs", "bone"]
    assert names_in(result.folder)[-4:] == ["Case segmentation", "body", "lungs", "bone"]
    labelmap = segmentation_nodes.segmentation_from_node(segmentation)
    for node in surfaces:
        counted = np.count_nonzero(labelmap.mask(node.GetName())) * labelmap.grid.voxel_volume / 1000
        assert json.loads(attribute(node, "VolumeML")) == pytest.approx(counted, rel=0.05)
        assert provenance.sources(node) == [segmentation]
    lungs = vtk_to_numpy(surfaces[1].GetPolyData().GetPoints().GetData())
    inside = np.argwhere(labelmap.mask("lungs"))[:, ::-1]
    lps = inside @ labelmap.grid.affine[:3, :3].T + labelmap.grid.affine[:3, 3]
    np.testing.assert_allclose(lungs.mean(axis=0) * [-1, -1, 1], lps.mean(axis=0), atol=8)


def test_segmenting_what_has_no_body_adds_nothing(logic, scene, state, ct):
    array = np.full(ct.grid.shape, -1000, np.int16)
    array[0, 0, 0] = -500
    node = volume_nodes.volume_to_node(Volume(array, ct.grid), "Air")
    before = state()
    with pytest.raises(InputError):
        logic.segment(node)
    assert state() == before


def test_surfaces_of_empty_segments_add_nothing(logic, scene, state, oblique):
    empty = segmentation_nodes.segmentation_to_node(Labelmap(np.zeros(oblique.shape, np.uint8), oblique, {1: "bone"}), "Empty")
    before = state()
    with pytest.raises(InputError, match="Empty are empty"):
        logic.extractSurfaces(empty)
    assert state() == before


def test_comparing_a_ct_with_itself_is_perfect(logic, ct_node, state):
    before = state()
    found = logic.compare(ct_node, ct_node)
    assert found["psnr"] == float("inf") and found["ssim"] == pytest.approx(1)
    assert found["hu_mae_body"] == 0
    for figures in found["structures"].values():
        assert figures["dice"] == 1 and figures["hd95_mm"] == 0
        assert figures["volume_ml"] == figures["volume_ml_ct"] > 0
    assert state() == before


def test_comparing_sees_an_offset_of_hu(logic, ct_node, ct):
    brighter = volume_nodes.volume_to_node(Volume(ct.array.astype(np.float32) + 50, ct.grid), "Brighter")
    found = logic.compare(brighter, ct_node)
    assert found["hu_mae_body"] == pytest.approx(50, abs=1e-3)
    assert found["psnr"] == pytest.approx(20 * np.log10(2500 / 50), abs=0.1)
    assert found["psnr_x2ct"] - found["psnr"] == pytest.approx(20 * np.log10(4095 / 2500))
    assert "2500" in found["range"]


def test_comparing_with_a_ct_elsewhere_is_refused(logic, ct_node, ct):
    far = Grid(ct.grid.size, ct.grid.spacing, tuple(np.add(ct.grid.origin, 5000)))
    away = volume_nodes.volume_to_node(Volume(ct.array, far), "Away")
    with pytest.raises(InputError, match=r"Away cannot be compared with CT: .*does not overlap"):
        logic.compare(away, ct_node)


# Showing, models, and a class that Slicer's own logic is mixed with


def test_show_projection_replaces_what_it_showed(logic, views):
    first = [node.GetID() for node in logic.showProjection(views[0])]
    other = logic.showProjection(views[1])
    second = logic.showProjection(views[0])
    assert [node.GetName() for node in second] == ["CT AP beam", "CT AP picture"]
    left = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLModelNode")]
    assert set(left) == {node.GetID() for node in [*other, *second]}
    assert not set(first) & set(left)
    items = [hierarchy().GetItemByDataNode(node) for node in second]
    assert all(items) and hierarchy().GetNumberOfItems() == 1 + 2 + 4  # the CT, two radiographs, four models


def test_models_are_listed_without_running_them(logic, monkeypatch, tmp_path):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.pt").write_bytes(b"no model")
    assert "broken" not in [model.path.stem for model in logic.models()]


def test_logic_mixes_with_a_class_that_has_its_own_init(ct_node):
    class Base:
        def __init__(self):
            self.ready = True

    class Mixed(Base, Logic):
        def __init__(self):
            Base.__init__(self)

    mixed = Mixed()
    assert mixed.ready and mixed.renderDRR(ct_node, size=(4, 4), spacing=100.0) is not None


def test_all_or_nothing_keeps_what_was_there(scene, state, ct_node):
    before = state()
    with pytest.raises(KeyboardInterrupt), scene_module.all_or_nothing():
        folder = scene_module.new_folder("Half")
        scene_module.put(volume_nodes.volume_to_node(volume_nodes.volume_from_node(ct_node), "Copy"), folder)
        raise KeyboardInterrupt
    assert state() == before


def test_import_needs_only_what_slicer_has():
    """Slicer has no torch until the user installs it, so importing must not ask for it, nor for what comes with it."""
    absent = ("torch", "skimage", "jsonschema", "tqdm", "platformdirs", "qt", "ctk")
    code = (
        f"import sys\nfor name in {absent!r}:\n    sys.modules[name] = None\n"
        "from XRayTo3DSlicer import headless, logic\n"
        "from XRayTo3DSlicer.nodes import model_nodes, radiograph_nodes, results, segmentation_nodes, volume_nodes\n"
        "import slicer\nassert getattr(slicer, 'mrmlScene', None) is None"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr


# What does not belong to the call


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


# A scene that is closed, or a source that is removed, while the work runs


@pytest.mark.parametrize("event", ["closed", "CT AP was removed", "loaded"])
def test_results_do_not_land_in_another_scene(logic, views, fake, scene, event, tmp_path):
    """In the new scene the same node IDs are given again, so that references would point at strangers."""
    headless.save_scene(tmp_path / "case.mrb")
    after = []

    def progress(fraction, text):
        if not after:
            if event == "closed":
                scene.Clear(False)
            elif event == "loaded":
                headless.load_scene(tmp_path / "case.mrb")
            else:
                scene.RemoveNode(views[0])
            after.append(sorted(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")))

    with pytest.raises(InputError, match="removed" if "removed" in event else "The scene was closed while the work ran"):
        logic.reconstruct(views, progress=progress)
    assert after == [sorted(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode"))]


def test_drrs_do_not_land_in_another_scene(logic, ct_node, scene):
    with pytest.raises(InputError, match="The scene was closed"):
        logic.renderDRR(ct_node, ["AP", "LAT"], size=(8, 8), spacing=60.0, progress=lambda *_: scene.Clear(False))
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_cancelled_at_any_step_the_scene_is_as_it_was(logic, views, fake, scene, state, ct_node, ct):
    """Every call that takes a progress, cancelled at each of its steps in turn."""
    segmentation = logic.segment(ct_node)
    small = {"size": (8, 8), "spacing": 60.0}
    calls = [
        lambda progress: logic.renderDRR(ct_node, ["AP", "LAT", "LAO30"], progress=progress, **small),
        lambda progress: logic.renderDRR(ct_node, quality="preview", photons=1e5, kilovolts=80, progress=progress, **small),
        lambda progress: logic.renderStructures(segmentation, ["AP", "LAT"], ctNode=ct_node, progress=progress, **small),
        lambda progress: logic.reconstruct(views, progress=progress),
    ]
    before, cancelled = state(), 0
    for call in calls:
        stop = 0
        while True:
            left = iter(range(stop))

            def progress(fraction, text, left=left):
                if next(left, None) is None:
                    raise Cancelled

            try:
                call(progress)
            except Cancelled:
                assert state() == before, (call, stop)
                stop += 1
            else:
                break
        assert stop >= 3 or call is calls[-1]
        cancelled += stop
        before = state()
    assert cancelled >= 15


def test_showing_again_and_again_leaves_nothing_behind(logic, views, scene):
    """Not even display nodes: 200 calls once took 69 MB."""
    logic.showProjection(views[0])
    before = scene.GetNumberOfNodes()
    for _ in range(3):
        logic.showProjection(views[0])
    assert scene.GetNumberOfNodes() == before


def test_a_segmentation_knows_the_volume_it_was_made_of(logic, ct_node, scene):
    """The Segment Editor asks for it otherwise, and DICOM SEG cannot be exported."""
    node = logic.segment(ct_node)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is ct_node
    back = segmentation_nodes.segmentation_from_node(node)
    assert back.grid.same_as(volume_nodes.volume_from_node(ct_node).grid, 1e-6)


def test_a_detector_larger_than_any_plate_is_asked_about(logic, scene, state, tmp_path):
    """2500 pixels of 2 mm would be a detector of 5 m."""
    pixels = np.arange(250 * 200).reshape(250, 200) % 251
    path = tmp_path / "front.png"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels.astype(np.uint8)), str(path))
    before, questions = state(), []

    def ask(answer):
        return lambda question: questions.append(question) or answer

    with pytest.raises(InputError, match="no known pixel spacing"):
        logic.loadRadiograph(path, "AP")
    with pytest.raises(Cancelled):
        logic.loadRadiograph(path, "AP", spacing=20.0, ask=ask(False))
    assert state() == before and "4000 x 5000 mm" in questions[0] and "front.png" in questions[0]
    assert logic.loadRadiograph(path, "AP", spacing=1.72, ask=ask(False)) is not None and len(questions) == 1
    assert logic.loadRadiograph(path, "AP", spacing=20.0, ask=ask(True)) is not None and len(questions) == 2


def test_a_marker_gives_a_picture_its_mm(logic, scene, tmp_path):
    rows, columns = np.mgrid[:96, :96]
    disc = np.hypot(rows - 30, columns - 60) < 10
    Image.fromarray((60 + rows // 4 + 150 * disc).astype(np.uint8)).save(tmp_path / "a.png")
    node = logic.loadRadiograph(tmp_path / "a.png", "AP", marker=(40, 0), markerAt=(31, 61))
    assert radiograph_nodes.radiograph_from_node(node).projection.spacing[0] == pytest.approx(2, rel=0.03)
    count = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    with pytest.raises(InputError, match="either gives the picture its mm"):
        logic.loadRadiograph(tmp_path / "a.png", "AP", spacing=2, marker=(40, 0))
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == count
