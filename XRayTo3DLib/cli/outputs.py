"""Output folders that are filled whole or not at all, and the files of a result."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing


def keep_inputs(folder: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Raise :class:`InputError` when a file called one of ``names`` in ``folder`` would replace one of the ``inputs``.

    A link counts as the file it leads to, and a folder as the DICOM series that is read from it.
    """
    known = list(inputs)
    for target in (folder / name for name in names):
        for path in known:
            if any(_same(target, file) for file in _files_of(path, target)):
                raise InputError(f"{target} is read by this command and would be overwritten by it: name another --out.")


def _files_of(path: Path, target: Path) -> list[Path]:
    """The files of an input that ``target`` could replace."""
    if not path.is_dir():
        return [path]
    if not target.is_file() or not _same(target.parent, path):
        return []
    from XRayTo3DLib.io.dicom_series import series_files

    return [Path(name) for name in series_files(path)]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


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
