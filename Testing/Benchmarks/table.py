"""The Markdown of the benchmark: on what it ran, one row a job, and every engine in full."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from jobs import Job

from XRayTo3DLib import __version__
from XRayTo3DLib.geometry.grid import Grid

OURS = ("XRayTo3D", "XRayTo3D torch")
_FULL = "Every engine: median and range, ratio, errors, and what was to be reached"


@dataclass(frozen=True)
class Timing:
    """One call: round 0 warms up; errors are relative, NaN where there is none."""

    job: str
    engine: str
    round: int
    seconds: float
    error_interior: float
    error_all: float


@dataclass
class Report:
    """What was measured, and on what."""

    what: str
    grid: Grid
    jobs: list[Job]
    classes: dict[str, Any]
    missing: dict[str, str]
    rounds: int
    thread_limit: int
    quick: bool
    timings: list[Timing] = field(default_factory=list)
    threads: dict[str, int] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Extra peak memory by (job, engine), in volumes.
    memory: dict[tuple[str, str], float] = field(default_factory=dict)

    def markdown(self) -> str:
        parts = self._head()
        if self._done():
            parts += ["", *self._summary(), "", "<details>", f"<summary>{_FULL}</summary>", "", *self._full(), "", "</details>"]
        if self.memory:
            parts += ["", *self._memory()]
        parts += ["", *self._notes()]
        return "\n".join(parts) + "\n"

    def of(self, job: str, engine: str) -> list[Timing]:
        """The counted calls."""
        return [t for t in self.timings if (t.job, t.engine) == (job, engine) and t.round > 0]

    def median(self, job: str, engine: str) -> float | None:
        found = self.of(job, engine)
        return median(t.seconds for t in found) if found else None

    def ratio(self, job: Job, engine: str) -> float | None:
        """How many times faster than the engine that the job's target names."""
        base, own = self.median(job.key, job.target.base), self.median(job.key, engine)
        return None if base is None or own is None else base / own

    def verdict(self, job: Job, engine: str) -> str:
        """Whether the targets are reached, for one of our engines."""
        target, own, words = job.target, self.median(job.key, engine), []
        if own is None:
            return ""
        exact = target.error is None or max(t.error_interior for t in self.of(job.key, engine)) <= target.error
        ratio = self.ratio(job, engine)
        for word, factor in (("must", target.must), ("aim", target.aim)):
            if factor is not None and ratio is not None:
                words.append(f"{word} {factor:g}x: {'yes' if ratio >= factor and exact else 'no'}")
        if target.aim_rate is not None:
            rate = job.pictures / own
            words.append(f"aim {target.aim_rate:g} frames/s: {'yes' if rate >= target.aim_rate else 'no'} ({rate:.0f})")
        if target.error is not None:
            words.append(f"error ≤ {target.error:g}: {'yes' if exact else 'no'}")
        return "; ".join(words)

    def _head(self) -> list[str]:
        versions = {package: number for engine in self.classes.values() for package, number in engine.versions.items()}
        threads = ", ".join(f"{name} {count}" for name, count in self.threads.items())
        lines = [f"Measured on {date.today().isoformat()}, {self.rounds} rounds after one to warm up, medians."]
        if self.quick:
            lines.append("**Quick run on a small volume: these figures are not to be quoted.**")
        return [
            *lines,
            "",
            f"- machine: {_processor()}, {_cores()} cores used of {os.cpu_count()}, {platform.system()}, "
            f"Python {platform.python_version()}",
            f"- threads: {threads}",
            f"- versions: XRayTo3D {__version__} ({_revision()}), "
            + ", ".join(f"{package} {number}" for package, number in sorted(versions.items())),
            f"- volume: {self.what}; {'x'.join(map(str, self.grid.size))} voxels of "
            f"{'x'.join(f'{s:g}' for s in self.grid.spacing)} mm",
        ]

    def _summary(self) -> list[str]:
        engines = [name for name in self.classes if any(t.engine == name for t in self.timings)]
        lines = [f"| job | {' | '.join(engines)} |", f"|---|{'---|' * len(engines)}"]
        for job in self._done():
            times = {name: self.median(job.key, name) for name in engines}
            best = min(t for t in times.values() if t is not None)
            cells = ["" if t is None else f"**{_seconds(t)}**" if t == best else _seconds(t) for t in times.values()]
            lines.append(f"| {job.title} | {' | '.join(cells)} |")
        return ["Seconds a call; the quickest in bold.", "", *lines]

    def _full(self) -> list[str]:
        lines = [
            "| job | engine | median | from - to | times faster than | error, interior rays | error, all rays | reached |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for job in self._done():
            for name, engine in self.classes.items():
                found, ratio = self.of(job.key, name), self.ratio(job, name)
                if not found:
                    continue
                seconds = [t.seconds for t in found]
                cells = [
                    job.title,
                    name,
                    f"{_seconds(median(seconds))} s",
                    f"{_seconds(min(seconds))} - {_seconds(max(seconds))} s",
                    "" if ratio is None or name == job.target.base else f"{ratio:.2f}x {job.target.base}",
                    f"{_error(found, 'error_interior')} ({engine.model})",
                    _error(found, "error_all"),
                    self.verdict(job, name) if name in OURS else "",
                ]
                lines.append(f"| {' | '.join(cells)} |")
        return lines

    def _memory(self) -> list[str]:
        engines = list(dict.fromkeys(name for _, name in self.memory))
        keys = list(dict.fromkeys(key for key, _ in self.memory))
        titles = {job.key: job.title for job in self.jobs}
        lines = [f"| job | {' | '.join(engines)} |", f"|---|{'---|' * len(engines)}"]
        for key in keys:
            cells = [f"{self.memory[key, name]:.2f}" if (key, name) in self.memory else "" for name in engines]
            lines.append(f"| {titles[key]} | {' | '.join(cells)} |")
        return [
            "Peak memory beyond the caller's volume, in volumes (float32): the engine's own copy, the answer and all between.",
            "",
            *lines,
        ]

    def _notes(self) -> list[str]:
        notes = [
            "Errors: relative RMS against the exact float64 integral of the model in brackets. Interior rays: the volume is zero "
            "wherever they run beyond the outermost voxel centres. Gradients: against differences of the exact integral.",
            "Timed: one call for every frame. Not timed: handing over the volume, in the layout and units the engine wants.",
        ]
        spared = [
            f"{name}: {', '.join(skipped)}"
            for name, engine in self.classes.items()
            if engine.slow and (skipped := [j.title for j in self._done() if j.long and not self.of(j.key, name)])
        ]
        if spared:
            notes.append(f"Left out because they take too long: {'; '.join(spared)}.")
        if self.missing:
            notes.append(f"Not installed: {', '.join(self.missing)}.")
        notes += [f"{name} failed at {key}: {reason}" for (key, name), reason in self.failures.items()]
        return [f"- {note}" for note in notes]

    def _done(self) -> list[Job]:
        return [job for job in self.jobs if any(t.job == job.key and t.round > 0 for t in self.timings)]


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _error(found: list[Timing], name: str) -> str:
    value = max(getattr(t, name) for t in found)
    return "" if value != value else f"{value:.1e}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _revision() -> str:
    """The state of the source tree, where it is one."""
    try:
        command = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "no revision"
    return done.stdout.strip()
