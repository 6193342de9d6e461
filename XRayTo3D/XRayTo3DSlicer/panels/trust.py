"""The question whether a model from elsewhere may run."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


def ask(model: Any) -> bool:
    """Ask once a file (the library remembers its SHA-256) whether a model from elsewhere may run."""
    question = _(
        "The model {name} did not come with XRay to 3D:\n{path}\nSHA-256 {sha256}\n\nLoading a model runs its code "
        "on this computer with your rights. Do you know where it comes from, and run it? You are asked once for "
        "this file."
    )
    return bool(
        slicer.util.confirmYesNoDisplay(
            question.format(name=model.name, path=model.path, sha256=model.sha256), _("XRay to 3D: run this model?")
        )
    )
