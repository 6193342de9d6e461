"""What the command does on closed pipes, full disks, in narrow encodings, when it is stopped, and after one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from XRayTo3DLib.cli import outputs
from XRayTo3DLib.cli.bar import bar
from XRayTo3DLib.cli.drr_files import destination
from XRayTo3DLib.cli.outputs import staged
from XRayTo3DLib.cli.streams import Stream, plain
from XRayTo3DLib.cli.xrays import named_files
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import check_writable, writing

ROOT = Path(__file__).resolve().parents[4]
COMMAND = [sys.executable, "-m", "XRayTo3DLib.cli"]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "XRayTo3D")]), **changes}


#: A command that writes one file whole and then says so.
WRITING = """
import sys
from pathlib import Path
from XRayTo3DLib.cli import command, main
from XRayTo3DLib.cli.outputs import staged
def work(args):
    with staged(Path(sys.argv[1])) as folder:
        (folder / "a").touch()
    print("written", sys.argv[1])
command.models._list = work
if sys.argv[2:] == ["none"]:
    sys.stderr = sys.stdout = None
sys.exit(main(["models", "list"]))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_streams_that_cannot_be_written_to(ct_file, tmp_path):
    """The files are there, and there is no traceback: a closed pipe is no failure, a full disk is said."""
    reader, closed = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full:
        for name, stream, code, words in (
            ("full", full, 1, "xrayto3d: The summary could not be printed (No space left on device).\n"),
            ("closed", closed, 0, ""),
            ("none", subprocess.PIPE, 0, ""),
        ):
            done = subprocess.run(
                [sys.executable, "-c", WRITING, tmp_path / name, name],
                stdout=stream,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=environment(),
                check=False,
            )
            assert (done.returncode, done.stderr) == (code, words), name
            assert (tmp_path / name / "a").is_file()
    os.close(closed)
    place = tmp_path / "größer"
    narrow = environment(PYTHONIOENCODING="ascii", LC_ALL="POSIX")
    drr = [*COMMAND, "drr", ct_file, "--view", "AP", "--size", "12", "--out", place]
    done = subprocess.run(drr, capture_output=True, env=narrow, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"gr\\xf6\\xdfer" in done.stdout
    assert (place / "AP.nrrd").is_file()


def test_what_is_read_from_files_does_not_move_the_cursor(run, capsys):
    assert plain("a\x1b[2J\x07b\tc\n") == "a\\x1b[2J\\x07b\tc\n"
    stream = Stream(sys.stdout, True)
    stream.write("name\x1b[31m \u2713\n")
    assert stream.failure is None and "\x1b" not in capsys.readouterr().out
    assert "\x1b" not in run("drr", "ct.nrrd", "\x1b[2J.nrrd", "--out", "x").error  # a name that the shell has filled in
    with bar("chest CT") as progress:
        time.sleep(0.25)  # the bar draws no oftener
        progress(0.5, "reading \x1b[2Jct.nrrd")
    assert "reading \\x1b[2Jct.nrrd" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="this system has no such names")
