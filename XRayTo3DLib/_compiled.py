"""Compiling with numba, and running what is compiled on several threads.

Threads are Python's own: the compiled code runs outside Python's lock, and nothing depends on which threading library numba
finds, or on what another package has done with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit

jit: Callable[..., Any] = njit(nogil=True, fastmath=True, cache=True)
inline: Callable[..., Any] = njit(nogil=True, fastmath=True, inline="always")

_announced: set[str] = set()


def run(kernel: Any, arguments: Sequence[Any], pieces: int, threads: int) -> None:
    """The kernel over all pieces of work, handed out in order to the threads; it runs outside Python's lock."""
    announce(kernel)
    if threads == 1 or pieces == 1:
        kernel(*arguments, 0, pieces)
        return
    share = max(1, pieces // (8 * threads))
    starts = range(0, pieces, share)
    list(pool(threads).map(lambda first: kernel(*arguments, first, min(pieces, first + share)), starts))


@lru_cache(maxsize=4)
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="projector")


if hasattr(os, "register_at_fork"):
    # A forked process has the pools but not their threads.
    os.register_at_fork(after_in_child=pool.cache_clear)


def announce(kernel: Any) -> None:
    """Say, before the first call on a machine, that it will compile: it takes some seconds."""
    name = kernel.py_func.__name__
    if name in _announced:
        return
    _announced.add(name)
    if not any(Path(kernel.stats.cache_path).glob(f"*.{name}-*.nbi")):
        logging.getLogger(__name__).warning("Compiling the fast projector, once on this machine (some seconds) ...")
