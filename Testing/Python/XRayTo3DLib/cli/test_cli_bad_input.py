"""Every bad input: exit code 2, one sentence that says what to do, and nothing written; here what all commands share."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import SimpleITK as sitk
from bad_input import refused


def _commands(xrays: Path, ct_file: Path, model: Path) -> dict[str, list[object]]:
    return {
        "drr": ["drr", ct_file, "--view", "AP", "--size", "24", "--pixel", "16"],
        "reconstruct": [
            *("reconstruct", "--view", f"AP={xrays / 'AP.nrrd'}", "--model", model),
            *("--grid-size", 16, "--grid-spacing", 22),
        ],
        "evaluate": ["evaluate", "--data", ct_file.parent, "--model", model, "--setting", "one_view"],
    }


@pytest.mark.parametrize("command", ["drr", "reconstruct", "evaluate"])
def test_folder_below_a_file(run, xrays, ct_file, model, tmp_path, command):
    (tmp_path / "file").write_text("I am a file")
    found = run(*_commands(xrays, ct_file, model)[command], "--out", tmp_path / "file" / "out")
    assert found.code == 2 and "Nothing can be written" in found.sentence
    assert (tmp_path / "file").read_text() == "I am a file"


def test_read_only_folder_is_found_before_the_work(run, xrays, ct_file, model, tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal of the system is played."""
    out = tmp_path / "locked"
    out.mkdir()

    def locked(self, *arguments, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", locked)
    found = run(*_commands(xrays, ct_file, model)["reconstruct"], "--out", out)
    assert found.code == 2 and "Permission denied" in found.sentence and "--out" in found.sentence
    assert "%" not in found.error and list(out.iterdir()) == []


@pytest.mark.parametrize("command", ["drr", "reconstruct"])
def test_full_disk_leaves_nothing(run, xrays, ct_file, model, tmp_path, monkeypatch, command):
    out = tmp_path / "deep" / "out"
    whole = sitk.WriteImage

    def half(image, name, *arguments, **settings):
        whole(image, name, *arguments, **settings)
        Path(name).write_bytes(Path(name).read_bytes()[:100])
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", half)
    found = run(*_commands(xrays, ct_file, model)[command], "--out", out)
    refused(found, out, "No space left on device")
    assert str(out) in found.sentence and ".part" not in found.sentence
    assert not (tmp_path / "deep").exists()


def test_earlier_results_stay_when_the_work_fails(run, xrays, ct_file, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = [*_commands(xrays, ct_file, model)["reconstruct"], "--out", out]
    assert run(*arguments).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("XRayTo3DLib.cli.outputs.write_json", full)
    assert run(*arguments).code == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_ctrl_c_leaves_nothing(run, xrays, ct_file, model, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("XRayTo3DLib.reconstruction.answer.segment_ct", interrupted)
    found = run(*_commands(xrays, ct_file, model)["reconstruct"], "--out", tmp_path / "out")
    assert found.code == 130 and not (tmp_path / "out").exists()
