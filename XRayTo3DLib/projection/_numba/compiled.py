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

from numba import config, njit

if getattr(config, "DISABLE_JIT", 0):
    # The kernels would run as plain Python, for hours: the projector takes torch, as where numba is not installed.
    raise ImportError("numba is told not to compile (NUMBA_DISABLE_JIT)")

jit: Callable[..., Any] = njit(nogil=True, fastmath=True, cache=True)
inline: Callable[..., Any] = njit(nogil=True, fastmath=True, inline="always")

_announced = False


def run(kernel: Any, arguments: Sequence[Any], pieces: int, threads: int) -> None:
    """The kernel over all pieces of work, several at a time, by :func:`share`; it runs outside Python's lock."""
    announce(kernel)
    step = max(1, pieces // (8 * threads)) if threads > 1 else pieces
    share(lambda first: kernel(*arguments, first, min(pieces, first + step)), range(0, pieces, step), threads)


def share(work: Callable[[Any], object], items: Sequence[Any], threads: int) -> None:
    """Do the work for all items. The calling thread and its helpers take the next item as they become free."""
    waiting = iter(items)

    def take() -> None:
        for item in waiting:
            work(item)

    helpers = [_pool(threads - 1).submit(take) for _ in range(threads - 1)]
    take()
    for helper in helpers:
        # One that did not wake up in time has nothing left to do.
        if not helper.cancel():
            helper.result()


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="projector")


if hasattr(os, "register_at_fork"):
    # A forked process has the pools but not their threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def announce(kernel: Any) -> None:
    """Say, before the first call on a machine, that it will compile: it takes some seconds."""
    global _announced
    name = kernel.py_func.__name__
    if not _announced and not kernel.signatures and not any(Path(kernel.stats.cache_path).glob(f"*.{name}-*.nbi")):
        _announced = True
        logging.getLogger(__name__).warning("Compiling the fast projector, once on this machine (some seconds) ...")
