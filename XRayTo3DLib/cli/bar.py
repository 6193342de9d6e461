"""Progress bars on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from XRayTo3DLib.cli.streams import plain
from XRayTo3DLib.progress import Progress


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress shown as one bar on stderr, which appears with the first report and stays when the work succeeds."""
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed}{postfix}"
    shown = tqdm(total=1.0, desc=f"{title:<22}", bar_format=layout, leave=True, delay=1e-9, mininterval=0.2)

    def progress(fraction: float, text: str) -> None:
        shown.set_postfix_str(plain(text)[:46], refresh=False)
        shown.update(max(0.0, min(1.0, fraction) - shown.n))

    try:
        yield progress
        shown.set_postfix_str("", refresh=False)
        shown.update(1.0 - shown.n)
    except BaseException:
        shown.leave = False
        raise
    finally:
        shown.close()
