"""Many cases, each on its own: over processes of this machine, or over a Dask cluster that is there.

A case that fails does not stop the others; a worker that is killed loses nothing and doubles nothing, because a case counts only
once its files and its record are in place (:mod:`case`); a run that was stopped goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from XRayTo3DLib.cohort.case import CaseResult, Work, do_case, fingerprint, finished, sweep
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_writable
from XRayTo3DLib.progress import Progress, silent

#: Cases that wait beside each worker: enough to keep it busy, few enough to stop soon.
_WAITING = 2
#: Seconds between two looks at the user's wish to stop.
_LOOK = 0.5
#: A case that was alone at work when its worker died, this often, is taken for the reason.
_MOST_DEATHS = 2
_CONNECT = 10
_KILLED = "its worker process was killed twice (is the memory enough?): use fewer workers"


@dataclass(frozen=True, eq=False)
class _Case:
    name: str
    argument: Any
    digest: str


def run_cases(
    work: Work,
    cases: Mapping[str, Any],
    folder: str | Path,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> tuple[CaseResult, ...]:
    """Do ``work(argument, staging folder)`` for each of ``cases``, name to argument, and return what became of them, in order.

    The files that ``work`` makes in its staging folder move into ``folder``, where ``cases/NAME.json`` records each case; a name is
    a file's name. Arguments are JSON values: a case whose argument and ``work`` are those of its record is kept. ``workers``
    processes share the cases (1: this process), or those of the Dask cluster at ``scheduler`` (``tcp://host:port``, or the path
    of a scheduler file), which must see ``folder`` and have this library. Progress counts finished cases and may raise
    :class:`Cancelled`: cases that are done stay. Raises :class:`InputError` when ``folder`` cannot be written to, no scheduler
    answers, or the package is missing.
    """
    target = Path(folder)
    check_writable(target / "cases" / "case.json")
    target.mkdir(parents=True, exist_ok=True)
    sweep(target)
    origin = f"{work.__module__}.{work.__qualname__}"
    todo, results = [], {}
    for name, argument in cases.items():
        digest = fingerprint([origin, argument])
        known = finished(name, digest, target)
        if known is None:
            todo.append(_Case(name, argument, digest))
        else:
            results[name] = known
    if scheduler is not None:
        done = _on_cluster(work, todo, target, scheduler)
    elif workers > 1 and len(todo) > 1:
        done = _in_processes(work, todo, target, min(workers, len(todo)))
    else:
        done = (do_case(work, one.name, one.argument, one.digest, target) for one in todo)
    progress(len(results) / max(len(cases), 1), f"{len(results)} of {len(cases)} done before")
    for result in done:
        if result is not None:
            results[result.name] = result
        failed = sum(one.state == "failed" for one in results.values())
        progress(len(results) / len(cases), f"{len(results)} of {len(cases)}" + (f", {failed} failed" if failed else ""))
    return tuple(results[name] for name in cases)


def _in_processes(work: Work, todo: list[_Case], folder: Path, workers: int) -> Iterator[CaseResult | None]:
    """Results as they come, and ``None`` while nothing comes. A pool whose worker was killed is replaced by another one."""
    waiting, suspects = deque(todo), deque[_Case]()
    deaths: dict[str, int] = {}
    while waiting or suspects:
        # Cases that were at work when a worker died are looked at one by one, so that the innocent are told from the reason.
        queue, width = (suspects, 1) if suspects else (waiting, workers)
        pool = ProcessPoolExecutor(width, mp_context=multiprocessing.get_context("spawn"), initializer=_single_thread)
        running: dict[Future[CaseResult], _Case] = {}
        try:
            while queue or running:
                while queue and len(running) < width * (1 if width == 1 else _WAITING):
                    case = queue.popleft()
                    running[pool.submit(do_case, work, case.name, case.argument, case.digest, folder)] = case
                done, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                if not done:
                    yield None
                for future in done:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool:
            for case in running.values():
                known = finished(case.name, case.digest, folder)
                deaths[case.name] = deaths.get(case.name, 0) + (queue is suspects)
                if known is not None:
                    yield CaseResult(case.name, "done", known.files, seconds=known.seconds)
                elif deaths[case.name] >= _MOST_DEATHS:
                    yield CaseResult(case.name, "failed", reason=_KILLED)
                else:
                    suspects.append(case)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _single_thread() -> None:
    """Processes share the processor by themselves; said before a case imports what reads it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _on_cluster(work: Work, todo: list[_Case], folder: Path, scheduler: str) -> Iterator[CaseResult | None]:
    """The same on a Dask cluster, which itself gives the cases of a dead worker to another one."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ModuleNotFoundError:
        raise InputError(
            "The Python package distributed, which a Dask scheduler needs, is missing: "
            "run `pip install 'xrayto3d[cluster]'`, or give --workers."
        ) from None
    try:
        if Path(scheduler).is_file():
            client = Client(scheduler_file=scheduler, timeout=_CONNECT)
        else:
            client = Client(scheduler, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise InputError(f"No Dask scheduler answers at {scheduler} ({type(error).__name__}): check the address.") from None
    with client:
        names = {}
        waiting = deque(todo)
        most = max(sum(client.nthreads().values()), 1) * _WAITING

        def submit() -> Any:
            case = waiting.popleft()
            future = client.submit(do_case, work, case.name, case.argument, case.digest, folder.resolve(), pure=False)
            names[future.key] = case.name
            return future

        running = as_completed([submit() for _ in range(min(most, len(waiting)))])
        for future in running:
            if future.status == "finished":
                yield future.result()
            else:
                raised = future.exception()
                reason = _KILLED if isinstance(raised, KilledWorker) else f"{type(raised).__name__}: {raised}"
                yield CaseResult(names[future.key], "failed", reason=reason)
            future.release()
            if waiting:
                running.add(submit())
