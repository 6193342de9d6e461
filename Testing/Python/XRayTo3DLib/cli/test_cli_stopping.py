"""Where a signal can meet a command, each in a process of its own: it ends with one line and the code 130, and nothing is torn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]

#: The work of a command that is stopped at a given point of it; ``sys.argv`` is the point and a folder.
CHILD = """
import signal, sys, time
from pathlib import Path
from XRayTo3DLib.cli import start

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
point, place = sys.argv[1], Path(sys.argv[2])
sys.argv = ["xrayto3d", "models", "list"]

class Dropping:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def arguments():
    signal.raise_signal(signal.SIGINT)

def importing(args):
    sys.path.insert(0, str(place))
    import interrupted
    time.sleep(10)

def dropped(args):
    Dropping()
    time.sleep(10)

class Broken:
    def __init__(self):
        signal.raise_signal(signal.SIGINT)
        self.whole = True
    def __del__(self):
        self.whole

def building(args):
    Broken()

def moving(args):
    from XRayTo3DLib.cli.outputs import staged
    replace = Path.replace
    def slow(self, target):
        replace(self, target)
        signal.raise_signal(signal.SIGTERM)
    with staged(place) as folder:
        for name in "ab":
            (folder / name).write_text("new")
        Path.replace = slow

from XRayTo3DLib.cli import command
if point == "arguments":
    command._version = arguments
else:
    command.models._list = globals()[point]
sys.exit(start())
"""


def test_wherever_it_is_stopped(tmp_path):
    points = {"arguments": [], "importing": ["interrupted.py", "whole"], "dropped": [], "building": [], "moving": ["a", "b"]}
    running = {}
    for point in points:
        place = tmp_path / point
        place.mkdir()
        if point == "importing":
            text = f"import signal\nsignal.raise_signal(signal.SIGINT)\nopen({str(place / 'whole')!r}, 'w').close()\n"
            (place / "interrupted.py").write_text(text)
        if point == "moving":
            for name in "ab":
                (place / name).write_text("old")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        running[point] = subprocess.Popen(
            [sys.executable, "-c", CHILD, point, place],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
        )
    for point, process in running.items():
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out, error) == (130, "", "xrayto3d: Stopped.\n"), point
        assert sorted(path.name for path in (tmp_path / point).iterdir()) == points[point]
    assert [(tmp_path / "moving" / name).read_text() for name in "ab"] == ["new", "new"]
