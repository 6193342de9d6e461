"""A whole case as a scene file, made without the application: a CT, its X-rays, and what was reconstructed from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, interrupts_held, silent
from XRayTo3DSlicer import headless
from XRayTo3DSlicer.logic import Logic
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, results, scene, segmentation_nodes, volume_nodes

if TYPE_CHECKING:
    from XRayTo3DLib.reconstruction.result import Reconstruction


def write(
    path: Path,
    ct: Volume,
    radiographs: Sequence[Radiograph],
    answers: Sequence[tuple[str, Reconstruction, Labelmap | None]],
    progress: Progress = silent,
) -> None:
    """Write ``path`` (.mrb): the CT, its X-rays where their detectors stand, and each answer with its structures.

    An answer is its name, a reconstruction from the first one or more of ``radiographs``, and its structures.
    """
    import slicer

    headless.start()
    slicer.mrmlScene.Clear(0)
    logic = Logic()
    progress(0.0, "CT and X-rays")
    shown = []
    with interrupts_held():
        ct_node = volume_nodes.volume_to_node(ct, "CT")
        folder = scene.new_folder("X-rays")
        for radiograph in radiographs:
            node = radiograph_nodes.radiograph_to_node(radiograph, f"X-ray {radiograph.name}")
            scene.put(node, folder)
            logic.showProjection(node)
            shown.append(node)
        scene.put(ct_node)
    for number, (name, found, labels) in enumerate(answers):
        progress(0.2 + 0.5 * number / len(answers), name)
        with interrupts_held():
            added = results.add(found, shown[: len(found.radiographs)], name, True)
            if labels is not None:
                node = segmentation_nodes.segmentation_to_node(labels, f"{name} segmentation", added.volumeNode)
                provenance.stamp(node, [added.volumeNode])
                scene.put(node, added.folder)
                logic.extractSurfaces(node)
    progress(0.75, "writing the scene")
    headless.save_scene(path)
