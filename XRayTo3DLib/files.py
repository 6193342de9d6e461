"""Reading only what is a file, and writing files whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError

#: A text of numbers or settings is never larger, in bytes.
LARGEST_TEXT = 16 << 20


def readable_file(path: str | Path, what: str = "file") -> Path:
    """``path`` as a regular file; :class:`InputError` for one that is missing, or a folder, pipe or device.

    A pipe would be waited for, and a device such as /dev/zero never ends. ``what`` names the thing in the sentence.
    """
    source = Path(path)
    try:
        mode = source.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(f"The {what} {source} {reason}: check the path.") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"The {what} {source} is {kind}: name a file.")
    check_name(source)
    return source


def check_name(path: Path) -> None:
    """Raise :class:`InputError` for a name that is not UTF-8: ITK and VTK end the process for one, read or written."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        mend = "rename it"
        if sys.getfilesystemencoding() != "utf-8":  # then every letter beyond ASCII looks so
            mend += ", or set PYTHONUTF8=1 if the name is right"
        raise InputError(f"The file name {os.fspath(path)!r} is not UTF-8: {mend}.") from None


def read_text_file(path: str | Path, what: str = "file", largest: int = LARGEST_TEXT) -> bytes:
    """The bytes of a regular file of at most ``largest`` bytes; :class:`InputError` otherwise."""
    source = readable_file(path, what)
    try:
        with source.open("rb") as stream:
            content = stream.read(largest + 1)
    except OSError as error:
        raise InputError(f"The {what} {source} cannot be read ({error.strerror}): check the path.") from None
    if len(content) > largest:
        raise InputError(f"The {what} {source} has more than {largest >> 20} MB: it is not what it should be; check the path.")
    return content


def parse_json(text: str | bytes, what: str) -> Any:
    """What a text of JSON holds; :class:`InputError` when it is not JSON, or nested too deeply. ``what`` begins the sentence."""
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{what} is nested too deeply to be read: write it again.") from None
    except ValueError:  # also for bytes that are no text, and whole numbers of too many digits
        raise InputError(f"{what} is not valid JSON: write it again.") from None


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``, with its ending, that takes its place when the block succeeds.

    A full disk, a read-only folder or a format that the writer refuses becomes an :class:`InputError`, and neither the
    temporary nor a half-written file stays.
    """
    target = Path(path)
    check_name(target)
    # The ending comes last, because writers choose the format by it (.nii.gz and .seg.nrrd have two parts).
    temporary = target.with_name(f".part-{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
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


@contextmanager
def temporary_folder(target: str | Path) -> Iterator[Path]:
    """A hidden folder beside ``target`` for the time of the block; one that a killed process leaves is swept like its files."""
    path = Path(target)
    folder = path.with_name(f".part-{uuid.uuid4().hex[:8]}-{path.name}")
    _sweep(path)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(path: str | Path) -> None:
    """:class:`InputError` when a file could not be written at ``path`` later, after long work; nothing stays behind.

    Tried by writing a name as long as :func:`writing` uses into the closest folder that is there.
    """
    target = Path(path)
    check_name(target)
    folder = target.parent
    try:
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        probe = folder / f".part-{uuid.uuid4().hex[:8]}-{target.name}"
        try:
            probe.write_bytes(b"")
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{target} cannot be written ({reason}): choose another place.") from None


def _sweep(target: Path) -> None:
    """Remove what a process that was killed while it wrote ``target`` has left beside it, when it is an hour old."""
    for left in target.parent.glob(f".part-????????-{glob.escape(target.name)}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime <= 3600:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


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
