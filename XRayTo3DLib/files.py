"""Writing files whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from XRayTo3DLib.errors import InputError


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``, with its ending, that takes its place when the block succeeds.

    A full disk, a read-only folder or a format that the writer refuses becomes an :class:`InputError`, and neither the
    temporary nor a half-written file stays.
    """
    target = Path(path)
    # The ending comes last, because writers choose the format by it (.nii.gz and .seg.nrrd have two parts).
    temporary = target.with_name(f".part-{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or ["unknown"])[-1]
        raise InputError(
            f"{target} could not be written ({reason}): check that the folder can be written to, that the disk has room "
            "and that the file's ending is a known format."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def user_folder(kind: str) -> Path:
    """The user's folder for ``models``, ``cache`` or ``config`` of this software; ``XRAYTO3D_HOME`` moves them all."""
    home = os.environ.get("XRAYTO3D_HOME")
    if home:
        return Path(home) / kind
    import platformdirs  # not at file scope: Slicer installs it only when it is first needed

    folders = platformdirs.PlatformDirs("XRayTo3D", appauthor=False)
    return {"cache": folders.user_cache_path, "config": folders.user_config_path}.get(kind, folders.user_data_path / kind)


def resources_folder() -> Path:
    """The folder with the bundled models, beside the library in a checkout or in Slicer, inside it in a wheel."""
    beside = Path(__file__).resolve().parent.parent / "Resources"
    return beside if (beside / "Models").is_dir() else Path(__file__).resolve().parent / "resources"
