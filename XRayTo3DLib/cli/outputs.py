"""Output folders that are filled whole or not at all, and the files of a result."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_name, writing
from XRayTo3DLib.progress import interrupts_held

_HIDDEN, _LOCK, _OLD, _NAMES = ".part-", ".lock", ".old", ".names"
#: Seconds: a folder younger than this may not have its lock yet; one older than a day is nobody's.
_JUST_MADE, _DAY = 5.0, 86400.0


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
    try:
        if not path.is_dir():
            return [path]
    except OSError:  # a name that no file system takes: the reader says so
        return []
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

    It is made before the work, so that a folder that cannot be written to is found then. All its files move or none. When the
    block fails, it is removed, and so is every folder that was made for it. What a process that was killed left behind is
    removed by the next one, which also takes back a move that was not finished: the old files are there again.
    """
    check_name(folder)
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    if folder.is_dir():
        _sweep(folder)
    staging = folder / f"{_HIDDEN}{uuid.uuid4().hex[:8]}"
    lock: IO[bytes] | None = None
    try:
        try:
            staging.mkdir(parents=True)
            lock = _locked(staging)
        except OSError as error:
            raise InputError(f"Nothing can be written to the folder {folder} ({error.strerror}): name another --out.") from None
        try:
            yield staging
        except OSError as error:
            raise _written(error, folder, staging) from error
        except InputError as error:  # the user knows the folder, not the hidden one
            raise InputError(str(error).replace(str(staging), str(folder))) from error
        with interrupts_held():
            _move_all(staging, folder)
        made = []
    finally:
        if lock is not None:
            lock.close()
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _written(error: OSError, folder: Path, staging: Path) -> InputError:
    """The sentence for a failure of the system: of the results, unless it names a file elsewhere."""
    reason = error.strerror or str(error)
    place = error.filename
    if isinstance(place, (str, bytes)) and not Path(os.fsdecode(place)).is_relative_to(folder):
        return InputError(f"{os.fsdecode(place)} could not be used ({reason}): check this file and its folder.")
    return InputError(f"The results could not be written to {folder} ({reason}): make room or name another --out.")


def _move_all(staging: Path, folder: Path) -> None:
    """Move the files of ``staging`` into ``folder``: all, or none with everything as it was."""
    files = [path for path in sorted(staging.iterdir()) if path.name not in (_LOCK, _OLD, _NAMES)]
    for path in files:
        if (folder / path.name).is_dir():
            raise InputError(f"{folder / path.name} is a folder where a file should be written: move it, or name another --out.")
    old = staging / _OLD
    done: list[tuple[Path, bool]] = []
    try:
        old.mkdir()
        (staging / _NAMES).write_text(json.dumps([path.name for path in files]), encoding="utf-8")
        for path in files:
            target = folder / path.name
            replaced = target.exists() or target.is_symlink()
            if replaced:
                _keep(target, old / path.name)
            done.append((target, replaced))
            path.replace(target)
    except OSError as error:
        for target, replaced in reversed(done):
            with suppress(OSError):
                target.unlink(missing_ok=True)
                if replaced:
                    (old / target.name).replace(target)
        raise _written(error, folder, staging) from error


def _keep(target: Path, kept: Path) -> None:
    """Keep the old file under another name; where there are hard links its own name is never without a file."""
    try:
        os.link(target, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):
        target.replace(kept)


def _take_back(staging: Path, folder: Path) -> None:
    """Undo the move of files that a process that was killed had begun and not finished."""
    try:
        names = json.loads((staging / _NAMES).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it was killed before it began
        return
    waiting = {path.name for path in staging.iterdir()}
    if not waiting & set(names):  # all had moved
        return
    for name in names:
        old, target = staging / _OLD / name, folder / name
        if old.exists() or old.is_symlink():
            target.unlink(missing_ok=True)
            old.replace(target)
        elif name not in waiting:
            target.unlink(missing_ok=True)


def _locked(staging: Path) -> IO[bytes]:
    """A file that stays locked as long as this process lives, where the system has such locks."""
    lock = (staging / _LOCK).open("wb")
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        pass
    return lock


def _sweep(folder: Path) -> None:
    """Remove hidden folders of processes that are no more: those that are not locked, or, without locks, a day old."""
    for staging in folder.glob(f"{_HIDDEN}????????"):
        with suppress(OSError):
            age = time.time() - staging.stat().st_mtime
            lock = staging / _LOCK
            if not staging.is_dir() or age < _JUST_MADE:
                continue
            try:
                import fcntl

                with lock.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:
                if age < _DAY:
                    continue
            except FileNotFoundError:
                if age < _DAY:
                    continue
            except OSError:  # another process holds it
                continue
            _take_back(staging, folder)
            shutil.rmtree(staging, ignore_errors=True)


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
