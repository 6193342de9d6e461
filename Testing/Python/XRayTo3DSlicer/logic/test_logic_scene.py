"""The scene stays as it was: after an error, a cancel at any step, and when it is closed while the work runs."""

import pytest
import slicer
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.nodes import scene as scene_module
from XRayTo3DSlicer.nodes import volume_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Cancelled


def test_all_or_nothing_keeps_what_was_there(scene, state, ct_node):
    before = state()
    with pytest.raises(KeyboardInterrupt), scene_module.all_or_nothing():
        folder = scene_module.new_folder("Half")
        scene_module.put(volume_nodes.volume_to_node(volume_nodes.volume_from_node(ct_node), "Copy"), folder)
        raise KeyboardInterrupt
    assert state() == before


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
