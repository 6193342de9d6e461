import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from beams import LEANS, beams, difference, grid_of
from tables import each

from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection.projector import backproject, project

compiled = pytest.importorskip("XRayTo3DLib.projection._numba.compiled", reason="numba is not installed")
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    monkeypatch.delenv("XRAYTO3D_NUMBA", raising=False)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def scene(rng):
    """A volume and views of all kinds: ray by ray, aligned, and along an axis."""
    grid = grid_of("straight", (37, 41, 70))
    views = [beams(grid, axis, 1, LEANS["leaning"], (15, 70))["cone"] for axis in range(3)]
    views += [view_projection(word, grid.centre, (40, 30), 3.0, distance) for word in ("AP", "LAT") for distance in (None, 600.0)]
    return rng.random(grid.shape).astype(np.float32), grid, views


def test_results_do_not_depend_on_the_number_of_threads(rng, threads):
    volume, grid, views = scene(rng)
    pictures = [rng.normal(size=view.size).astype(np.float32) for view in views]
    found = {}
    for number in (1, 2, 3):
        threads(number)
        values = torch.as_tensor(volume).clone().requires_grad_()
        pose = torch.eye(4, dtype=torch.float64, requires_grad=True)
        sum((picture * picture).sum() for picture in project(values, grid, views[:3], pose)).backward()
        found[number] = project(volume, grid, views), backproject(pictures, grid, views), values.grad, pose.grad
    for number in (2, 3):
        for one, other in zip(found[1][0], found[number][0], strict=True):
            assert difference(other, one) < 1e-6
        assert all(torch.equal(one, other) for one, other in zip(found[1][0][:3], found[number][0][:3], strict=True))
        assert torch.equal(found[1][1], found[number][1])
        assert torch.equal(found[1][2], found[number][2])
        assert difference(found[number][3], found[1][3]) < 1e-6


@each("number", [1, 2])
def test_calls_from_several_threads_of_python(rng, threads, number):
    threads(number)
    volume, grid, views = scene(rng)
    expected = project(volume, grid, views)
    back = [backproject([picture], grid, [view]) for picture, view in zip(expected, views, strict=True)]

    def work(n):
        torch.set_num_threads(number)
        view = views[n % len(views)]
        picture = project(volume, grid, [view])[0]
        return picture, backproject([picture], grid, [view])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4 * len(views))))
    for n, (picture, spread) in enumerate(results):
        assert difference(picture, expected[n % len(views)]) < 1e-6
        assert difference(spread, back[n % len(views)]) < 1e-6


def test_the_first_call_on_a_machine_says_that_it_compiles(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "_announced", False)
    stats = SimpleNamespace(cache_path=str(tmp_path))
    kernel = SimpleNamespace(py_func=SimpleNamespace(__name__="_kernel"), stats=stats, signatures=[])
    with caplog.at_level(logging.WARNING):
        compiled.announce(kernel)
        assert "Compiling the fast projector" in caplog.text
        caplog.clear()
        compiled.announce(kernel)
        assert not caplog.records
        monkeypatch.setattr(compiled, "_announced", False)
        (tmp_path / "_joseph._kernel-12.py311.nbi").touch()
        compiled.announce(kernel)
        assert not caplog.records


def test_work_is_shared_out_once_and_its_errors_come_back():
    for threads in (1, 2, 5):
        done = []
        compiled.share(done.append, range(50), threads)
        assert sorted(done) == list(range(50))
        compiled.share(done.append, [], threads)

        def fail(item):
            time.sleep(0.001)
            if item == 30:
                raise ValueError("thirty")

        with pytest.raises(ValueError, match="thirty"):
            compiled.share(fail, range(50), threads)


#: What is asked of processes of their own. They are forked from one that has loaded torch, which takes longest, and no numba;
#: what each writes to stderr goes to a file with its name. ``sys.argv`` is a folder.
PROCESSES = """
import os, signal, sys, time, traceback
from pathlib import Path
import numpy as np, torch
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.projection.projector import backproject, project

folder = Path(sys.argv[1])
grid = Grid((3, 4, 5), (2.0, 2.0, 2.0))
ones = np.ones(grid.shape, np.float32)

def compiling():
    os.environ["NUMBA_CACHE_DIR"] = str(folder / "kernels")
    (found,) = project(ones, grid, [view_projection("AP", grid.centre, (9, 9), 1.0, 900.0)])
    assert abs(found[4, 4] - 8) < 1e-3

def uncompiled():
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    for word in ("AP", "AP+20"):
        view = view_projection(word, grid.centre, (9, 9), 1.0, 900.0)
        (found,) = project(ones, grid, [view])
        assert 7.9 < found[4, 4] < 8.6
        assert backproject([found], grid, [view]).shape == grid.shape

def forking():
    # As torch's data loaders make them: the child has none of its parent's threads.
    grid = Grid((12, 13, 14), (2.0, 2.0, 2.0))
    volume = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    words, distances = ("AP", "AP+20"), (None, 90.0)
    views = [view_projection(word, grid.centre, (40, 40), 1.0, distance) for word in words for distance in distances]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        project(volume, grid, views)
        torch.rand(2_000_000).sum()
        child = os.fork()
        if child == 0:
            project(volume, grid, views)
            torch.rand(2_000_000).sum()  # torch has threads of its own, for large arrays
            os._exit(0)
        wait(child, 8, f"A forked worker with {threads} threads")

def wait(child, seconds, name):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"{name} failed"
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    raise SystemExit(f"{name} hangs.")

def told(work):
    try:
        work()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

assert "numba" not in sys.modules
for name, work in (("first", compiling), ("second", compiling), ("uncompiled", uncompiled), ("forking", forking)):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), 2)
        os._exit(told(work))
    _, status = os.waitpid(child, 0)
    with (folder / name).open("a") as file:
        file.write(f"ended with {status}" if status else "")
"""


@pytest.fixture(scope="module")
def stderr_of(tmp_path_factory):
    """What each of the processes wrote to stderr, by its name."""
    if not hasattr(os, "fork"):
        pytest.skip("no forks on this system")
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XRAYTO3D_NUMBA": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESSES, folder], env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_text() for name in ("first", "second", "uncompiled", "forking")}


def test_what_is_compiled_is_kept_for_the_next_time(stderr_of):
    assert stderr_of["first"].count("Compiling the fast projector") == 1  # of several kernels
    assert stderr_of["second"] == "" and "Traceback" not in stderr_of["first"]


def test_workers_that_are_forked_from_a_process_that_projected(stderr_of):
    assert stderr_of["forking"] == ""


def test_numba_that_is_told_not_to_compile(stderr_of):
    assert stderr_of["uncompiled"] == ""
