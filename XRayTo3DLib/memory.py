"""How much memory the machine can still give, asked before something large is allocated."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from XRayTo3DLib.errors import InputError

#: Taken where the machine does not say.
_UNKNOWN = 4 << 30
#: The share of what is free that one piece of work may take.
_SHARE = 0.8


def available_memory() -> int:
    """Bytes that can be allocated without swapping, as the system estimates them; 4 GiB where it does not say.

    Linux: MemAvailable, or less where the process's control group is bounded. Windows: ullAvailPhys. macOS: half of the memory.
    """
    try:
        if sys.platform.startswith("linux"):
            text = Path("/proc/meminfo").read_text(encoding="ascii")
            free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable"))
            group = Path("/sys/fs/cgroup/memory.max")
            bound = group.read_text(encoding="ascii").strip() if group.exists() else "max"
            if bound.isdecimal():
                used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
                free = min(free, max(0, int(bound) - used))
            return free
        if sys.platform == "win32":
            return _windows()
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, StopIteration, AttributeError):
        return _UNKNOWN


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Raise :class:`InputError` when ``needed`` bytes are more than the machine can give.

    ``what`` begins the sentence ("The volume in a.nrrd"), ``remedy`` ends it ("resample it").
    """
    free = available_memory()
    if needed > _SHARE * free:
        raise InputError(f"{what} needs {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free: {remedy}.")


def _windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = [("dwLength", ctypes.c_ulong), ("dwMemoryLoad", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("ullTotalPhys", "ullAvailPhys", "a", "b", "c", "d", "e")
        ]

    status = Status()
    status.dwLength = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.ullAvailPhys)