def test_names_that_are_not_utf8(tmp_path):
    """ITK ends the process when it writes to one; in a locale without UTF-8 every letter beyond ASCII is one to Python."""
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    for use in (writing, staged):
        with pytest.raises(InputError, match=r"b.udcff' is not UTF-8: rename it\."), use(place):
            pass
    with pytest.raises(InputError, match="not UTF-8"):
        check_writable(place)
    code = "import sys\nfrom pathlib import Path\nfrom XRayTo3DLib.files import check_name\ncheck_name(Path(sys.argv[1]))"
    plain_c = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "größe"], capture_output=True, env=plain_c, check=False)
    assert b"or set PYTHONUTF8=1 if the name is right." in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_command_that_is_stopped_leaves_nothing(tmp_path):
    """By Ctrl-C in its first moments, and by SIGTERM in the middle of work."""
    for delay in (0.02, 0.08, 0.2):
        process = subprocess.Popen([*COMMAND, "models", "list"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        # Until the command has taken the signal, Python itself answers.
        assert b"Traceback" not in error or b" in start\n" not in error, error
    work = """
import sys, time
from pathlib import Path
from XRayTo3DLib.cli import command
from XRayTo3DLib.cli.outputs import staged
def run(args):
    with staged(Path(sys.argv[1])) as folder:
        (folder / "a").touch()
        print("ready", flush=True)
        time.sleep(60)
command.models._list = run
sys.exit(command.run_command(["models", "list"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", work, tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error.endswith(b"xrayto3d: Stopped.\n") and not (tmp_path / "out").exists()


def test_what_killed_commands_left_is_swept_and_what_others_hold_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_JUST_MADE", -1.0)
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom XRayTo3DLib.cli.outputs import staged\n"
        "with staged(Path(sys.argv[1])) as folder:\n    (folder / 'a').touch()\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], env=environment(), check=False)
    (left,) = tmp_path.glob(".part-*")
    with staged(tmp_path) as mine:
        assert not left.exists()
        with staged(tmp_path) as other:
            assert mine.exists() and other.exists()
            (other / "b").write_text("b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


#: Replaces two files and adds a third, and is killed at the nth step of moving them: keeping an old one, or moving a new one.
KILLED = """
import os, sys
from pathlib import Path
from XRayTo3DLib.cli.outputs import staged
left = [int(sys.argv[2])]
def counted(real):
    def call(*args, **settings):
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
        return real(*args, **settings)
    return call
Path.replace, os.link = counted(Path.replace), counted(os.link)
if sys.argv[3] == "no links":
    def no_links(*args, **settings): raise OSError
    os.link = no_links
with staged(Path(sys.argv[1])) as folder:
    for name in "abc":
        (folder / name).write_text("new")
"""


def test_a_command_that_is_killed_while_it_moves_its_files_loses_no_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_JUST_MADE", -1.0)
    runs = {}
    for kind in ("links", "no links"):
        for step in range(6):
            folder = tmp_path / f"{kind} {step}"
            folder.mkdir()
            for name in "ab":
                (folder / name).write_text("old")
            runs[kind, step] = (
                folder,
                subprocess.Popen(
                    [sys.executable, "-c", KILLED, folder, str(step), kind], env=environment(), stderr=subprocess.DEVNULL
                ),
            )
    for (kind, step), (folder, run) in runs.items():
        killed = run.wait(timeout=60) == -9
        assert killed == (step < 5), (kind, step)  # keep a, move a, keep b, move b, move c
        if kind == "links" and os.name == "posix":  # under its own name, at every moment
            assert (folder / "a").exists() and (folder / "b").exists(), step
        with staged(folder):
            pass
        found = {path.name: path.read_text() for path in folder.iterdir()}
        assert found == ({"a": "old", "b": "old"} if killed else dict.fromkeys("abc", "new")), (kind, step)


def test_all_outputs_move_or_none(tmp_path):
    (tmp_path / "report.html").mkdir()
    (tmp_path / "metrics.json").write_text("old")
    with pytest.raises(InputError, match=r"report\.html is a folder"), staged(tmp_path) as folder:
        for name in ("a.nrrd", "metrics.json", "report.html"):
            (folder / name).write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]
    assert (tmp_path / "metrics.json").read_text() == "old"


def test_an_input_that_fails_is_not_blamed_on_the_outputs(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nrrd could not be used"), staged(tmp_path / "out"):
        (tmp_path / "gone.nrrd").read_bytes()
    assert not (tmp_path / "out").exists()


def test_equals_signs_and_points_in_paths(tmp_path):
    assert named_files(["AP=/data/patient=12/front.dcm"]) == {"AP": ("AP", Path("/data/patient=12/front.dcm"))}
    assert named_files(["/data/patient=12/front.dcm"]) == {"front": (None, Path("/data/patient=12/front.dcm"))}
    assert named_files(["LAT=side.png"]) == {"LAT": ("LAT", Path("side.png"))}
    for name in ("run_1.5", "v2.0", "results"):
        assert destination(tmp_path / name, None, 2).folder == tmp_path / name
    assert destination(tmp_path / "front.nrrd", None, 1).folder == tmp_path


def test_names_and_numbers_beyond_reason(run, ct_file, tmp_path):
    long = "a" * 300
    for arguments in (
        ["drr", ct_file, "--view", "AP", "--out", tmp_path / long],
        ["drr", tmp_path / long, "--view", "AP", "--out", tmp_path / "out"],
        ["drr", ct_file, "--view", "AP", "--labels", tmp_path / long, "--out", tmp_path / "out"],
        ["reconstruct", "--view", f"AP={tmp_path / long}", "--out", tmp_path / "out"],
        ["drr", ct_file, "--view", "AP", "--threads", 10**12, "--out", tmp_path / "out"],
        ["drr", ct_file, "--view", "AP", "--threads", "9" * 5000, "--out", tmp_path / "out"],
    ):
        found = run(*arguments)
        assert found.code == 2 and "Traceback" not in found.error, (arguments, found)
    assert not (tmp_path / "out").exists()
