"""Standard streams that bear what is said to them: closed pipes, full disks, narrow encodings, none at all."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Stream(io.TextIOBase):
    """Text to ``inner``: letters that it cannot write are spelled out, and the first failure is kept instead of raised.

    With ``plain`` control characters, as escapes of a terminal in the name of a file, are spelled out too.
    """

    def __init__(self, inner: TextIO, plain: bool) -> None:
        self.inner, self.plain = inner, plain
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.inner, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if self.failure is None:
            shown = plain(text) if self.plain else text
            shown = shown.encode(self.encoding, "backslashreplace").decode(self.encoding, "replace")
            self._try(lambda: self.inner.write(shown))
        return len(text)

    def flush(self) -> None:
        if self.failure is None:
            self._try(self.inner.flush)

    def isatty(self) -> bool:
        return bool(getattr(self.inner, "isatty", lambda: False)())

    def fileno(self) -> int:
        return self.inner.fileno()

    def writable(self) -> bool:
        return True

    def _try(self, action: Any) -> None:
        try:
            action()
        except ValueError:  # the stream was closed
            self.failure = OSError("closed")
        except OSError as error:
            self.failure = error
            # What is buffered cannot be written at the end either: Python would complain of it then.
            with suppress(OSError, ValueError):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, self.inner.fileno())
                os.close(nothing)


def plain(text: str) -> str:
    """``text`` with control characters, but for line ends and tabs, spelled out: no file's name or card moves the cursor."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@contextmanager
def patient_streams() -> Iterator[tuple[Stream, Stream]]:
    """``sys.stdout`` and ``sys.stderr`` as :class:`Stream`; where there is none (a program with windows) nothing is shown."""
    before = sys.stdout, sys.stderr
    out, err = (Stream(_existing(stream), plain) for stream, plain in ((sys.stdout, True), (sys.stderr, False)))
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _existing(stream: TextIO | None) -> TextIO:
    return io.StringIO() if stream is None else stream
