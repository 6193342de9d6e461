"""The demo as a 3D Slicer scene, made with the extension's own logic on slicer-core: the one place that needs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.report.work import Answer


def check_scene_packages() -> None:
    """Raise :class:`InputError` before the work when the scene could not be written after it."""
    if find_spec("slicer") is None:
        raise InputError(
            "The demo writes a 3D Slicer scene and needs the Python package slicer-core: run `pip install 'xrayto3d[demo]'`."
        )
    # In a checkout the extension's package lies in the module's folder, which is not on the path.
    beside = Path(__file__).resolve().parents[2] / "XRayTo3D"
    if find_spec("XRayTo3DSlicer") is None and (beside / "XRayTo3DSlicer").is_dir():
        sys.path.append(str(beside))
    if find_spec("XRayTo3DSlicer") is None:
        raise InputError("The demo needs the package XRayTo3DSlicer of this project: install it from its repository.")


def write_scene(
    path: Path,
    ct: Volume,
    radiographs: Sequence[Radiograph],
    answers: Sequence[tuple[str, Answer]],
    progress: Progress = silent,
) -> None:
    """Write ``path`` (.mrb): the CT, its X-rays where their detectors stand, each answer with its structures."""
    bridge = {
        name: importlib.import_module(f"XRayTo3DSlicer.{name}")
        for name in ("headless", "logic", "radiograph_nodes", "results", "scene", "volume_nodes")
    }
    bridge["headless"].start()
    scene = bridge["scene"]
    import slicer

    slicer.mrmlScene.Clear(0)
    logic = bridge["logic"].Logic()
    progress(0.0, "CT and X-rays")
    ct_node = bridge["volume_nodes"].volume_to_node(ct, "CT")
    folder = scene.new_folder("X-rays")
    shown = []
    for radiograph in radiographs:
        node = bridge["radiograph_nodes"].radiograph_to_node(radiograph, f"X-ray {radiograph.name}")
        scene.put(node, folder)
        logic.showProjection(node)
        shown.append(node)
    scene.put(ct_node)
    for number, (name, answer) in enumerate(answers):
        progress(0.2 + 0.5 * number / len(answers), name)
        sources = shown[: len(answer.found.radiographs)]
        added = bridge["results"].add(answer.found, sources, name, True)
        if answer.labels is not None:
            logic.extractSurfaces(logic.segment(added.volumeNode))
    progress(0.75, "writing the scene")
    bridge["headless"].save_scene(path)
