"""Peak memory of one job of one engine, beyond the volume that the caller holds anyway: run by drr.py in a process of its own.

    python memory.py ENGINE JOB FOLDER THREADS

FOLDER holds mu.npy and grid.json. What is compiled or loaded once is done before, on a small volume. Linux only: there the
operating system keeps the peak of a process and can be told to start again.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from engines import installed
from jobs import Job, Scene, all_jobs

from XRayTo3DLib.geometry.grid import Grid

#: Side of the small volume that warms an engine up.
_SMALL = 32


def save(scene: Scene, folder: Path) -> None:
    """Write what :func:`main` reads."""
    grid = scene.grid
    np.save(folder / "mu.npy", scene.mu)
    header = {"size": grid.size, "spacing": grid.spacing, "origin": grid.origin, "direction": grid.direction.tolist()}
    (folder / "grid.json").write_text(json.dumps(header), encoding="utf-8")


def measure(engine: str, job: str, folder: Path, threads: int) -> int:
    """Bytes beyond the volume, in a new process; raises :class:`subprocess.CalledProcessError` when the engine fails."""
    command = [sys.executable, __file__, engine, job, str(folder), str(threads)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True, env=environment)
    return int(done.stdout.strip().splitlines()[-1])


def can_measure() -> bool:
    return Path("/proc/self/clear_refs").exists()


def _status(name: str) -> int:
    """A line of the process's status in bytes: VmRSS is what it holds, VmHWM the most it held."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return 1024 * int(found[1])


def _job(key: str, scene: Scene) -> Job:
    return next(job for job in all_jobs(scene, scene) if job.key == key)


def _run(engine: Any, job: Job) -> None:
    job.run(engine(job.scene.mu, job.scene.grid))


def main() -> None:
    name, key, folder, threads = sys.argv[1:]
    engine = installed()[0][name]
    engine.use_threads(int(threads))
    os.environ.update(engine.environment)
    random = np.random.default_rng(0).random((_SMALL, _SMALL, _SMALL), dtype=np.float32)
    _run(engine, _job(key, Scene("small", random, Grid.centred((0, 0, 0), _SMALL, 300 / _SMALL))))
    header = json.loads((Path(folder) / "grid.json").read_text(encoding="utf-8"))
    job = _job(key, Scene("chest", np.load(Path(folder) / "mu.npy"), Grid(**header)))
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    _run(engine, job)
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main()
