"""plastimatch's exact (Siddon) DRR: a command, found on the path; the whole command, and what its own timer says.

The command reads the CT from a file each time it is called, which is the only way to call it. Its own timer leaves that out.
Detectors stand on the central ray here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.itk_images import to_sitk

_COMMAND = shutil.which("plastimatch")
if _COMMAND is None:
    raise ImportError("no command plastimatch on the path")


def _version() -> str:
    done = subprocess.run([str(_COMMAND), "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False)
    return (done.stdout.split() or ["?"])[-1]


#: It integrates in cm.
_MM = 10.0


class Command:
    name = "plastimatch, whole command"
    versions = {"plastimatch": _version()}
    model = "box"
    slow = False
    environment: dict[str, str] = {}
    #: Set where the command's own timer is to be believed: seconds of the last call.
    seconds: float | None = None

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        self.pivot = grid.centre
        # It takes axes along LPS only: the voxels are put into that order, which loses nothing.
        image = sitk.DICOMOrient(to_sitk(mu * _MM, grid), "LPS")
        if not np.allclose(image.GetDirection(), np.eye(3).ravel()):
            raise ValueError("plastimatch takes volumes along the patient's axes only")
        sitk.WriteImage(image, str(Path(self.folder.name) / "mu.mha"))

    @staticmethod
    def use_threads(count: int) -> int:
        os.environ["OMP_NUM_THREADS"] = str(count)
        return count

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        runs = [self._run(view) for view in projections]
        self._note(sum(seconds for _, seconds in runs))
        return [picture for picture, _ in runs]

    def _note(self, seconds: float) -> None:
        """The command's own timer is not asked here."""

    def _run(self, view: Projection) -> tuple[np.ndarray, float]:
        forward = view.normal * (-1 if view.is_mirrored else 1)
        aim = view.source + (forward @ (self.pivot - view.source)) * forward
        options = {
            "-i": "exact",
            "-P": "none",
            "-t": "raw",
            "-r": _words(view.size),
            "-z": _words(np.multiply(view.size, view.spacing)),
            "--sad": _words([np.linalg.norm(aim - view.source)]),
            "--sid": _words([view.source_to_detector]),
            "-n": _words(-forward),
            "--vup": _words(-view.column_direction),
            "-o": _words(aim),
            "-O": "picture_",
        }
        command = [str(_COMMAND), "drr", *(word for pair in options.items() for word in pair), "mu.mha"]
        done = subprocess.run(command, cwd=self.folder.name, capture_output=True, encoding="utf-8", errors="replace", check=True)
        picture = np.fromfile(Path(self.folder.name) / "picture_0000.raw", np.float32).reshape(view.size)
        timer = re.search(r"Total time: ([\d.e+-]+)", done.stdout)
        assert timer, f"plastimatch did not print its time: {done.stdout}"
        return picture[:, ::-1] if view.is_mirrored else picture, float(timer[1])


class OwnTimer(Command):
    name = "plastimatch, own timer"

    def _note(self, seconds: float) -> None:
        self.seconds = seconds


def _words(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(repr(float(value)) if value != int(value) else str(int(value)) for value in values)
