"""Output folders that are filled whole or not at all, and the files of a result."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A hidden folder inside ``folder`` whose files move into it when the block succeeds, replacing their namesakes.

    It is made before the work, so that a folder that cannot be written to is found then. When the block fails, it is
    removed, and so is every folder that was made for it.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    staging = folder / f".part-{uuid.uuid4().hex[:8]}"
    try:
        try:
            staging.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"Nothing can be written to the folder {folder} ({error.strerror}): name another --out.") from None
        try:
            yield staging
            for path in sorted(staging.iterdir()):
                path.replace(folder / path.name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"The results could not be written to {folder} ({reason}): make room or name another --out."
            ) from error
        except InputError as error:  # the user knows the folder, not the hidden one
            raise InputError(str(error).replace(str(staging), str(folder))) from error
        made = []
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def write_json(values: Any, path: Path) -> None:
    """Write JSON that every reader takes: a figure that is not defined (NaN, infinite) becomes null."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(_plain(values), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
