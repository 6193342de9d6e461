"""The demo as a 3D Slicer scene, made with the extension's own logic on slicer-core: the one place that needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.answer import Answer


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
    from XRayTo3DSlicer import demo_scene

    demo_scene.write(path, ct, radiographs, [(name, answer.found, answer.labels) for name, answer in answers], progress)
