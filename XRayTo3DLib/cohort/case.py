"""One case of many: its files appear together with its record, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_name, temporary_folder, writing

#: Where the records of a run lie, one file a case.
RECORDS = "cases"
#: Makes the files of one case in the folder it is given. It must be a function of a module, so that another process can find it.
Work = Callable[[Any, Path], None]


@dataclass(frozen=True)
class CaseResult:
    """``state``: ``"done"``, ``"kept"`` (an earlier run had done it) or ``"failed"`` with a ``reason`` (one sentence); ``files``
    are names in the run's folder."""

    name: str
    state: str
    files: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0


def fingerprint(value: Any) -> str:
    """A digest of what a case is made from (JSON); another value is another case."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def finished(name: str, digest: str, folder: Path) -> CaseResult | None:
    """What the record says of a case that an earlier run did from the same values and whose files are all there, else ``None``."""
    try:
        record = json.loads((folder / RECORDS / f"{name}.json").read_text(encoding="utf-8"))
        files = tuple(record["files"])
        if record["digest"] != digest or not all((folder / file).is_file() for file in files):
            return None
        return CaseResult(name, "kept", files, seconds=float(record["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def do_case(work: Work, name: str, argument: Any, digest: str, folder: Path) -> CaseResult:
    """Do one case. Its files are made in a hidden folder and moved when all are there, the record last.

    A process that is killed before the record leaves a case that is not done; doing it again writes the same names, so nothing is
    doubled. Whatever the work raises becomes the reason of a failure.
    """
    known = finished(name, digest, folder)
    if known is not None:
        return known
    began = time.monotonic()
    try:
        check_name(folder / name)
        with temporary_folder(folder / name) as made:
            work(argument, made)
            files = tuple(sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()))
            if not files:
                raise InputError("the work left no file")
            for file in files:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                (made / file).replace(target)
        seconds = round(time.monotonic() - began, 2)
        with writing(folder / RECORDS / f"{name}.json") as temporary:
            temporary.write_text(
                json.dumps({"digest": digest, "files": files, "seconds": seconds, "process": os.getpid()}), encoding="utf-8"
            )
        return CaseResult(name, "done", files, seconds=seconds)
    except Exception as error:  # a case's failure is told and does not stop the others
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return CaseResult(name, "failed", reason=" ".join(reason.split()), seconds=time.monotonic() - began)


def sweep(folder: Path) -> None:
    """Remove the hidden folders that killed workers of an earlier run have left; no run may be going on in ``folder``."""
    for left in folder.glob(".part-????????-*"):
        with suppress(OSError):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
